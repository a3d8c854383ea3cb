"""Python functions as tools: what the model is told of them, and that its calls are made, checked and answered."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from scripted import Scripted, says

from llmsdk import AsyncClient, Client, Message, Tool, ToolCall, ToolError, ToolResult, tool_results
from llmsdk.errors import InputError, InvalidToolArguments
from llmsdk.functions import Function
from llmsdk.types import Event, Finish, TextDelta, ToolCallDelta, Usage


def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """The weather of a city.

    Args:
        city: Name of the city,
            in English.
        unit (str): Unit of the temperature.

    Returns:
        One sentence.
    """
    if city == "Atlantis":
        raise ToolError("there is no such city")
    return f"3 degrees {unit} in {city}"


def add(a: int, b: Annotated[int, Field(description="The other number.", ge=0)]) -> dict[str, int]:
    """Add two numbers.

    :param a: A number.
    """
    return {"sum": a + b}


def calls(*made: tuple[str, dict[str, Any] | str], text: str = "") -> list[Event]:
    """A reply that makes calls."""
    deltas: list[Event] = [TextDelta(text)] if text else []
    for slot, (name, arguments) in enumerate(made):
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        deltas.append(ToolCallDelta(slot, f"id{slot}", name, written))
    return [*deltas, Usage(5, 2), Finish("tool_call", "tool_calls")]


def ask(*scripts: Any, **options: Any) -> tuple[Scripted, Any]:
    provider = Scripted(*scripts)
    with Client("scripted:m", provider=provider) as client:
        return provider, client.chat("Go", **options)


# --- schema -------------------------------------------------------------------------------------------------------


def test_schema_comes_from_annotations_and_docstring() -> None:
    tool = Function.of(weather).tool
    assert (tool.name, tool.description) == ("weather", "The weather of a city.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city, in English."},
            "unit": {
                "type": "string", "enum": ["C", "F"], "default": "C", "description": "Unit of the temperature.",
            },
        },
        "required": ["city"],
        "additionalProperties": False,
    }  # fmt: skip


def test_descriptions_from_fields_and_param_lines() -> None:
    properties = Function.of(add).tool.parameters["properties"]
    assert properties["a"] == {"type": "integer", "description": "A number."}
    assert properties["b"] == {"type": "integer", "description": "The other number.", "minimum": 0}
    assert Function.of(add).tool.description == "Add two numbers."


class Color(Enum):
    RED = "red"


class Box(BaseModel):
    color: Color
    sizes: list[int]


def test_arguments_have_the_annotated_types() -> None:
    def paint(box: Box, note: str | None = None) -> None:
        """Paint."""

    call = ToolCall("1", "paint", '{"box": {"color": "red", "sizes": [1, 2]}}')
    assert Function.of(paint).arguments(call) == {"box": Box(color=Color.RED, sizes=[1, 2]), "note": None}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"town": "Oslo"}', "city: Field required"),
        ('{"city": "Oslo", "unit": "K"}', "unit: Input should be 'C' or 'F'"),
        ("{", "Invalid JSON"),
        ("[1]", "object"),
    ],
)
def test_arguments_that_do_not_fit_are_told_without_their_values(arguments: str, says: str) -> None:
    with pytest.raises(InvalidToolArguments, match=says) as caught:
        Function.of(weather).arguments(ToolCall("1", "weather", arguments))
    assert "pydantic" not in str(caught.value)
    assert "Oslo" not in str(caught.value)


@given(a=st.integers(-(2**53), 2**53), b=st.integers(0, 2**53))
def test_any_numbers_reach_the_function(a: int, b: int) -> None:
    message = tool_results([ToolCall("1", "add", json.dumps({"a": a, "b": b}))], [add])
    assert message.parts == (ToolResult("1", json.dumps({"sum": a + b}).replace(" ", ""), "add"),)


def _no_annotation(a) -> None: ...  # type: ignore[no-untyped-def]
def _stars(*args: int) -> None: ...
def _no_schema(a: type[weather]) -> None: ...  # type: ignore[valid-type]


@pytest.mark.parametrize("function", [_no_annotation, _stars, _no_schema, lambda a: a])
def test_a_function_that_no_model_can_call(function: Any) -> None:
    with pytest.raises(InputError) as caught:
        ask(tools=[function])
    assert caught.value.argument == "tools"
    assert caught.value.hint


# --- one step -----------------------------------------------------------------------------------------------------


def test_without_steps_the_calls_come_back() -> None:
    provider, result = ask(calls(("weather", {"city": "Oslo"})), tools=[weather])
    assert provider.requests[0].tools == (Function.of(weather).tool,)
    assert [(call.name, call.arguments) for call in result.tool_calls] == [("weather", {"city": "Oslo"})]
    assert result.finish_reason == "tool_call"
    answer = tool_results(result.tool_calls, [weather])
    assert answer == Message("tool", (ToolResult("id0", "3 degrees C in Oslo", "weather"),))
    assert result.messages == (result.message,)


def test_what_goes_wrong_in_a_call_is_told_to_the_model() -> None:
    made = [
        ToolCall("1", "weather", '{"city": "Atlantis"}'),
        ToolCall("2", "weather", "{}"),
        ToolCall("3", "wheather", "{}"),
    ]
    results = tool_results(made, [weather]).parts
    assert all(isinstance(part, ToolResult) and part.is_error for part in results)
    texts = [part.content for part in results if isinstance(part, ToolResult)]
    assert texts[0] == "there is no such city"
    assert "city: Field required" in texts[1]
    assert texts[2] == "there is no tool 'wheather'; there are: weather"


def test_a_bug_in_a_function_is_the_callers_and_not_the_models() -> None:
    def broken(a: int) -> int:
        """Divide."""
        return a // 0

    with pytest.raises(ZeroDivisionError):
        tool_results([ToolCall("1", "broken", '{"a": 1}')], [broken])


# --- several steps ------------------------------------------------------------------------------------------------


def test_steps_call_functions_until_the_model_answers() -> None:
    provider, result = ask(
        calls(("weather", {"city": "Oslo"}), ("add", {"a": 1, "b": 2}), text="Let me see. "),
        calls(("weather", {"city": "Atlantis"})),
        says("Cold."),
        tools=[weather, add],
        steps=5,
    )
    assert result.text == "Cold."
    assert [message.role for message in result.messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert provider.requests[1].messages[1:] == result.messages[:2]
    assert [part.content for part in result.messages[1].parts] == ["3 degrees C in Oslo", '{"sum":3}']
    assert result.messages[3].parts == (ToolResult("id0", "there is no such city", "weather", is_error=True),)
    assert result.usage.input_tokens == 5 + 5 + 7
    assert len(result.attempts) == 3


def test_steps_are_a_bound() -> None:
    provider, result = ask(*[calls(("add", {"a": 1, "b": 1}))] * 3, tools=[add], steps=3)
    assert len(provider.requests) == 3
    assert result.finish_reason == "tool_call"
    assert len(result.tool_calls) == 1
    assert len(result.messages) == 5


def test_steps_in_a_stream() -> None:
    provider = Scripted(calls(("add", {"a": 1, "b": 2}), text="Hm. "), says("Three."))
    with (
        Client("scripted:m", provider=provider) as client,
        client.chat("Go", tools=[add], steps=2, stream=True) as stream,
    ):
        assert "".join(event.text for event in stream) == "Hm. Three."
        result = stream.result
    assert result.text == "Three."
    assert len(result.messages) == 3


def test_steps_with_a_typed_output() -> None:
    _, result = ask(calls(("add", {"a": 1, "b": 2})), says("[3]"), tools=[add], steps=2, output=list[int])
    assert result.value == [3]


@pytest.mark.anyio
async def test_async_functions_run_at_the_same_time_and_sync_ones_off_the_loop() -> None:
    import threading

    import anyio

    met = anyio.Event()
    threads: list[int] = []

    async def wait(a: int) -> int:
        """Wait for the other."""
        await met.wait()
        return a

    async def wake(a: int) -> int:
        """Wake the other."""
        met.set()
        return a

    def slow(a: int) -> int:
        """Work."""
        threads.append(threading.get_ident())
        return a

    provider = Scripted(calls(("wait", {"a": 1}), ("wake", {"a": 2}), ("slow", {"a": 3})), says("Done."))
    async with AsyncClient("scripted:m", provider=provider) as client:
        result = await client.chat("Go", tools=[wait, wake, slow], steps=2)
    assert [part.content for part in result.messages[1].parts] == ["1", "2", "3"]
    assert threads != [threading.get_ident()]


async def later(a: int) -> int:
    """Wait."""
    return a


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"tools": [later], "steps": 2}, "tools"),
        ({"tools": [Tool("x", {})], "steps": 2}, "tools"),
        ({"steps": 2}, "tools"),
        ({"tools": [add], "steps": 0}, "steps"),
        ({"tools": [add], "steps": True}, "steps"),
        ({"tools": [add, add]}, "tools"),
    ],
)
def test_steps_that_cannot_be_taken_are_refused_before_anything_is_sent(options: Any, argument: str) -> None:
    provider = Scripted(says("x"))
    with Client("scripted:m", provider=provider) as client, pytest.raises(InputError) as caught:
        client.chat("Go", **options)
    assert caught.value.argument == argument
    assert provider.requests == []
