"""Replies of Mistral as events: any reply, whole, as a stream, and as a stream that breaks off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from dialects import agree, events, fold, interruptions, pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import LLMError
from llmsdk_providers.mistral import Mistral, Settings

HOST = Mistral("mistral", Settings(api_key="sk-canary-0123456789"))  # type: ignore[arg-type]
HEAD = {"id": "r", "model": "m", "object": "chat.completion.chunk"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
CACHED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
TEXT = st.text(max_size=12)


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def spoken(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    """A thought stands before the text, as a part; then the text is one too."""
    thought, text = draw(TEXT), draw(TEXT)
    content = [thinking(thought), *([spoken(text)] if text else [])] if thought else text
    message = {"role": "assistant", "content": content, "tool_calls": [
        {"id": f"call{n:05}", "index": n, "function": {"name": "f", "arguments": json.dumps({"x": draw(TEXT)})}}
        for n in range(draw(st.integers(0, 2)))
    ]}  # fmt: skip
    reason = draw(st.sampled_from(["stop", "length", "model_length", "tool_calls", "error", "odd"]))
    choices = [{"index": 0, "message": message, "finish_reason": reason}]
    return {**HEAD, "choices": choices, "usage": draw(st.sampled_from([USAGE, CACHED]))}


def chunk(reason: str | None = None, usage: Any = None, **fields: Any) -> dict[str, Any]:
    told = {"usage": usage} if usage else {}
    return {**HEAD, "choices": [{"index": 0, "delta": fields, "finish_reason": reason}], **told}


def chunks(reply: dict[str, Any], cut: st.DataObject) -> Iterator[dict[str, Any]]:
    """As the host streams it: each call at once, and the last piece in the chunk with the reason and the usage."""
    choice = reply["choices"][0]
    content, calls = choice["message"]["content"], choice["message"]["tool_calls"]
    parts = content if isinstance(content, list) else [spoken(content)]
    last: dict[str, Any] = {"content": ""}
    yield chunk(role="assistant", content="")
    for part in parts:
        thought = part["type"] == "thinking"
        for piece in pieces(part["thinking"][0]["text"] if thought else part["text"], cut):
            yield chunk(**last)
            as_part = cut.draw(st.booleans())
            last = {"content": [thinking(piece)] if thought else [spoken(piece)] if as_part else piece}
    if calls:
        if cut.draw(st.booleans()):  # some models do not number them
            calls = [{key: value for key, value in call.items() if key != "index"} for call in calls]
        last["tool_calls"] = calls
    yield chunk(choice["finish_reason"], reply["usage"], **last)


@settings(max_examples=60)
@given(replies(), st.data())
def test_any_reply_folds_to_the_same_streamed(reply: dict[str, Any], cut: st.DataObject) -> None:
    agree(HOST, reply, events(*chunks(reply, cut), "[DONE]"), cut)


def test_complete_only_with_a_reason() -> None:
    stream = events(chunk(content="Yé"), chunk(content=[thinking("Hm.")]), chunk("stop", USAGE, content="s."), "[DONE]")
    whole = fold(HOST, stream, streamed=True)
    assert (whole.text, whole.reasoning) == ("Yés.", "Hm.")
    assert min(interruptions(HOST, stream, whole)) == stream.index(b"\n\ndata: [DONE]") + 2


NAMES = st.sampled_from([
    "choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "index", "id", "usage",
    "type", "thinking", "text", "finish_reason", "detail", "error", "prompt_tokens", "num_cached_tokens",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["thinking", "text"]) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=100)
@given(JSON, st.binary(max_size=30))
def test_whatever_comes_only_typed_errors_come_out(value: Any, noise: bytes) -> None:
    message = {"content": [value, {"type": "thinking", "thinking": value}], "tool_calls": value}
    odd = {"choices": [{"index": 0, "message": message, "delta": message}], "usage": value}
    for body in (json.dumps(value).encode(), json.dumps(odd).encode(), noise):
        with suppress(LLMError):
            fold(HOST, body)
    with suppress(LLMError):
        fold(HOST, events(odd, value) + noise, streamed=True)
