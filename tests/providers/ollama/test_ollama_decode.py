"""Replies of Ollama as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from dialects import agree, fold, interruptions, pieces, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import (
    ContextTooLong,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    RateLimited,
    ResponseTooLarge,
    ServerFault,
    Unauthorized,
)
from llmsdk.types import Reasoning, Text, TokenLogprob, ToolCall, Usage
from llmsdk_providers.ollama import Ollama, Settings

KEY = "sk-canary-0123456789"
HOST = Ollama("ollama", Settings(api_key=KEY))
CALLS = [{"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g"}}]
END = {"done": True, "done_reason": "stop", "prompt_eval_count": 30, "eval_count": 20}
WHOLE = {"model": "m", "message": {"content": "Yes.", "thinking": "Hm.", "tool_calls": CALLS}, **END}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def piece(**message: Any) -> dict[str, Any]:
    return {"model": "m", "message": message, "done": False}


STREAM = lines(
    piece(content="", thinking="H"), piece(content="", thinking="m."), piece(content="Ye"), piece(content="s."),
    piece(content="", tool_calls=CALLS[:1]), piece(content="", tool_calls=CALLS[1:]),
    {"model": "m", "message": {"content": ""}, **END},
)  # fmt: skip


def test_a_reply_both_ways() -> None:
    whole, streamed = fold(HOST, json.dumps(WHOLE).encode()), fold(HOST, STREAM, streamed=True)
    assert shown(whole) == shown(streamed)
    assert whole.choices[0].message.content == (
        Reasoning("Hm.", {"ollama.message": "thinking"}), Text("Yes."), ToolCall("c1", "f", '{"a":1}'),
        ToolCall("call_1", "g", "{}"),
    )  # fmt: skip
    assert whole.usage == Usage(30, 20)
    assert whole.finish is not None
    assert (whole.finish.reason, whole.finish.raw_reason, whole.model) == ("tool_call", "stop", "m")


def test_a_raw_completion_both_ways() -> None:
    end = {"done": True, "done_reason": "length", "eval_count": 2}
    whole = fold(HOST, json.dumps({"model": "m", "response": "a cat", **end}).encode())
    rows = [{"model": "m", "response": part, "done": False} for part in ("a", " cat")]
    streamed = fold(HOST, lines(*rows, {"model": "m", "response": "", "context": [1], **end}), streamed=True)
    assert shown(whole) == shown(streamed)
    assert (whole.text, whole.usage) == ("a cat", Usage(None, 2))


def test_complete_only_with_the_last_line() -> None:
    whole = fold(HOST, STREAM, streamed=True)
    assert interruptions(HOST, STREAM, whole) == [len(STREAM)]


@pytest.mark.parametrize(
    ("raw", "reason"), [("stop", "stop"), ("length", "length"), ("load", "other"), ("new", "other"), (None, "other")]
)
def test_reasons(raw: str | None, reason: str) -> None:
    finish = fold(HOST, json.dumps({"message": {"content": "x"}, "done_reason": raw}).encode()).finish
    assert finish is not None
    assert (finish.reason, finish.raw_reason) == (reason, raw)


def test_logprobs() -> None:
    scores = [
        {
            "token": "Hi",
            "logprob": -0.1,
            "top_logprobs": [{"token": "Yo", "logprob": -3}, {"token": "Hi", "logprob": -0.1}],
        }
    ]
    expected = (TokenLogprob("Hi", -0.1, (("Hi", -0.1), ("Yo", -3.0))),)
    for body, streamed in (
        (json.dumps({"message": {"content": "Hi"}, "logprobs": scores}).encode(), False),
        (lines({**piece(content="Hi"), "logprobs": scores}, {"message": {}, **END}), True),
    ):
        assert fold(HOST, body, streamed=streamed).choices[0].logprobs == expected


def test_figures() -> None:
    assert fold(HOST, b'{"message": {"content": "x"}}').usage is None
    odd = fold(HOST, b'{"message": {"content": "x"}, "prompt_eval_count": -4, "eval_count": 3}')
    assert odd.usage == Usage(None, 3)
    assert odd.warnings


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"404 page not found", b"", b'{"message": 3}'])
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        fold(HOST, body)


@pytest.mark.parametrize("before", [b"", lines(piece(content="Ye"))])
def test_an_error_in_a_stream_that_says_200(before: bytes) -> None:
    with pytest.raises(ServerFault, match="it broke") as caught:
        fold(HOST, before + lines({"error": f"it broke {KEY}"}), streamed=True)
    assert KEY not in str(caught.value)
    with pytest.raises(ContextTooLong):
        fold(HOST, before + lines({"error": "the input length exceeds the context length"}), streamed=True)
    with pytest.raises(InvalidBody, match="line"):
        fold(HOST, before + b"<html>\n", streamed=True)
    with pytest.raises(ServerFault):
        fold(HOST, lines({"error": "it broke"}))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "unauthorized", Unauthorized),
        (404, "model 'x' not found", NotFound),
        (400, "the input length exceeds the context length", ContextTooLong),
        (400, "registry.ollama.ai/library/x does not support tools", InvalidRequest),
        (429, "too many requests", RateLimited),
        (503, "server busy, please try again.  maximum pending requests exceeded", Overloaded),
        (500, "llama runner process has terminated: exit status 2", ServerFault),
    ],
)
def test_errors(status: int, message: str, kind: type[LLMError]) -> None:
    error = HOST.error(status, {"retry-after": "7"}, json.dumps({"error": f"{message} {KEY}"}).encode())
    assert type(error) is kind
    assert message in error.message
    assert KEY not in str(error) + repr(vars(error))
    assert getattr(error, "retry_after", 7) == 7


# --- any reply ------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12)


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"content": draw(TEXT), "thinking": draw(TEXT)}
    arguments = draw(st.lists(st.dictionaries(TEXT, st.integers() | TEXT, max_size=2), max_size=2))
    message["tool_calls"] = [{"function": {"name": "f", "arguments": given}} for given in arguments]
    return {"model": "m", "message": message, **END, "done_reason": draw(st.sampled_from(["stop", "length", "odd"]))}


def rows(reply: dict[str, Any], cut: st.DataObject) -> Iterator[dict[str, Any]]:
    message = reply["message"]
    yield from (piece(content="", thinking=part) for part in pieces(message["thinking"], cut))
    yield from (piece(content=part) for part in pieces(message["content"], cut))
    if message["tool_calls"]:
        yield piece(content="", tool_calls=message["tool_calls"])
    yield {**reply, "message": {"role": "assistant", "content": ""}}


@settings(max_examples=60)
@given(replies(), st.data())
def test_any_reply_folds_to_the_same_streamed(reply: dict[str, Any], cut: st.DataObject) -> None:
    agree(HOST, reply, lines(*rows(reply, cut)), cut)


NAMES = st.sampled_from([
    "message", "content", "tool_calls", "function", "name", "arguments", "id", "done", "done_reason", "error",
    "thinking", "response", "eval_count", "logprobs", "token", "logprob", "top_logprobs", "model",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150)
@given(JSON, st.binary(max_size=30))
def test_whatever_comes_only_typed_errors_come_out(value: Any, noise: bytes) -> None:
    odd = {"message": {"content": value, "tool_calls": value}, "logprobs": value, "done": True, "eval_count": value}
    for body in (lines(value), noise + b"\n", lines(odd, value), json.dumps(odd).encode()):
        for streamed in (False, True):
            with suppress(LLMError):
                fold(HOST, body, streamed=streamed)


def test_a_line_is_as_long_as_the_settings_say() -> None:
    with pytest.raises(ResponseTooLarge, match="100 bytes"):
        list(Ollama("ollama", Settings(max_event=100)).frames().feed(b"x" * 101))
