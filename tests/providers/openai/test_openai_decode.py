"""Replies as hosts send them, written out by hand, and random ones: buffered and streamed fold to the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import (
    ContentFiltered,
    InvalidBody,
    InvalidRequest,
    InvalidToolArguments,
    LLMError,
    Overloaded,
    RateLimited,
    SchemaMismatch,
    ServerFault,
)
from llmsdk.io.sse import ServerSentEvent, SSEDecoder
from llmsdk.reply import Reply
from llmsdk.types import (
    Event,
    Finish,
    Info,
    Reasoning,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from llmsdk_providers.openai.decode import Decoder, decode
from llmsdk_providers.openai.encode import STATE

KEY = "sk-test-0123456789abcdefXYZ"
DONE = b"[DONE]"


def fold(events: Iterable[Event]) -> Reply:
    reply = Reply()
    for event in events:
        reply.add(event)
    return reply


def streamed(*chunks: Any, event: str = "message") -> Iterator[Event]:
    """The events of a stream of chunks, each JSON or bytes."""
    decoder = Decoder((KEY,))
    for chunk in chunks:
        data = chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()
        yield from decoder.feed(ServerSentEvent(data, event))


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def call(**fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function}


def whole(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}).encode()


def calls(reply: Reply) -> tuple[ToolCall, ...]:
    return reply.choices[0].message.tool_calls


# --- buffered -----------------------------------------------------------------------------------------------------


def test_a_whole_reply() -> None:
    body = whole(
        {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []},
        id="r1", model="m-2", object="chat.completion", system_fingerprint=None,
        usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7,
               "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 1}},
    )  # fmt: skip
    assert decode(body) == [
        Info(id="r1", model="m-2"),
        TextDelta("Hello"),
        Finish("stop", "stop"),
        Usage(5, 2, 3, None, 1),
    ]


def test_a_raw_completion() -> None:
    scores = {
        "tokens": ["a", " b"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {" b": -0.5, " c": -1.5}],
        "text_offset": [0, 1],
    }
    body = {"choices": [{"text": "a b", "index": 0, "logprobs": scores, "finish_reason": "length"}]}
    token = TokenLogprob(" b", -0.5, ((" b", -0.5), (" c", -1.5)))
    assert decode(json.dumps(body).encode()) == [TextDelta("a b", 0, (token,)), Finish("length", "length")]


def test_several_choices() -> None:
    rows = [{"index": n, "message": {"content": f"t{n}"}, "finish_reason": "stop"} for n in (1, 0)]
    reply = fold(decode(json.dumps({"choices": rows}).encode()))
    assert [choice.text for choice in reply.choices] == ["t0", "t1"]
    unnumbered = [{"message": {"content": f"t{n}"}, "finish_reason": "stop"} for n in (0, 1)]
    reply = fold(decode(json.dumps({"choices": unnumbered}).encode()))
    assert [choice.text for choice in reply.choices] == ["t0", "t1"]
    assert reply.complete(2)


def test_a_buffered_reply_is_complete_without_a_reason() -> None:
    assert decode(whole({"content": "x"}, None))[-1] == Finish("other", None)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"1", b'"x"', b"{}", b'{"choices": null}', b'{"choices": []}', b'{"choices": {}}',
        b'{"choices": [null]}', b'{"choices": [{}]}', b'{"choices": [{"message": null}]}', b"<html>Sorry</html>",
        b'{"choices": [{"message": {"content": 5}}]}', b'{"choices": [{"message": {"content": "x"}}]', b"data: {}\n\n",
        b'{"a": NaN}', b"[" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}", b'{"a": "\\ud83d"}', b'{"a": "\xff"}',
    ],
)  # fmt: skip
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        decode(body)


def test_an_unreadable_body_is_shown_without_the_key() -> None:
    with pytest.raises(InvalidBody) as unreadable:
        decode(f"<html>{KEY} and Bearer {KEY[:12]}...</html>".encode(), (KEY,))
    assert "<html>" in str(unreadable.value)
    assert KEY[:8] not in str(unreadable.value)


def test_white_space_and_a_byte_order_mark_before_the_body() -> None:
    assert fold(decode(b"\n\n\n" + whole({"content": "x"}))).text == "x"
    assert fold(decode(b"\xef\xbb\xbf" + whole({"content": "x"}))).text == "x"


# --- streams ------------------------------------------------------------------------------------------------------


def test_a_stream() -> None:
    head = {"id": "r1", "model": "m-2"}
    events = streamed(
        {**head, **delta(role="assistant", content=""), "usage": None},
        {**head, **delta(content="Hel"), "usage": None},
        {**head, **delta(content="lo"), "usage": None},
        {**head, **delta("stop"), "usage": None},
        {**head, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
        DONE,
    )
    assert list(events) == [
        Info(id="r1", model="m-2"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Finish("stop", "stop"),
        Usage(5, 2),
    ]


def test_the_first_chunk_may_know_nothing_yet() -> None:
    """Azure: filter results without choices, under an empty id and model."""
    first = {"choices": [], "id": "", "model": "", "object": "", "prompt_filter_results": []}
    reply = fold(streamed(first, {"id": "r", "model": "m", **delta(content="x")}, delta("stop"), DONE))
    assert (reply.id, reply.model, reply.text) == ("r", "m", "x")


@pytest.mark.parametrize(
    "chunks",
    [
        [delta("stop"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}],
        [{**delta("stop"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}],
        [{**delta("stop"), "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}}],
        [{"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}]}],
        [
            {**delta(content="y"), "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
            {**delta("stop"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
            {**delta("stop"), "usage": None},
        ],
    ],
)
def test_usage_anywhere_and_the_last_counts(chunks: list[Any]) -> None:
    reply = fold(streamed(delta(content="x"), *chunks, DONE))
    assert reply.usage == Usage(3, 1)


def test_the_reason_twice_is_one_finish_and_its_chunk_may_carry_text() -> None:
    events = list(streamed(delta(content="a"), delta("stop", content="b"), delta("stop"), DONE))
    assert events == [TextDelta("a"), TextDelta("b"), Finish("stop", "stop")]


def test_the_end_without_a_reason() -> None:
    assert list(streamed(delta(content="a"), DONE)) == [TextDelta("a"), Finish("other", None)]
    assert list(streamed(delta(content="a"))) == [TextDelta("a")]
    assert list(streamed(delta(role="assistant"), DONE)) == []
    assert list(streamed(delta(content="a", finish=""), DONE))[-1] == Finish("other", None)
    called = fold(streamed(delta(tool_calls=[call(index=0, id="c", name="f", arguments="{}")]), DONE))
    assert called.finish == Finish("tool_call", None)


def test_nothing_after_the_end_counts() -> None:
    assert fold(streamed(delta(content="a"), delta("stop"), DONE, delta(content="b"), b"{", DONE)).text == "a"


@pytest.mark.parametrize("chunk", [None, [], 5, "x", {}, {"choices": None}, {"choices": [None]}, {"type": "ping"},
                                   {"choices": [{"index": 0, "delta": None}]}, {"choices": [{}]}])  # fmt: skip
def test_chunks_that_say_nothing(chunk: Any) -> None:
    events = streamed(delta(content="a"), chunk, b"", b"  ", delta("stop"), DONE)
    assert list(events) == [TextDelta("a"), Finish("stop", "stop")]


def test_a_broken_chunk_says_which() -> None:
    with pytest.raises(InvalidBody, match="event 2 of the stream"):
        list(streamed(delta(content="a"), b'{"choices": ['))


def test_a_whole_reply_as_the_only_chunk() -> None:
    chunk = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    assert list(streamed(chunk, DONE)) == [TextDelta("x"), Finish("stop", "stop")]
    repeated = {"choices": [{"delta": {}, "message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert fold(streamed(delta(content="ab"), repeated)).text == "ab"


def test_a_streamed_raw_completion() -> None:
    chunks = [{"choices": [{"index": 0, "text": t, "finish_reason": f}]} for t, f in (("a", None), ("", "length"))]
    assert list(streamed(*chunks, DONE)) == [TextDelta("a"), Finish("length", "length")]


# --- finish -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"), ("eos", "stop"), ("STOP", "stop"), ("length", "length"), ("model_length", "length"),
        ("MAX_TOKENS", "length"), ("content_filter", "content_filter"), ("sensitive", "content_filter"),
        ("error", "error"), ("insufficient_system_resource", "error"), ("tool_calls", "other"), ("brand_new", "other"),
    ],
)  # fmt: skip
def test_reasons(raw: str, reason: str) -> None:
    for events in (decode(whole({"content": "x"}, raw)), streamed(delta(raw, content="x"))):
        assert fold(events).finish == Finish(reason, raw)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", ["tool_calls", "stop", "function_call", "STOP", None])
def test_tool_calls_show_in_the_calls_not_in_the_reason(raw: str | None) -> None:
    message = {"content": None, "tool_calls": [call(id="c", type="function", name="f", arguments="{}")]}
    reply = fold(decode(whole(message, raw)))
    assert reply.finish == Finish("tool_call", raw)
    assert calls(reply) == (ToolCall("c", "f", "{}"),)
    cut = fold(decode(whole(message, "length")))
    assert cut.finish == Finish("length", "length")


def test_a_refusal() -> None:
    events = [TextDelta("I can't."), Finish("refusal", "stop")]
    assert decode(whole({"content": None, "refusal": "I can't."})) == events
    assert list(streamed(delta(refusal="I can't."), delta("stop"))) == events


# --- tool calls ---------------------------------------------------------------------------------------------------


def test_numbered_pieces() -> None:
    reply = fold(
        streamed(
            delta(tool_calls=[call(index=0, id="a", type="function", name="f", arguments="")]),
            delta(tool_calls=[call(index=0, arguments='{"x":')]),
            delta(tool_calls=[call(index=1, id="b", name="g", arguments="{")]),
            delta(tool_calls=[call(index=0, arguments=" 1}")]),
            delta(tool_calls=[call(index=1, id="", name="", arguments="}")]),
            delta("tool_calls"),
        )
    )
    assert calls(reply) == (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "{}"))
    assert calls(reply)[0].arguments == {"x": 1}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # no index, each call whole (Google, Mistral, old Ollama)
        ([[call(id="a", name="f", arguments="{}")], [call(id="b", name="g", arguments="{}")]], ["a f {}", "b g {}"]),
        ([[call(id="a", name="f", arguments="{}"), call(id="b", name="f", arguments="[]")]], ["a f {}", "b f []"]),
        # neither index nor id: ids are made
        ([[call(id="", name="f", arguments="{}")], [call(name="f", arguments="[]")]], ["call_0 f {}", "call_1 f []"]),
        # no index, in pieces
        ([[call(id="a", name="f", arguments="{")], [call(arguments="}")], [call(id="a", arguments=" ")]], ["a f {} "]),
        # every call numbered 0
        ([[call(index=0, id="a", name="f", arguments="{}")], [call(index=0, id="b", name="f", arguments="[]")]],
         ["a f {}", "b f []"]),
        # a new id with every piece, which still is one call
        ([[call(index=0, id="a", name="f", arguments="{")], [call(index=0, id="z", arguments="}")]], ["a f {}"]),
        # the name again with every piece
        ([[call(index=0, id="a", name="f", arguments="{")], [call(index=0, name="f", arguments="}")]], ["a f {}"]),
        # arguments as an object; index inside the function
        ([[{"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": [1]}}}]], ['a f {"x":[1]}']),
        ([[call(index=0, id="a", name="f")], [call(index=0, arguments=None)]], ["a f "]),
        ([[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "hi"}}]], ["a f hi"]),
        ([[None, 5, {}]], ["call_0  "]),
    ],
)  # fmt: skip
def test_pieces_that_hosts_send(pieces: list[Any], expected: list[str]) -> None:
    reply = fold(streamed(*(delta(tool_calls=group) for group in pieces), delta("stop")))
    assert [f"{c.id} {c.name} {c.arguments_json}" for c in calls(reply)] == expected


def test_whole_calls_are_never_merged() -> None:
    message = {
        "tool_calls": [call(index=0, id="", name="f", arguments="{}"), call(index=0, id="", name="f", arguments="[]")]
    }
    assert [c.id for c in calls(fold(decode(whole(message))))] == ["call_0", "call_1"]


def test_calls_of_other_choices_are_their_own() -> None:
    events = [*streamed(delta(tool_calls=[call(name="f")]), delta(index=1, tool_calls=[call(name="f")]))]
    assert events == [ToolCallDelta(0, "call_0", "f", "", 0), ToolCallDelta(0, "call_1_0", "f", "", 1)]


def test_the_old_function_call() -> None:
    message = {"content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    reply = fold(decode(whole(message, "function_call")))
    assert calls(reply) == (ToolCall("call_0", "f", '{"a": 1}'),)
    reply = fold(
        streamed(delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"}), DONE)
    )
    assert calls(reply) == (ToolCall("call_0", "f", "{}"),)


# --- reasoning and parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_under_its_names(field: str) -> None:
    for events in (
        decode(whole({"content": "x", field: "Hm."})),
        streamed(delta(**{field: "H"}), delta(**{field: "m."}), delta(content="x"), delta("stop")),
    ):
        reply = fold(events)
        assert (reply.reasoning, reply.text) == ("Hm.", "x")


def test_reasoning_under_two_names_counts_once() -> None:
    details = [{"type": "reasoning.text", "text": "Hm.", "index": 0}]
    message = {"content": "x", "reasoning_content": "Hm.", "reasoning": "Hm.", "reasoning_details": details}
    assert fold(decode(whole(message))).reasoning == "Hm."


def test_reasoning_details_are_kept_to_go_back() -> None:
    pieces: list[list[dict[str, Any]]] = [
        [{"type": "reasoning.text", "text": "H", "index": 0, "format": "x"}],
        [{"type": "reasoning.text", "text": "m.", "index": 0, "signature": None}],
        [{"type": "reasoning.text", "text": None, "signature": "sig", "index": 0}],
        [{"type": "reasoning.encrypted", "data": "abc", "index": 1}],
    ]
    reply = fold(streamed(*(delta(reasoning_details=piece) for piece in pieces), delta(content="x"), delta("stop")))
    part = reply.choices[0].message.parts[0]
    kept = [
        {"type": "reasoning.text", "text": "Hm.", "index": 0, "format": "x", "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "abc", "index": 1},
    ]
    assert part.provider_state == {STATE: {"host": "", "reasoning_details": kept}}  # type: ignore[union-attr]
    assert reply.reasoning == "Hm."


def test_what_must_come_back_with_a_call_is_kept() -> None:
    """Google's endpoint answers 400 to a call that comes back without its signature."""
    extra = {"google": {"thought_signature": "c2ln"}}
    piece = call(index=0, id="c1", name="look", arguments="{}") | {"extra_content": extra}
    for reply in (
        fold(decode(whole({"tool_calls": [piece]}), host="h:443")),
        fold(Decoder(host="h:443").feed(ServerSentEvent(json.dumps(delta("stop", tool_calls=[piece])).encode()))),
    ):
        assert calls(reply)[0].provider_state == {STATE: {"host": "h:443", "extra_content": extra}}
        assert reply.finish == Finish("tool_call", "stop")


def test_reasoning_says_whose_it_is_where_its_host_wants_it_back() -> None:
    message = {"content": "Yes.", "reasoning_content": "Hm."}
    for returns, state in ((True, {STATE: {"host": "h:443"}}), (False, None)):
        part = fold(decode(whole(message), host="h:443", returns_reasoning=returns)).choices[0].message.parts[0]
        assert part == Reasoning("Hm.", state)


def test_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}
    parts = [thinking, {"type": "text", "text": "x"}, {"type": "reference", "reference_ids": [1]}]
    for events in (decode(whole({"content": parts})), streamed(delta("stop", content=parts))):
        found = list(events)
        assert found[:2] == [ReasoningDelta("Hm."), TextDelta("x")]
        assert found[2] == Info(warning="a part of the reply of the type 'reference' was left out")


# --- logprobs -----------------------------------------------------------------------------------------------------


def test_logprobs() -> None:
    entry = {
        "token": "a", "logprob": -0.25, "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": -2}, {"token": "a", "logprob": -0.25}, {"token": None}, 5],
    }  # fmt: skip
    scores = {"content": [entry, {"token": "x"}, None], "refusal": None}
    token = TokenLogprob("a", -0.25, (("a", -0.25), ("b", -2.0)))
    body = {"choices": [{"message": {"content": "a"}, "logprobs": scores, "finish_reason": "stop"}]}
    assert fold(decode(json.dumps(body).encode())).choices[0].logprobs == (token,)
    chunk = {"choices": [{"index": 0, "delta": {"content": ""}, "logprobs": scores}]}
    assert list(streamed(chunk)) == [TextDelta("", 0, (token,))]


# --- usage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "usage"),
    [
        ({"prompt_tokens": 362, "completion_tokens": 28, "total_tokens": 698,
          "completion_tokens_details": {"reasoning_tokens": 308}}, Usage(362, 336, reasoning_tokens=308)),
        ({"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19,
          "completion_tokens_details": {"reasoning_tokens": 5}}, Usage(10, 9, reasoning_tokens=5)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
         Usage(9, 1, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, Usage(9, 1, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": 2}},
         Usage(9, 1, cache_write_tokens=2)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None}, Usage(9, 1)),
        ({"prompt_tokens": 9.0, "completion_tokens": 1.0}, Usage(9, 1)),
        ({"prompt_tokens": 9}, Usage(9)),
    ],
)  # fmt: skip
def test_figures_mean_the_same_everywhere(figures: dict[str, Any], usage: Usage) -> None:
    reply = fold(decode(whole({"content": "x"}, usage=figures)))
    assert reply.usage == usage
    assert reply.warnings == []


@pytest.mark.parametrize(
    ("figures", "usage", "said"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 161}},
         Usage(10, 1, 10), "cached_input_tokens"),
        ({"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}},
         Usage(1, 2, reasoning_tokens=2), "reasoning_tokens"),
        ({"prompt_tokens": -1, "completion_tokens": 2}, Usage(None, 2), "input_tokens"),
        ({"prompt_tokens": "many", "completion_tokens": 2}, Usage(None, 2), "input_tokens"),
        ({"prompt_tokens": True, "completion_tokens": 2.5}, None, "output_tokens"),
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, Usage(35, 12), "109"),
    ],
)  # fmt: skip
def test_impossible_figures_are_clamped_and_said(figures: dict[str, Any], usage: Usage | None, said: str) -> None:
    reply = fold(decode(whole({"content": "x"}, usage=figures)))
    assert reply.usage == usage
    assert any(said in warning for warning in reply.warnings)


def test_a_warning_is_said_once() -> None:
    odd = {"prompt_tokens": -1, "completion_tokens": 1}
    chunks = [{**delta(content="x"), "usage": {**odd, "completion_tokens": n}} for n in range(5)]
    assert len(fold(streamed(*chunks)).warnings) == 1


@pytest.mark.parametrize("figures", [None, {}, [], 5, "x", {"other": 1}])
def test_no_figures(figures: Any) -> None:
    assert fold(decode(whole({"content": "x"}, usage=figures))).usage is None


# --- errors inside a success --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 502, "message": "Provider returned error"}}, ServerFault),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow"}, "choices": []}, RateLimited),
        ({"error": {"type": "overloaded_error", "message": "busy"}}, Overloaded),
        ({"error": "it broke"}, ServerFault),
        ({"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, InvalidRequest),
        (
            {"choices": [{"error": {"code": 429, "message": "slow"}, "delta": {}}]},
            RateLimited,
        ),
        ({"error": {"code": "content_filter", "message": "no"}}, ContentFiltered),
    ],
)
def test_errors_in_a_reply_that_says_200(body: dict[str, Any], kind: type[LLMError]) -> None:
    with pytest.raises(kind):
        decode(json.dumps(body).encode())
    events = streamed(delta(content="a"), body)
    assert next(events) == TextDelta("a")
    with pytest.raises(kind):
        next(events)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"error": {"message": "bad", "code": "tool_use_failed", "status_code": 400}}', InvalidToolArguments),
        (b'{"error": {"message": "bad", "code": "bad_request", "status_code": 400}}', InvalidRequest),
        (b'{"message": "busy", "type": "overloaded_error"}', Overloaded),
        (b"it broke", ServerFault),
        (b"", None),
    ],
)
def test_an_error_event(data: bytes, kind: type[LLMError] | None) -> None:
    if kind is None:
        assert list(streamed(data, event="error")) == []
        return
    with pytest.raises(kind):
        list(streamed(data, event="error"))


@pytest.mark.parametrize(
    ("code", "kind"), [("tool_use_failed", InvalidToolArguments), ("json_validate_failed", SchemaMismatch)]
)
def test_what_the_model_wrote_stays_with_the_error_of_a_host_that_refused_it(code: str, kind: type[LLMError]) -> None:
    error = {"message": "it does not fit", "code": code, "failed_generation": "<function=look>", "status_code": 400}
    with pytest.raises(kind) as fault:
        list(streamed(delta(content="a"), {"error": error}, event="message"))
    assert (fault.value.code, fault.value.status, vars(fault.value)["text"]) == (code, 400, "<function=look>")
    with pytest.raises(kind) as fault:
        decode(json.dumps({"error": {**error, "failed_generation": {"name": 1}}}).encode())
    assert vars(fault.value)["text"] == ""


def test_an_error_among_the_chunks_ends_the_stream_whatever_follows() -> None:
    """OpenRouter puts it into a chunk that looks like any other, and goes on to the terminator."""
    broken = {"id": "r", **delta("error", content=""), "error": {"code": 502, "message": "the provider hung up"}}
    events = streamed(delta(content="So "), broken, delta("stop"), DONE)
    assert next(events) == TextDelta("So ")
    with pytest.raises(ServerFault, match="hung up"):
        list(events)


def test_an_error_in_a_stream_is_shown_without_the_key() -> None:
    with pytest.raises(ServerFault) as fault:
        list(streamed({"error": {"message": f"the key {KEY} broke"}}))
    assert str(fault.value) == "the key *** broke"


def test_what_is_not_an_error() -> None:
    for nothing in (None, {}, "", []):
        assert fold(decode(whole({"content": "x"}, error=nothing))).text == "x"


# --- any reply, buffered and streamed -----------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TOOLS = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=5), st.dictionaries(TEXT, st.integers() | TEXT, max_size=3)),
    max_size=3,
)
SCORES = st.lists(st.tuples(TEXT, st.floats(-20, 0)), max_size=3)


@st.composite
def replies(draw: st.DrawFn) -> dict[str, Any]:
    """A buffered reply of a well-behaved host."""
    choices = []
    for index in range(draw(st.integers(1, 3))):
        tools = draw(TOOLS)
        message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXT)}
        if thought := draw(TEXT):
            message["reasoning_content"] = thought
        if refusal := draw(st.just("") | TEXT):
            message["refusal"] = refusal
        if tools:
            message["tool_calls"] = [
                {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for n, (name, arguments) in enumerate(tools)
            ]
        scores = [{"token": token, "logprob": score, "top_logprobs": []} for token, score in draw(SCORES)]
        reason = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter", "odd"]))
        logprobs = {"content": scores} if scores else None
        choices.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
    cached, written = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    usage = {"prompt_tokens": 50, "completion_tokens": 70, "total_tokens": 120}
    usage |= {"prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written}}
    return {"id": "r", "model": "m", "choices": choices, "usage": draw(st.sampled_from([None, usage]))}


def render(reply: dict[str, Any], cut: st.DataObject) -> bytes:
    """The same reply as a stream: text cut anywhere, choices in turn, usage in any of its places."""
    head = {"id": reply["id"], "model": reply["model"]}
    queues = [list(_deltas(choice, cut)) for choice in reply["choices"]]
    chunks: list[dict[str, Any]] = []
    while queue := cut.draw(st.sampled_from([q for q in queues if q] or [[]])):
        chunks.append({**head, "choices": [queue.pop(0)]})
    place = cut.draw(st.sampled_from(["own", "finish", "groq", "growing"]))
    if reply["usage"] is not None:
        if place == "own":
            chunks.append({**head, "choices": [], "usage": reply["usage"]})
        elif place == "growing":
            for number, chunk in enumerate(chunks):
                chunk["usage"] = {**reply["usage"], "completion_tokens": number + 1, "total_tokens": 51 + number}
        chunks[-1] |= {"x_groq": {"usage": reply["usage"]}} if place == "groq" else {"usage": reply["usage"]}
    end = cut.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [f"data: {json.dumps(chunk)}{end}{end}" for chunk in chunks]
    noise = cut.draw(st.sampled_from(["", f": keep-alive{end}{end}", end]))
    return (noise + noise.join(lines) + f"data: [DONE]{end}{end}").encode()


def _deltas(choice: dict[str, Any], cut: st.DataObject) -> Iterator[dict[str, Any]]:
    message, index = choice["message"], choice["index"]

    def chunk(finish: str | None = None, logprobs: Any = None, **fields: Any) -> dict[str, Any]:
        return {"index": index, "delta": fields, "logprobs": logprobs, "finish_reason": finish}

    yield chunk(role="assistant", content="")
    for name in ("reasoning_content", "content", "refusal"):
        for number, piece in enumerate(_pieces(message.get(name) or "", cut)):
            yield chunk(**{name: piece}, logprobs=choice["logprobs"] if (name, number) == ("content", 0) else None)
    if choice["logprobs"] and not message["content"]:
        yield chunk(content="", logprobs=choice["logprobs"])
    for slot, whole_call in enumerate(message.get("tool_calls", ())):
        function = {"name": whole_call["function"]["name"], "arguments": ""}
        yield chunk(tool_calls=[{"index": slot, "id": whole_call["id"], "type": "function", "function": function}])
        for piece in _pieces(whole_call["function"]["arguments"], cut):
            yield chunk(tool_calls=[{"index": slot, "function": {"arguments": piece}}])
    yield chunk(choice["finish_reason"])


def _pieces(text: str, cut: st.DataObject) -> Iterator[str]:
    while text:
        size = cut.draw(st.integers(1, len(text)))
        yield text[:size]
        text = text[size:]


@settings(max_examples=100, deadline=None)
@given(replies(), st.data())
def test_any_reply_folds_to_the_same_streamed(reply: dict[str, Any], cut: st.DataObject) -> None:
    buffered = fold(decode(json.dumps(reply).encode()))
    body = render(reply, cut)
    sse, decoder, folded = SSEDecoder(), Decoder(), Reply()
    step = cut.draw(st.integers(1, max(1, len(body) // 3)))
    for at in range(0, len(body), step):
        for message in sse.feed(body[at : at + step]):
            for event in decoder.feed(message):
                folded.add(event)
    assert folded.choices == buffered.choices
    assert (folded.usage, folded.finish, folded.id, folded.model) == (
        buffered.usage, buffered.finish, buffered.id, buffered.model,
    )  # fmt: skip
    assert folded.complete(len(reply["choices"]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "index", "id", "usage",
        "prompt_tokens", "finish_reason", "logprobs", "tokens", "top_logprobs", "error", "text", "reasoning_details",
    ]), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(JSON, JSON, st.binary(max_size=40))
def test_whatever_comes_only_typed_errors_come_out(first: Any, second: Any, third: bytes) -> None:
    bodies = [json.dumps({"choices": [first, {"index": 0, "delta": second, "message": second}]}).encode(), third]
    for body in (*bodies, json.dumps(first).encode()):
        with suppress(LLMError):
            fold(decode(body))
    with suppress(LLMError):
        fold(streamed(first, *bodies, second))
