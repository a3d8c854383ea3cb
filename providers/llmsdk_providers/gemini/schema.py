"""A JSON schema as the subset of OpenAPI's that ``responseSchema`` takes: no references, one type, upper case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from llmsdk.errors import Unsupported

_KEPT = (
    "title", "description", "format", "minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength",
    "pattern", "minProperties", "maxProperties", "required", "propertyOrdering", "default",
)  # fmt: skip
_FORMATS = frozenset({"enum", "date-time", "float", "double", "int32", "int64"})
MAX_DEPTH = 32


def subset(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in that form. What the form cannot say, such as ``additionalProperties``, is left out.

    Raises:
        Unsupported: it refers to itself, or to nothing.
    """
    return _subset(schema, schema, 0)


def _subset(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        hint = 'Set schema_form = "json_schema", or flatten it.'
        raise Unsupported("responseSchema cannot hold a schema within itself", capability="schema", hint=hint)
    if "$ref" in schema:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return _subset({**_target(schema["$ref"], root), **beside}, root, depth + 1)
    form = {name: schema[name] for name in _KEPT if name in schema}
    if form.get("format") not in _FORMATS:
        form.pop("format", None)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None:
        form |= {"type": "STRING", "enum": [str(choice) for choice in choices]}
    if "properties" in schema:
        form["properties"] = {name: _subset(inner, root, depth + 1) for name, inner in schema["properties"].items()}
    if isinstance(schema.get("items"), Mapping):
        form["items"] = _subset(schema["items"], root, depth + 1)
    return _typed(form, schema, root, depth)


def _typed(form: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """``form`` with its type, and ``nullable`` in the place of a type ``null``."""
    kinds = _list(schema.get("type"))
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    real = [option for option in options if option.get("type") != "null"]
    if "null" in kinds or len(real) < len(options):
        form["nullable"] = True
    if len(real) == 1:
        form = {**_subset(real[0], root, depth + 1), **form}
    elif real:
        form["anyOf"] = [_subset(option, root, depth + 1) for option in real]
    if kind := next((kind for kind in kinds if kind != "null"), None):
        form.setdefault("type", kind.upper())
    return form


def _list(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or []


def _target(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    steps = reference.removeprefix("#").strip("/")
    try:
        target = reduce(lambda part, step: part[step], steps.split("/") if steps else (), root)
    except (KeyError, TypeError):
        target = None
    if not isinstance(target, Mapping):
        raise Unsupported(f"the schema refers to {reference!r:.80}, which it does not have", capability="schema")
    return target
