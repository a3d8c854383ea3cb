"""Replies of the Responses API, written by hand: buffered and streamed, whole, cut and odd."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dialects import events, fold, interruptions, pieces, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import (
    ContentFiltered,
    InvalidBody,
    InvalidRequest,
    LLMError,
    QuotaExhausted,
    RateLimited,
    ServerFault,
)
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Reasoning, ReasoningDelta, Text, TextDelta, TokenLogprob, ToolCall, ToolCallDelta, Usage
from llmsdk_providers.openai_responses import Responses, Settings
from llmsdk_providers.openai_responses.decode import Decoder
from llmsdk_providers.openai_responses.items import state

PROVIDER = Responses("r", Settings(base_url="http://127.0.0.1:1/v1"))
HOST = "127.0.0.1:1"
USAGE = {
    "input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}, "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 16,
}  # fmt: skip
THOUGHT = {
    "id": "rs_1", "type": "reasoning", "encrypted_content": "c2VjcmV0",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
}  # fmt: skip
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"n": 7}'}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}


def said(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content, **fields}


def refused(text: str) -> dict[str, Any]:
    return said("", content=[{"type": "refusal", "refusal": text}])


def reply(*output: Any, status: str = "completed", reason: str | None = None, **fields: Any) -> dict[str, Any]:
    why = {"reason": reason} if reason else None
    head = {"id": "resp_1", "object": "response", "model": "gpt-5-x", "status": status, "error": None}
    return {**head, "incomplete_details": why, "output": list(output), "usage": USAGE, **fields}


def streamed(body: dict[str, Any], cut: Any = None) -> list[dict[str, Any]]:
    """The events of a reply; ``cut`` says into which pieces a text goes."""
    cut = cut or (lambda text: [text] if text else [])
    found: list[dict[str, Any]] = [{"type": "response.created", "response": {**body, "status": "in_progress"}}]
    for index, item in enumerate(body["output"]):
        spot: dict[str, Any] = {"output_index": index}
        bare = {**item, **{name: [] for name in ("content", "summary") if name in item}}
        if "arguments" in item:
            bare["arguments"] = ""
        found.append({"type": "response.output_item.added", "item": bare, **spot})
        for at, part in enumerate(item.get("summary", ())):
            kind = "response.reasoning_summary_text.delta"
            found += [{"type": kind, "summary_index": at, "delta": piece, **spot} for piece in cut(part["text"])]
        for piece in cut(item.get("arguments", "")):
            found.append({"type": "response.function_call_arguments.delta", "delta": piece, **spot})
        for at, part in enumerate(item.get("content", ())):
            kind, key = KINDS[part["type"]]
            found += [{"type": kind, "content_index": at, "delta": piece, **spot} for piece in cut(part[key])]
        found.append({"type": "response.output_item.done", "item": item, **spot})
    return [*found, {"type": f"response.{body['status']}", "response": body}]


KINDS = {
    "output_text": ("response.output_text.delta", "text"),
    "reasoning_text": ("response.reasoning_text.delta", "text"),
    "refusal": ("response.refusal.delta", "refusal"),
}


def both(body: dict[str, Any]) -> Any:
    """The reply, the same from both forms."""
    whole = fold(PROVIDER, json.dumps(body).encode())
    stream = fold(PROVIDER, events(*streamed(body), named=True), streamed=True)
    assert shown(stream) == shown(whole)
    return whole


def test_a_whole_reply() -> None:
    found = both(reply(THOUGHT, SEARCH, said("Seven."), CALL))
    assert found.choices[0].message.content == (
        Reasoning("One.\n\nTwo.", state(HOST, THOUGHT)),
        Reasoning("", state(HOST, SEARCH)),
        Reasoning("", state(HOST, {k: v for k, v in said("").items() if k != "content"})),
        Text("Seven."),
        ToolCall("call_1", "look", '{"n": 7}', state(HOST, {"id": "fc_1"})),
    )
    assert found.usage == Usage(9, 7, 4, 2, 3)
    assert (found.id, found.model, found.warnings) == ("resp_1", "gpt-5-x", [])
    assert found.complete(1)


def test_text_alone_is_a_plain_message() -> None:
    found = both(reply(said("Hi.")))
    assert found.choices[0].message.content == "Hi."
    phase = both(reply(said("Hm.", phase="commentary"), said("Hi.", id="msg_2", phase="final_answer")))
    assert [part.text for part in phase.choices[0].message.parts] == ["", "Hm.", "", "Hi."]
    assert phase.text == "Hm.Hi."


@pytest.mark.parametrize(
    ("body", "reason", "raw"),
    [
        (reply(said("a")), "stop", "completed"),
        (reply(CALL), "tool_call", "completed"),
        (reply(refused("No.")), "refusal", "completed"),
        (reply(said("a"), status="incomplete", reason="max_output_tokens"), "length", "max_output_tokens"),
        (reply(CALL, status="incomplete", reason="max_output_tokens"), "length", "max_output_tokens"),
        (reply(said("a"), status="incomplete", reason="content_filter"), "content_filter", "content_filter"),
        (reply(said("a"), status="incomplete", reason="tired"), "other", "tired"),
        (reply(said("a"), status="incomplete"), "other", "incomplete"),
    ],
)
def test_how_a_reply_ends(body: dict[str, Any], reason: str, raw: str) -> None:
    finish = both(body).finish
    assert (finish.reason, finish.raw_reason) == (reason, raw)


def test_a_reply_that_is_not_ready_yet() -> None:
    for status in ("queued", "in_progress"):
        found = fold(PROVIDER, json.dumps(reply(status=status, usage=None)).encode())
        assert found.finish is not None
        assert (found.finish.reason, found.finish.raw_reason, found.usage) == ("pause", status, None)


def test_open_reasoning_and_logprobs() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    scores = [
        {
            "token": "a",
            "logprob": -0.5,
            "top_logprobs": [{"token": "b", "logprob": -2}, {"token": "a", "logprob": -0.5}],
        }
    ]
    part = {"type": "output_text", "text": "a", "logprobs": scores}
    body = reply(thought, said("", content=[part]))
    whole = fold(PROVIDER, json.dumps(body).encode())
    assert whole.reasoning == "Hm."
    assert whole.choices[0].logprobs == (TokenLogprob("a", -0.5, (("a", -0.5), ("b", -2.0))),)
    stream = streamed(body)
    next(event for event in stream if event["type"] == "response.output_text.delta")["logprobs"] = scores
    assert shown(fold(PROVIDER, events(*stream), streamed=True)) == shown(whole)


def test_odd_figures_are_clamped_and_told() -> None:
    odd = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 1.0}
    found = both(reply(said("a"), usage=odd))
    assert found.usage == Usage(3, 1, 3)
    assert len(found.warnings) == 1


def test_what_came_already_does_not_come_again() -> None:
    """Hosts that number parts otherwise, that name items anew at the end, that send no deltas, that repeat an id."""
    delta = {"type": "response.output_text.delta", "output_index": 1, "content_index": 1, "delta": "Hi."}
    done = {"type": "response.output_item.done", "output_index": 1, "item": said("Hi.")}
    end = {"type": "response.completed", "response": reply(said("?", id="msg_0"), said("Hi.", id="msg_new"))}
    assert fold(PROVIDER, events(delta, done, end), streamed=True).text == "Hi.?"
    assert (
        fold(PROVIDER, events(done, {"type": "response.completed", "response": reply()}), streamed=True).text == "Hi."
    )
    assert fold(PROVIDER, events(end), streamed=True).text == "?Hi."
    twins = both(reply(THOUGHT, {**THOUGHT, "summary": []}, said("a")))
    assert len([part for part in twins.choices[0].message.parts if isinstance(part, Reasoning)]) == 3


def test_unknown_events_and_items() -> None:
    odd = [{"type": "response.novelty", "x": 1}, {"no": "type"}, 5, "[DONE]", {"type": "keepalive"}]
    body = reply({"type": "novelty", "id": "n_1"}, {"type": "custom_tool_call", "id": "c"}, {"no": "type"}, said("a"))
    end = [*odd, *streamed(body), {"type": "response.output_text.delta", "delta": "after the end"}]
    found = fold(PROVIDER, events(*end), streamed=True)
    assert found.text == "a"
    assert found.warnings == ["an item of the type 'custom_tool_call' was left out of the reply"]
    assert found.choices[0].message.parts[0] == Reasoning("", state(HOST, {"type": "novelty", "id": "n_1"}))


# --- errors -------------------------------------------------------------------------------------------------------


FAILURES: list[tuple[dict[str, Any], type[LLMError]]] = [
    ({"code": "insufficient_quota", "message": "m"}, QuotaExhausted),
    ({"code": "rate_limit_exceeded", "message": "Please try again in 2s."}, RateLimited),
    ({"code": "server_error", "message": "m"}, ServerFault),
    ({"code": "invalid_prompt", "message": "m"}, ContentFiltered),
    ({"code": "image_parse_error", "message": "m"}, InvalidRequest),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES)
def test_a_failed_reply_is_an_error_in_every_form(error: dict[str, Any], kind: type[LLMError]) -> None:
    failed = reply(status="failed", error=error)
    forms = [
        (json.dumps(failed).encode(), False),
        (json.dumps({"error": error}).encode(), False),
        (events({"type": "response.failed", "response": failed}), True),
        (events({"type": "error", "error": error}, {"type": "response.failed", "response": failed}), True),
        (events({"type": "error", **error, "sequence_number": 1}), True),
        (events({"error": error}), True),
        (b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n", True),
    ]
    for body, is_stream in forms:
        with pytest.raises(kind, match=error["message"]) as caught:
            fold(PROVIDER, body, streamed=is_stream)
        assert caught.value.code == error["code"]
        if isinstance(caught.value, RateLimited):
            assert caught.value.retry_after == 2


def test_a_failed_reply_counts_its_tokens_first() -> None:
    failed = {"type": "response.failed", "response": reply(status="failed", error=None)}
    found: list[Event] = []
    with pytest.raises(ServerFault, match="did not say why"):
        found.extend(Decoder(HOST).feed(ServerSentEvent(json.dumps(failed).encode())))
    assert Usage(9, 7, 4, 2, 3) in found


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'{"choices": []}', b'{"output": 5}', b'{"x": NaN}'])
def test_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        fold(PROVIDER, body)


# --- any reply, any split ----------------------------------------------------------------------------------------


WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
PARTS = st.lists(WORDS.map(lambda text: {"type": "output_text", "text": text}), max_size=3)
ITEMS = st.one_of(
    st.builds(lambda parts, phase: said("", content=parts, **phase), PARTS, st.sampled_from([{}, {"phase": "p"}])),
    WORDS.map(refused),
    st.lists(WORDS, max_size=3).map(
        lambda texts: {**THOUGHT, "summary": [{"type": "summary_text", "text": text} for text in texts]}
    ),
    WORDS.map(lambda text: {**THOUGHT, "summary": [], "content": [{"type": "reasoning_text", "text": text}]}),
    st.builds(lambda name, text: {**CALL, "name": name, "arguments": json.dumps({"t": text})}, WORDS, WORDS),
    st.just(SEARCH),
)  # fmt: skip
ENDS = st.sampled_from(
    [{}, {"status": "incomplete", "reason": "max_output_tokens"}, {"status": "incomplete", "reason": "other"}]
)
REPLIES = st.builds(lambda output, end: reply(*output, **end), st.lists(ITEMS, max_size=5), ENDS)


@settings(max_examples=60)
@given(body=REPLIES, draw=st.data())
def test_buffered_and_streamed_agree(body: dict[str, Any], draw: st.DataObject) -> None:
    for number, item in enumerate(body["output"]):
        item = body["output"][number] = dict(item)
        item["id"] = f"{item['type']}_{number}"
    whole = fold(PROVIDER, json.dumps(body).encode())
    stream = events(*streamed(body, lambda text: list(pieces(text, draw))), named=True)
    for size in (0, draw.draw(st.integers(1, 40))):
        assert shown(fold(PROVIDER, stream, streamed=True, size=size)) == shown(whole)


def test_a_stream_cut_anywhere_is_never_taken_for_whole() -> None:
    body = reply(THOUGHT, said("é!"), CALL)
    stream = events(*streamed(body, list))
    whole = fold(PROVIDER, stream, streamed=True)
    assert interruptions(PROVIDER, stream, whole) == [len(stream)]


def test_deltas_come_one_by_one() -> None:
    """Nothing waits for the end of its item."""
    decoder = Decoder(HOST)
    kinds = []
    for event in streamed(reply(THOUGHT, said("ab"), CALL), list):
        kinds.append({type(e) for e in decoder.feed(ServerSentEvent(json.dumps(event).encode()))})
    assert kinds.count({TextDelta}) == 2
    assert sum(ToolCallDelta in kind for kind in kinds) == 1 + len(CALL["arguments"])
    assert sum(ReasoningDelta in kind for kind in kinds) >= 8
