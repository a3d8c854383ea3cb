"""JSON schemas as the host takes them: closed objects, no recursion, no limits on numbers and lengths.

What it does not take goes into the description, for the model to read; whoever asked checks the reply anyway. A schema
that cannot be said that way at all (a mapping with free keys, a tree) is given to the model as that of a tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic_core import to_json

VALUE = "value"
"""Where a tool's arguments hold a reply that is no object."""
_DEFINITIONS = ("$defs", "definitions")
_KEPT = frozenset({"type", "enum", "const", "anyOf", "allOf", "$ref", "description", "title", "required"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_OPEN = frozenset({"patternProperties", "prefixItems", "not", "if", "dependentSchemas", "propertyNames"})


def bound(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in the host's form; ``None`` where that would say another thing."""
    if any(map(_is_open, _all(schema))) or _is_recursive(schema):
        return None
    return _closed(schema)


def of_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as that of a tool's arguments, which are always an object."""
    if is_object(schema):
        return dict(schema)
    shared = {key: schema[key] for key in _DEFINITIONS if key in schema}
    inner = {key: value for key, value in schema.items() if key not in shared}
    return {"type": "object", "properties": {VALUE: inner}, "required": [VALUE], **shared}


def is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"


# --- what a schema says -------------------------------------------------------------------------------------------


def _inner(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemas directly within one."""
    for key in ("properties", *_DEFINITIONS):
        yield from _schemas(schema.get(key, {}).values())
    for key in ("anyOf", "oneOf", "allOf"):
        yield from _schemas(schema.get(key, ()))
    yield from _schemas((schema.get("items"),))


def _schemas(values: Any) -> Iterator[Mapping[str, Any]]:
    yield from (value for value in values if isinstance(value, Mapping))


def _all(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for inner in _inner(schema):
        yield from _all(inner)


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Whether a schema allows what cannot be listed."""
    if not _OPEN.isdisjoint(schema) or isinstance(schema.get("type"), list):
        return True
    if is_object(schema):
        return "properties" not in schema or schema.get("additionalProperties", False) is not False
    says = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", *_DEFINITIONS)
    return not any(key in schema for key in says)


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    named = {f"#/{key}/{name}": inner for key in _DEFINITIONS for name, inner in schema.get(key, {}).items()}
    uses = {name: {part["$ref"] for part in _all(inner) if "$ref" in part} for name, inner in named.items()}
    uses["#"] = {"#"} if any(part.get("$ref") == "#" for part in _all(schema)) else set()
    try:
        TopologicalSorter(uses).prepare()
    except CycleError:
        return True
    return False


# --- the host's form ----------------------------------------------------------------------------------------------


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    form = {key: value for key, value in schema.items() if key in _KEPT}
    for key in _DEFINITIONS:
        if key in schema:
            form[key] = {name: _closed(inner) for name, inner in schema[key].items()}
    for key, own in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if key in schema:
            form[own] = [_closed(inner) for inner in schema[key]]
    if is_object(schema):
        form["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        form["additionalProperties"] = False
    if isinstance(schema.get("items"), Mapping):
        form["items"] = _closed(schema["items"])
    if schema.get("format") in _FORMATS:
        form["format"] = schema["format"]
    if schema.get("minItems") in (0, 1):
        form["minItems"] = schema["minItems"]
    return _described(form, schema)


_SAID = frozenset({*_DEFINITIONS, "oneOf", "properties", "items", "additionalProperties", "discriminator"})


def _described(form: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form, with what it lacks in its description. A reference stands alone."""
    if "$ref" in form:
        return {key: form[key] for key in ("$ref", *_DEFINITIONS) if key in form}
    rest = {key: value for key, value in schema.items() if key not in form and key not in _SAID}
    if rest:
        form["description"] = " ".join(filter(None, (form.get("description", ""), to_json(rest).decode())))
    return form
