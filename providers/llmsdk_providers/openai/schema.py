"""JSON schemas as strict mode takes them: every object closed, all its properties required, no keyword unknown to it.

That narrows what the model may write where properties have defaults, and widens it where a limit is left out. Whoever
asked validates the reply against the schema itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_KEPT = frozenset({
    "type", "title", "description", "enum", "const", "$ref", "pattern", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
})  # fmt: skip
"""Keywords that are taken as they are."""
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_OPEN = frozenset({
    "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems", "contains", "prefixItems",
})  # fmt: skip
"""Keywords that strict mode refuses, and without which the schema would mean something else."""
_DEFINITIONS = ("$defs", "definitions")
_MEANING = frozenset({"type", "enum", "const", "$ref", "anyOf"})


class _Open(Exception):
    """The schema allows what strict mode cannot."""


def bound(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that bind a reply to a schema: in its strict form, or else as it is, for the host to do its best."""
    form = strict(schema)
    return {"schema": schema if form is None else form, "strict": form is not None}


def strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in strict form; ``None`` where it has none, as with keys that cannot be listed."""
    if schema.get("type") != "object":
        return None
    try:
        return _form(schema)
    except _Open:
        return None


def named(name: str) -> str:
    """The name of a schema with the characters that a host takes."""
    return _NO_NAME.sub("_", name)[:64] or "reply"


def _form(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or not _OPEN.isdisjoint(schema) or _is_mixed(schema):
        raise _Open
    form = {key: value for key, value in schema.items() if key in _KEPT}
    if schema.get("format") in _FORMATS:
        form["format"] = schema["format"]
    for key in _DEFINITIONS:
        if key in schema:
            form[key] = _each(schema[key])
    if choices := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        form["anyOf"] = _all(choices)
    if "items" in schema:
        form["items"] = _form(schema["items"])
    if schema.get("type") == "object" or "properties" in schema:
        form |= _closed(schema)
    if _MEANING.isdisjoint(form) or (form.get("type") == "array" and "items" not in form):
        raise _Open
    return _alone(form) if "$ref" in form else form


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object with all its properties and no others."""
    if "properties" not in schema or schema.get("additionalProperties", False) is not False:
        raise _Open
    properties = _each(schema["properties"])
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _is_mixed(schema: Mapping[str, Any]) -> bool:
    """Whether the schema is of an object or an array, and also of something else."""
    kind = schema.get("type")
    return isinstance(kind, list) and not {"object", "array"}.isdisjoint(kind)


def _alone(form: dict[str, Any]) -> dict[str, Any]:
    """A reference with nothing beside it: what is said of it stands around it."""
    said: dict[str, Any] = {key: form[key] for key in ("title", "description") if key in form}
    if len(form) > len(said) + 1:
        raise _Open
    return {**said, "anyOf": [{"$ref": form["$ref"]}]} if said else form


def _each(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _form(inner) for name, inner in schemas.items()}


def _all(schemas: Iterable[Any]) -> list[dict[str, Any]]:
    return [_form(inner) for inner in schemas]
