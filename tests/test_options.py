"""Bad input is a typed error that names the argument, before any I/O."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted

from llmsdk import Client, Message, Tool
from llmsdk.errors import InputError
from llmsdk.options import ASKED, CallSettings, call_settings, check_names, messages, request_fields
from llmsdk.types import ToolCall, ToolResult


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", True),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", 1.5),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", 0),
        ("min_p", 2),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", ""),
        ("stop", ["ok", ""]),
        ("n", 0),
        ("frequency_penalty", 3),
        ("presence_penalty", math.nan),
        ("repetition_penalty", 0),
        ("logit_bias", {"a": 1}),
        ("logit_bias", {1: 101}),
        ("logit_bias", [1]),
        ("logprobs", 21),
        ("idempotency_key", "a\nb"),
        ("idempotency_key", "ключ"),
        ("deadline", 0),
        ("deadline", math.nan),
        ("timeout", -1),
        ("timeout", {"idle": 0}),
        ("timeout", {"idel": 1}),
        ("retry", 0),
        ("retry", {"atempts": 1}),
        ("tags", ["", "x"]),
        ("on_unsupported", "ignore"),
        ("extra", {"query": {}}),
    ],
)
def test_a_bad_option_is_named_before_anything_is_asked(option: str, value: Any) -> None:
    provider = Scripted()
    with Client("scripted:m", provider=provider) as client, pytest.raises(InputError) as caught:
        client.complete("x", **{option: value})
    assert (caught.value.argument or "").startswith(option)
    assert provider.requests == []


@pytest.mark.parametrize("prompt", ["", "a\0b", "a\ud800b", 7, None, b"x"])
def test_a_bad_prompt_is_named(prompt: Any) -> None:
    provider = Scripted()
    with Client("scripted:m", provider=provider) as client:
        for verb in (client.complete, client.chat, client.answer):
            with pytest.raises(InputError):
                verb(prompt)
        with pytest.raises(InputError):
            client.translate(prompt, to="zh")
        with pytest.raises(InputError):
            client.classify(prompt, ["a", "b"])
    assert provider.requests == []


def test_an_unknown_keyword_is_a_type_error_with_a_guess() -> None:
    with Client("scripted:m", provider=Scripted()) as client:
        with pytest.raises(TypeError, match=r"temprature.*did you mean 'temperature'"):
            client.complete("x", temprature=1)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="tools"):
            client.complete("x", tools=[])  # type: ignore[call-overload]
        with pytest.raises(TypeError, match=r"Client.*modle"):
            Client("scripted:m", provider=Scripted(), modle="x")  # type: ignore[call-arg]


def test_options_that_make_no_sense_for_a_verb_are_refused() -> None:
    with Client("scripted:m", provider=Scripted()) as client:
        for option in ({"n": 2}, {"echo": True}, {"logprobs": 2}):
            with pytest.raises(InputError):
                client.answer("x", **option)  # type: ignore[call-overload]


def test_a_conversation_in_all_its_forms() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = messages(
        "messages",
        [
            {"role": "developer", "content": "Be brief."},
            Message("user", "hi"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": [{"type": "text", "text": "so"}, {"type": "text", "text": "?"}]},
        ],
        system="Rule.",
    )
    assert [turn.role for turn in turns] == ["system", "system", "user", "assistant", "tool", "user"]
    assert turns[3].tool_calls == (ToolCall("c1", "f", "{}"),)
    assert turns[4].content == (ToolResult("c1", "42"),)
    assert turns[5].text == "so?"


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "x", "colour": "red"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "tool", "content": "x"}],
        [{"role": "assistant", "tool_calls": [{"id": 1}]}],
        [7],
    ],
)
def test_a_malformed_conversation_says_which_message(bad: Any) -> None:
    with pytest.raises(InputError):
        messages("messages", bad)


def test_tools_in_both_forms() -> None:
    form = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "description": "d"}}
    fields = request_fields({"tools": [form, Tool("g", {})]})
    assert [tool.name for tool in fields["tools"]] == ["f", "g"]
    with pytest.raises(InputError):
        request_fields({"tools": [{"type": "function"}]})


@given(st.dictionaries(st.sampled_from(["connect", "first_token", "idle", "total"]), st.none() | st.floats(0.1, 9)))
def test_timeouts_change_only_what_is_named(given_: dict[str, float | None]) -> None:
    base = CallSettings()
    changed = call_settings({"timeout": given_}, base).timeouts
    for name in ("connect", "first_token", "idle", "total"):
        assert getattr(changed, name) == given_.get(name, getattr(base.timeouts, name))


def test_retry_as_number_and_as_mapping() -> None:
    assert call_settings({"retry": 5}, CallSettings()).retry.attempts == 5
    policy = call_settings({"retry": {"attempts": 2, "unknown": True}}, CallSettings()).retry
    assert (policy.attempts, policy.unknown) == (2, True)
    assert call_settings({"retry_unknown": True}, CallSettings()).retry.unknown


@pytest.mark.parametrize(
    "option", ["temperature", "max_tokens", "retry", "timeout", "deadline", "budget", "steps", "n"]
)
@pytest.mark.parametrize("huge", [10**400, -(10**5000), 10**5000], ids=["no float", "below", "above"])
def test_a_number_beyond_all_bounds_is_named_like_any_other(option: str, huge: int) -> None:
    """One of more than 4300 digits cannot even be shown."""
    with pytest.raises(InputError) as caught:
        Client("scripted:m", provider=Scripted()).chat("x", **{option: huge})
    assert len(caught.value.message) < 400


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "options", [{"stream": False, "top_p": Odd()}, {"errors": Odd()}, {"cache": Odd()}, {"budget": Odd()}]
)
def test_a_value_that_cannot_be_shown_is_named_by_its_type(options: Any) -> None:
    with pytest.raises(InputError, match="a Odd"):
        Client("scripted:m", provider=Scripted()).chat("x", **options)


def test_a_value_is_not_shown_at_length() -> None:
    with pytest.raises(InputError) as caught:
        request_fields({"temperature": "x" * 10**6})
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("tools", [Message("user", "x"), 5, "f", object()])
def test_tools_that_are_no_list_are_refused_with_steps_too(tools: Any) -> None:
    with pytest.raises(InputError, match="tools is not a list"):
        Client("scripted:m", provider=Scripted()).chat("x", tools=tools, steps=2)


HALF = "\ud800"
Q = {"role": "user", "content": "q"}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "tool", "tool_call_id": HALF, "content": "x"},
        {"role": "tool", "tool_call_id": "a", "content": "x", "name": HALF},
        {"role": "assistant", "tool_calls": [{"id": HALF, "function": {"name": "f"}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": HALF}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "assistant", "tool_calls": [{"id": 1, "function": {"name": "f"}}]},
    ],
)
@pytest.mark.parametrize("model", ["openai:m", "anthropic:m", "mistral:m", "bedrock:m", "gemini:m"])
def test_no_part_of_a_message_is_what_no_wire_takes(turn: Any, model: str) -> None:
    client = Client(model, config={}, api_key="key", base_url="http://127.0.0.1:1")
    with pytest.raises(InputError):
        client.explain("chat", [Q, turn])


def test_a_model_and_a_header_are_words() -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        Client(f"bedrock:{HALF}", config={}, api_key="key", base_url="http://127.0.0.1:1")
    with pytest.raises(InputError, match="no str"):
        request_fields({"extra": {"headers": {5: "x"}}})


@pytest.mark.parametrize(
    ("verb", "name", "said"),
    [
        ("classify", "stream", "no text to stream"),
        ("answer", "documents", "context="),
        ("complete", "system", "chat"),
        ("with_options", "api_key", "where the client is made"),
        ("chat", "temprature", "did you mean 'temperature'?"),
    ],
)
def test_an_unknown_keyword_is_answered_with_what_takes_it(verb: str, name: str, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"{verb}() got an unexpected keyword argument '{name}'")) as caught:
        check_names({name: "x"}, ASKED, verb)
    assert said in str(caught.value)
