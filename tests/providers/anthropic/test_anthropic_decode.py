"""Replies as events: golden bytes for every feature, and any reply streamed and buffered alike."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from dialects import fold, interruptions, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.anthropic_server import grown, sse, stream

from llmsdk.errors import ContentFiltered, InvalidBody, LLMError, Overloaded, RateLimited, ServerFault
from llmsdk.io.sse import ServerSentEvent
from llmsdk.reply import Reply
from llmsdk.types import Message, Reasoning, Request, Text, ToolCall, Usage
from llmsdk_providers.anthropic import Anthropic, Settings
from llmsdk_providers.anthropic.decode import Decoder
from llmsdk_providers.anthropic.encode import STATE

PROVIDER = Anthropic("ours", Settings(base_url="http://127.0.0.1:1"))
HELLO: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hello there."}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 4},
}  # fmt: skip


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    return {**HELLO, "content": list(content), **fields}


def both(body: dict[str, Any]) -> Reply:
    """The reply, which has to be the same streamed."""
    whole = fold(PROVIDER, json.dumps(body).encode())
    assert shown(fold(PROVIDER, b"".join(stream(body)), streamed=True)) == shown(whole)
    return whole


def lines(*events: Any) -> bytes:
    return b"".join(map(sse, events))


START = {"type": "message_start", "message": message(usage={"input_tokens": 3, "output_tokens": 1}, stop_reason=None)}
BEGIN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
PIECE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}
STOP = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}


def test_text() -> None:
    reply = both(HELLO)
    assert reply.choices[0].message == Message("assistant", "Hello there.")
    assert (reply.id, reply.model) == ("msg_1", "claude-sonnet-4-5")
    assert reply.usage == Usage(15, 4, 7, 5, None)
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == ("stop", "end_turn")


def test_blocks_keep_their_order_and_their_signatures() -> None:
    reply = both(
        message(
            {"type": "thinking", "thinking": "Where is it?", "signature": "s1"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "find", "input": {"city": "Köln"}, "caller": {"type": "direct"}},
            {"type": "thinking", "thinking": "", "signature": "s2"},
            {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
            stop_reason="tool_use",
        )
    )
    direct = {STATE: {"caller": {"type": "direct"}}}
    assert reply.choices[0].message.parts == (
        Reasoning("Where is it?", {STATE: {"type": "thinking", "signature": "s1"}}),
        Reasoning("", {STATE: {"type": "redacted_thinking", "data": "b3BhcXVl"}}),
        Text("Let me look."),
        ToolCall("t1", "find", '{"city":"Köln"}', direct),
        Reasoning("", {STATE: {"type": "thinking", "signature": "s2"}}),
        ToolCall("t2", "now", "{}"),
    )
    assert reply.finish is not None
    assert reply.finish.reason == "tool_call"
    assert reply.reasoning == "Where is it?"


def test_what_the_host_s_own_tools_did_is_kept() -> None:
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "llamas"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"encrypted_content": "x"}]}
    reply = both(message(search, found, {"type": "text", "text": "Llamas spit."}, stop_reason="pause_turn"))
    assert reply.choices[0].message.parts == (
        Reasoning("", {STATE: search}), Reasoning("", {STATE: found}), Text("Llamas spit."),
    )  # fmt: skip
    assert reply.choices[0].message.tool_calls == ()
    assert reply.finish is not None
    assert reply.finish.reason == "pause"


def test_citations_stand_before_their_text() -> None:
    source = {"type": "char_location", "cited_text": "spit"}
    cited = {"type": "text", "text": "they spit", "citations": [source]}
    parts = [{"type": "text", "text": "So "}, cited, {"type": "text", "text": "."}]
    reply = fold(PROVIDER, json.dumps(message(*parts)).encode())
    kept = Reasoning("", {STATE: {"type": "text", "citations": [source]}})
    assert reply.choices[0].message.parts == (Text("So "), kept, Text("they spit"), Text("."))
    begin = {**BEGIN, "content_block": {"type": "text", "text": "", "citations": []}}
    cite = {**PIECE, "delta": {"type": "citations_delta", "citation": source}}
    streamed = fold(PROVIDER, lines(START, begin, PIECE, cite, STOP, END), streamed=True)
    assert streamed.choices[0].message.parts == (kept, Text("Hel"))


def test_a_block_of_a_kind_that_is_yet_to_be_invented() -> None:
    begin = {"type": "content_block_start", "index": 0, "content_block": {"type": "dream", "content": ""}}
    piece = {**PIECE, "delta": {"type": "dream_delta", "content": "zz"}}
    odd = {"type": "something_else"}
    reply = fold(PROVIDER, lines(odd, START, begin, piece, odd, piece, STOP, END), streamed=True)
    assert reply.choices[0].message.parts == (Reasoning("", {STATE: {"type": "dream", "content": "zzzz"}}),)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "refusal"),
     ("model_context_window_exceeded", "length"), ("pause_turn", "pause"), ("tool_use", "other"), ("new", "other")],
)  # fmt: skip
def test_reasons(raw: str, reason: str) -> None:
    reply = both(message({"type": "text", "text": "x"}, stop_reason=raw))
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == (reason, raw)


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This is about malware."}
    reply = fold(PROVIDER, json.dumps(message(stop_reason="refusal", stop_details=details)).encode())
    assert reply.warnings == ["the model refused (cyber): This is about malware."]
    end = {**END, "delta": {"stop_reason": "refusal", "stop_details": details}}
    streamed = fold(PROVIDER, lines(START, end), streamed=True)
    assert (streamed.warnings, streamed.finish) == (reply.warnings, reply.finish)


# --- usage --------------------------------------------------------------------------------------------------------


def test_figures_of_a_stream_are_cumulative() -> None:
    later = {"input_tokens": 30, "cache_read_input_tokens": None, "output_tokens": 9,
             "output_tokens_details": {"thinking_tokens": 5}}  # fmt: skip
    reply = fold(PROVIDER, lines(START, BEGIN, PIECE, STOP, {**END, "usage": later}), streamed=True)
    assert reply.usage == Usage(30, 9, None, None, 5)


def test_impossible_figures() -> None:
    odd = {"input_tokens": -1, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 50}}
    reply = both(message(usage=odd))
    assert reply.usage == Usage(None, 4, None, None, 4)
    assert len(reply.warnings) == 2


# --- a schema as that of a tool -----------------------------------------------------------------------------------

OBJECT = {"type": "object", "additionalProperties": {"type": "integer"}}
LIST = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(("schema", "given", "text"), [
    (OBJECT, {"a": 1}, '{"a":1}'), (LIST, {"value": [1, 2]}, "[1,2]"), (OBJECT, {}, "{}"),
])  # fmt: skip
def test_the_arguments_are_the_reply(schema: Any, given: Any, text: str) -> None:
    body = message({"type": "tool_use", "id": "t", "name": "reply", "input": given}, stop_reason="tool_use")
    for streamed in (False, True):
        request = Request("claude-3-5-haiku-20241022", "x", schema=schema, stream=streamed)
        reply = Reply()
        for event in events(request, body):
            reply.add(event)
        assert reply.choices[0].message == Message("assistant", text)
        assert reply.finish is not None
        assert reply.finish.reason == "stop"


def events(request: Request, body: dict[str, Any]) -> list[Any]:
    if not request.stream:
        return [*PROVIDER.decode(json.dumps(body).encode(), request)]
    decoder = PROVIDER.decoder(request)
    data = [part.split(b"data: ", 1)[1].strip() for part in stream(body)]
    return [event for item in data for event in decoder.feed(ServerSentEvent(item))]


def test_an_answer_that_was_cut() -> None:
    decoder = PROVIDER.decoder(Request("claude-3-5-haiku-20241022", "x", schema=LIST))
    begin = {**BEGIN, "content_block": {"type": "tool_use", "id": "t", "name": "reply", "input": {}}}
    piece = {**PIECE, "delta": {"type": "input_json_delta", "partial_json": '{"value": [1, 2'}}
    end = {**END, "delta": {"stop_reason": "max_tokens"}}
    reply = Reply()
    for item in (START, begin, piece, STOP, end):
        for event in decoder.feed(ServerSentEvent(json.dumps(item).encode())):
            reply.add(event)
    assert reply.text == "[1,2]"
    assert reply.finish is not None
    assert reply.finish.reason == "length"


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fault"), [
    ("overloaded_error", Overloaded), ("rate_limit_error", RateLimited), ("api_error", ServerFault),
    ("timeout_error", ServerFault),
])  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_inside_a_reply(kind: str, fault: type[LLMError], streamed: bool) -> None:
    body = {"type": "error", "error": {"type": kind, "message": "Sorry"}}
    sent = lines(START, BEGIN, PIECE, {"type": "ping"}, body) if streamed else json.dumps(body).encode()
    with pytest.raises(fault, match="Sorry") as caught:
        fold(PROVIDER, sent, streamed=streamed)
    assert caught.value.code == kind


def test_content_that_was_filtered() -> None:
    words = "Output blocked by content filtering policy"
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    with pytest.raises(ContentFiltered):
        fold(PROVIDER, lines(START, body), streamed=True)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"content": "x"}', b"<html>", b'{"type": "message"}'])
def test_bodies_that_are_no_message(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        fold(PROVIDER, body)


def test_a_stream_that_begins_twice() -> None:
    """Once more before anything was said is harmless; another message amid the first cannot be told apart."""
    other = {"type": "message_start", "message": message(id="msg_2")}
    assert fold(PROVIDER, lines(START, START, BEGIN, PIECE, STOP, END), streamed=True).text == "Hel"
    assert fold(PROVIDER, lines(START, other, BEGIN, PIECE, STOP, END), streamed=True).id == "msg_2"
    with pytest.raises(InvalidBody, match="another message"):
        fold(PROVIDER, lines(START, BEGIN, PIECE, other), streamed=True)
    with pytest.raises(InvalidBody, match="no block"):
        fold(PROVIDER, lines(START, PIECE), streamed=True)


# --- any reply ----------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=10)
JSON = st.dictionaries(WORDS, st.integers() | WORDS | st.none() | st.lists(st.booleans(), max_size=2), max_size=3)
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.builds(lambda a, b: {"type": "thinking", "thinking": a, "signature": b}, WORDS | st.just(""), WORDS),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, WORDS),
    st.builds(lambda a, b, c: {"type": "tool_use", "id": a, "name": b, "input": c}, WORDS, WORDS, JSON),
    st.builds(lambda a, b: {"type": "server_tool_use", "id": a, "name": "web_search", "input": b}, WORDS, JSON),
    st.builds(lambda a: {"type": "web_search_tool_result", "tool_use_id": a, "content": []}, WORDS),
)
REASONS = st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "odd"])
FIGURES = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(1, 99)},
    optional={
        "cache_read_input_tokens": st.none() | st.integers(0, 9),
        "cache_creation_input_tokens": st.integers(0, 9),
    },
)
MESSAGES = st.builds(
    lambda content, reason, figures: message(*content, stop_reason=reason, usage=figures),
    st.lists(BLOCKS, max_size=5), REASONS, FIGURES,
)  # fmt: skip


@given(MESSAGES, st.integers(1, 60))
def test_any_reply_folds_to_the_same_however_it_comes(body: dict[str, Any], size: int) -> None:
    whole = both(body)
    assert shown(fold(PROVIDER, b"".join(stream(body)), streamed=True, size=size)) == shown(whole)
    assert whole.complete(1)


@given(st.lists(BLOCKS, max_size=5))
def test_any_reply_goes_back_as_it_came(content: list[dict[str, Any]]) -> None:
    answer = fold(PROVIDER, json.dumps(message(*content)).encode()).choices[0].message
    sent = json.loads(PROVIDER.encode(Request("m", (answer, Message("user", "x")))).body)["messages"]
    back = sent[0]["content"] if len(sent) > 1 else []
    back = [{"type": "text", "text": back}] if isinstance(back, str) else back
    assert [block for block in back if block["type"] not in ("text", "tool_use")] == [
        block for block in content if block["type"] not in ("text", "tool_use")
    ]
    assert "".join(block["text"] for block in back if "text" in block) == "".join(
        b["text"] for b in content if "text" in b
    )
    calls = [block["input"] for block in back if block["type"] == "tool_use"]
    assert calls == [block["input"] for block in content if block["type"] == "tool_use"]


@settings(max_examples=10)
@given(st.lists(BLOCKS, min_size=1, max_size=2))
def test_any_beginning_is_interrupted_or_complete(content: list[dict[str, Any]]) -> None:
    body = b"".join(stream(message(*content)))
    complete = interruptions(PROVIDER, body, fold(PROVIDER, body, streamed=True))
    ended = body.index(b"event: message_stop")
    assert complete
    assert min(complete) >= ended - 1


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "type", "index", "delta", "content_block", "message", "content", "text", "citations", "usage", "input_tokens",
        "stop_reason", "stop_details", "id", "input", "partial_json", "signature", "thinking", "error", "name",
    ]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
KINDS = st.sampled_from(["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                         "message_delta", "text", "thinking", "tool_use"])  # fmt: skip


@given(st.lists(st.tuples(KINDS, ODD, KINDS), max_size=4), ODD)
def test_whatever_comes_only_typed_errors_come_out(odd: list[tuple[str, Any, str]], last: Any) -> None:
    decoder = Decoder()
    with suppress(LLMError):
        for kind, value, inner in odd:
            body = {"index": 0, **value} if isinstance(value, dict) else {"index": 0, "delta": value}
            body |= {"type": kind, "content_block": {"type": inner, "text": value, "input": last, "citations": last}}
            decoder.feed(ServerSentEvent(json.dumps(body).encode()))
    for body in (last, {"content": [last, {"type": "text", "text": last, "citations": last}], "usage": last}):
        with suppress(LLMError):
            Decoder().whole(body)


def test_the_rendering_is_that_of_the_service() -> None:
    """What the server for tests makes of a block, so that the tests above mean something."""
    assert grown({"type": "text", "text": "a b"}) == (
        {"type": "text", "text": ""}, [{"type": "text_delta", "text": "a"}, {"type": "text_delta", "text": " b"}],
    )  # fmt: skip
    assert grown({"type": "tool_use", "id": "t", "name": "f", "input": {}})[1][0]["partial_json"] == ""
