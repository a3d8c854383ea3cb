"""Schemas in strict form: closed, complete, without what hosts refuse, and no wider than the type asked for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from llmsdk_providers.openai.schema import bound, named, strict

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


class Mood(Enum):
    GLAD = "glad"
    SAD = "sad"


class Street(BaseModel):
    name: str = Field(min_length=1, pattern="^[A-Z]")
    number: int = Field(default=1, ge=1)


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    parents: list[Dog] = []


class Person(BaseModel):
    name: str | None = None
    mood: Mood = Field(default=Mood.GLAD, description="As today.")
    streets: list[Street] = Field(max_length=3)
    home: Street = Field(description="Where they sleep.")
    pet: Cat | Dog = Field(discriminator="kind")


def test_a_model_as_people_write_it_is_held_to_its_schema() -> None:
    fields = bound(Person.model_json_schema())
    assert fields["strict"] is True
    form = fields["schema"]
    assert form["required"] == ["name", "mood", "streets", "home", "pet"]
    properties = form["properties"]
    assert properties["name"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Name"}
    assert properties["mood"] == {"description": "As today.", "anyOf": [{"$ref": "#/$defs/Mood"}]}
    assert properties["streets"] == {
        "type": "array", "items": {"$ref": "#/$defs/Street"}, "maxItems": 3, "title": "Streets",
    }  # fmt: skip
    assert properties["home"] == {"description": "Where they sleep.", "anyOf": [{"$ref": "#/$defs/Street"}]}
    assert properties["pet"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}], "title": "Pet"}
    street = form["$defs"]["Street"]
    assert street["properties"]["name"] == {"type": "string", "pattern": "^[A-Z]", "title": "Name"}
    assert street["properties"]["number"] == {"type": "integer", "minimum": 1, "title": "Number"}
    assert (street["required"], street["additionalProperties"]) == (["name", "number"], False)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Counts(BaseModel):
    of: dict[str, int]


class Anything(BaseModel):
    a: Any


class Corner(BaseModel):
    at: tuple[int, int]


@pytest.mark.parametrize("kind", [Open, Counts, Anything, Corner, list[int], int])
def test_what_has_no_strict_form_goes_as_it_is(kind: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert strict(schema) is None
    assert bound(schema) == {"schema": schema, "strict": False}


@pytest.mark.parametrize(
    ("inner", "held"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "uri", "default": "x", "examples": ["y"]}, {"type": "string"}),
        ({"type": "array", "items": CLOSED, "uniqueItems": True}, {"type": "array", "items": CLOSED}),
        ({"oneOf": [CLOSED, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "object", "properties": {}}, {**CLOSED, "properties": {}, "required": []}),
        ({"type": ["object", "null"], "properties": {}}, None),
        ({"type": "array"}, None),
        ({"type": "object"}, None),
        ({"allOf": [CLOSED]}, None),
        ({"$ref": "#", "type": "object"}, None),
        ({"description": "anything"}, None),
        (True, None),
    ],
)
def test_one_property(inner: Any, held: Any) -> None:
    form = strict({"type": "object", "properties": {"a": inner}})
    assert (None if form is None else form["properties"]["a"]) == held


@pytest.mark.parametrize(
    ("name", "sent"), [("City", "City"), ("list[int]", "list_int_"), ("", "reply"), ("x" * 99, "x" * 64)]
)
def test_names(name: str, sent: str) -> None:
    assert named(name) == sent


# --- any schema ---------------------------------------------------------------------------------------------------

LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1]}, {"const": 7}]
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def made(properties: dict[str, Any], required: bool, more: Any) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        schema |= {"required": sorted(properties)[:1]} if required else {}
        return schema if more is None else {**schema, "additionalProperties": more}

    names = st.dictionaries(st.sampled_from(["a", "b", "default"]), inner, max_size=3)
    return st.builds(made, names, st.booleans(), st.sampled_from([None, None, False, True]))


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            objects(inner),
            st.builds(lambda items: {"type": "array", "items": items}, inner),
            st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda schema: {**schema, "default": None, "description": "x"}, inner),
        ),
        max_leaves=6,
    )
)


def example(form: Mapping[str, Any], data: st.DataObject) -> Any:
    """Some value of a schema in strict form."""
    if "anyOf" in form:
        return example(data.draw(st.sampled_from(form["anyOf"])), data)
    if "enum" in form or "const" in form:
        return data.draw(st.sampled_from(form.get("enum", [form.get("const")])))
    match form["type"]:
        case "object":
            return {name: example(inner, data) for name, inner in form["properties"].items()}
        case "array":
            return [example(form["items"], data) for _ in range(data.draw(st.integers(0, 2)))]
        case kind:
            values: dict[str, Any] = {"string": "x", "integer": 3, "boolean": True, "null": None}
            return values[kind]


def is_strict(form: Any) -> bool:
    if "default" in form:
        return False
    inner = [
        *form.get("properties", {}).values(),
        *form.get("anyOf", ()),
        *([form["items"]] if "items" in form else []),
    ]
    closed = form.get("additionalProperties") is False and form.get("required") == list(form.get("properties", {}))
    return (form.get("type") != "object" or closed) and all(map(is_strict, inner))


@given(SCHEMAS, st.data())
def test_the_strict_form_allows_only_what_the_schema_allows(schema: dict[str, Any], data: st.DataObject) -> None:
    form = strict(schema)
    if form is None:
        assert '"additionalProperties": True' in str(schema).replace("'", '"')
        return
    assert is_strict(form)
    assert strict(form) == form
    jsonschema.validate(example(form, data), schema)
