"""Replies, buffered and streamed, written by hand: what they are read as, and that both ways agree."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from dialects import CANARY, HI, events, exchange, fold, interruptions, pieces, sent, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from recorded import read

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    TimedOut,
    Transient,
    Unauthorized,
)
from llmsdk.reply import Reply
from llmsdk.types import Message, Reasoning, Request, Text, TokenLogprob, ToolCall, Usage
from llmsdk_providers.gemini import Gemini, Settings
from llmsdk_providers.gemini.contents import STATE

PROVIDER = Gemini("gemini", Settings(api_key=SecretStr(CANARY)))


def candidate(*parts: Any, finish: Any = None, index: int | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, **more}
    if finish is not None:
        made["finishReason"] = finish
    return made if index is None else {**made, "index": index}


def body(*candidates: Any, usage: Any = None, **more: Any) -> dict[str, Any]:
    known = {"candidates": list(candidates), "modelVersion": "gemini-x", "responseId": "R-1", **more}
    return known if usage is None else {**known, "usageMetadata": usage}


def whole(value: Any) -> Reply:
    return fold(PROVIDER, json.dumps(value).encode())


def streamed(*chunks: Any, size: int = 0) -> Reply:
    return fold(PROVIDER, events(*chunks), streamed=True, size=size)


def error(value: Any, *, streamed: bool = False) -> LLMError:
    raw = events(value) if streamed else json.dumps(value).encode()
    with pytest.raises(LLMError) as caught:
        fold(PROVIDER, raw, streamed=streamed)
    assert CANARY not in str(caught.value)
    return caught.value


# --- replies ------------------------------------------------------------------------------------------------------

USAGE = {
    "promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 3,
    "cachedContentTokenCount": 4, "totalTokenCount": 25,
}  # fmt: skip
THOUGHT = {"text": "Hm. ", "thought": True}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2ln"}


def test_everything_in_one_reply() -> None:
    given = {"functionCall": {"id": "given", "name": "now"}}
    signed = {"text": "Two.", "thoughtSignature": "dGV4dA=="}
    reply = whole(body(candidate(THOUGHT, signed, CALL, given, finish="STOP"), usage=USAGE))
    assert (reply.id, reply.model) == ("R-1", "gemini-x")
    assert reply.usage == Usage(15, 10, 4, None, 3)
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == ("tool_call", "STOP")
    message = reply.choices[0].message
    assert message == Message("assistant", (
        Reasoning("Hm. ", {STATE: {"thought": True}}),
        Text("Two."),
        Reasoning("", {STATE: {"thoughtSignature": "dGV4dA=="}}),
        ToolCall("call_R-1_0", "weather", '{"city":"Köln"}', {STATE: {"thoughtSignature": "c2ln"}}),
        ToolCall("given", "now", "{}", {STATE: {"id": "given"}}),
    ))  # fmt: skip
    back = sent(PROVIDER, Request("gemini-2.5-flash", (*HI, message)))["contents"][-1]["parts"]
    assert back == [THOUGHT, signed, CALL, {"functionCall": {"id": "given", "name": "now", "args": {}}}]


def test_the_same_in_a_stream() -> None:
    first = body(candidate({"text": "Hm", "thought": True}), usage={"promptTokenCount": 10})
    second = body(candidate({"text": ". ", "thought": True}, {"text": "Tw"}))
    third = body(candidate({"text": "o."}), usage={"promptTokenCount": 10, "candidatesTokenCount": 2})
    fourth = body(candidate({"text": "", "thoughtSignature": "dGV4dA=="}, CALL))
    last = body(candidate({"functionCall": {"id": "given", "name": "now"}}, finish="STOP"), usage=USAGE)
    reply = streamed(first, second, third, fourth, last)
    signed = {"text": "Two.", "thoughtSignature": "dGV4dA=="}
    parts = (THOUGHT, signed, CALL, {"functionCall": {"id": "given", "name": "now"}})
    assert shown(reply) == shown(whole(body(candidate(*parts, finish="STOP"), usage=USAGE)))


def test_a_signature_ends_a_thought() -> None:
    two = [{"text": name, "thought": True, "thoughtSignature": name} for name in "ab"]
    reply = whole(body(candidate(*two, {"text": "x"}, finish="STOP")))
    states = [part.provider_state for part in reply.choices[0].message.parts if isinstance(part, Reasoning)]
    assert states == [{STATE: {"thought": True, "thoughtSignature": name}} for name in "ab"]
    assert reply.reasoning == "ab"


def test_parts_that_have_no_event_are_kept_and_told() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    outcome = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}, "thoughtSignature": "x"}
    reply = whole(body(candidate(code, outcome, {"text": "Two."}, finish="STOP")))
    assert reply.text == "Two."
    assert [warning.split("'")[1] for warning in reply.warnings] == ["executableCode", "codeExecutionResult"]
    asked = Request("gemini-2.5-flash", (*HI, reply.choices[0].message))
    assert sent(PROVIDER, asked)["contents"][-1]["parts"] == [code, outcome, {"text": "Two."}]


def test_several_candidates() -> None:
    made = body(candidate({"text": "a"}, finish="STOP"), candidate({"text": "b"}, finish="MAX_TOKENS", index=1))
    assert [(choice.text, choice.finish_reason) for choice in whole(made).choices] == [("a", "stop"), ("b", "length")]
    calls = body(candidate(CALL, finish="STOP"), candidate(CALL, finish="STOP", index=1))
    ids = [choice.message.tool_calls[0].id for choice in whole(calls).choices]
    assert ids == ["call_R-1_0", "call_R-1_1_0"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("SPII", "content_filter"),
        ("MODEL_ARMOR", "content_filter"), ("CONTINUATION", "pause"), ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "other"), ("SOMETHING_NEW", "other"), ("IMAGE_SAFETY", "content_filter"),
    ],
)  # fmt: skip
def test_reasons(raw: str, reason: str) -> None:
    for reply in (
        whole(body(candidate(finish=raw))),
        streamed(body(candidate({"text": "x"})), body({"finishReason": raw})),
    ):
        assert reply.finish is not None
        assert (reply.finish.reason, reply.finish.raw_reason) == (reason, raw)


@pytest.mark.parametrize(("number", "raw"), [(1, "STOP"), (2, "MAX_TOKENS"), (77, "77")])
def test_reasons_as_numbers(number: int, raw: str) -> None:
    for reply in (whole(body(candidate(finish=number))), streamed(body(candidate(finish=number)))):
        assert reply.finish is not None
        assert reply.finish.raw_reason == raw


def test_why_a_call_went_wrong_is_told_once() -> None:
    end = candidate(finish="UNEXPECTED_TOOL_CALL", finishMessage="no such function")
    assert streamed(body(end), body(end)).warnings == ["no such function"]


def test_a_whole_body_without_a_reason_is_complete_and_a_stream_is_not() -> None:
    reply = whole(body(candidate({"text": "x"})))
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == ("other", None)
    assert not streamed(body(candidate({"text": "x"}))).complete(1)
    assert not streamed(body(candidate({"text": "x"}, finish="FINISH_REASON_UNSPECIFIED"))).complete(1)


@pytest.mark.parametrize(
    ("figures", "usage", "warned"),
    [
        ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(9, 0), 0),
        ({"promptTokenCount": 9, "thoughtsTokenCount": 4}, Usage(9, 4, reasoning_tokens=4), 0),
        ({"trafficType": "ON_DEMAND"}, None, 0),
        ({"promptTokenCount": 2, "cachedContentTokenCount": 8}, Usage(2, 0, 2), 1),
        ({"promptTokenCount": -1, "candidatesTokenCount": 3}, Usage(None, 3), 1),
        ({"promptTokenCount": 5, "candidatesTokenCount": -3}, Usage(5, None), 1),
    ],
)
def test_usage(figures: Any, usage: Usage | None, warned: int) -> None:
    reply = whole(body(candidate({"text": "x"}, finish="STOP"), usage=figures))
    assert reply.usage == usage
    assert len(reply.warnings) == warned


def test_logprobs() -> None:
    chosen = [{"token": "Hi", "logProbability": -0.1}, {"token": "!"}]
    tops = [{"candidates": [{"token": "Yo", "logProbability": -3}, {"token": "Hi", "logProbability": -0.1}, {"no": 1}]}]
    scores = {"chosenCandidates": chosen, "topCandidates": tops}
    expected = (TokenLogprob("Hi", -0.1, (("Hi", -0.1), ("Yo", -3.0))), TokenLogprob("!", 0.0))
    made = body(candidate({"text": "Hi!"}, finish="STOP", logprobsResult=scores))
    for reply in (whole(made), streamed(made)):
        assert reply.choices[0].logprobs == expected
        assert reply.text == "Hi!"


def test_arguments_that_come_in_pieces() -> None:
    def piece(*arguments: Any, more: bool = True, **call: Any) -> Any:
        partial = {"partialArgs": list(arguments)} if arguments else {}
        return body(candidate({"functionCall": {**call, **partial, **({"willContinue": True} if more else {})}}))

    reply = streamed(
        piece(name="a"),
        piece({"jsonPath": "$.at.city", "stringValue": "Kö", "willContinue": True}),
        piece({"jsonPath": "$.at.city", "stringValue": "ln"}),
        piece({"jsonPath": "$.days[0].n", "numberValue": 3}, {"jsonPath": "$.days[1].n", "boolValue": False}),
        piece({"jsonPath": "$[0]", "numberValue": 1}, {"jsonPath": "$.none", "nullValue": "NULL_VALUE"}),
        piece(more=False),
        piece(name="b"),
        body(candidate(finish="STOP")),
    )
    calls = [(call.name, call.arguments) for call in reply.choices[0].message.tool_calls]
    days = [{"n": 3}, {"n": False}]
    assert calls == [("a", {"at": {"city": "Köln"}, "days": days, "none": None}), ("b", {})]


# --- errors -------------------------------------------------------------------------------------------------------


def google(code: int, status: str, message: str, *details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


def violation(**fields: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [fields]}


TOO_LONG = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
ERRORS: list[tuple[Any, type[LLMError]]] = [
    (google(400, "INVALID_ARGUMENT", f"bad {CANARY}", {"reason": "API_KEY_INVALID"}), Unauthorized),
    (google(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), Unauthorized),
    (google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), Unauthorized),
    (google(403, "PERMISSION_DENIED", "no", {"reason": "SERVICE_DISABLED"}), PermissionDenied),
    (google(403, "PERMISSION_DENIED", "no", {"reason": "BILLING_DISABLED"}), QuotaExhausted),
    (google(404, "NOT_FOUND", "models/x is not found"), NotFound),
    (google(400, "INVALID_ARGUMENT", TOO_LONG), ContextTooLong),
    (google(400, "INVALID_ARGUMENT", "JSON mode is not enabled for models/x"), InvalidRequest),
    (google(429, "RESOURCE_EXHAUSTED", "slow", {"retryDelay": "34.4s"}), RateLimited),
    (google(429, "RESOURCE_EXHAUSTED", "spent", violation(quotaId="RequestsPerDayPerProject")), QuotaExhausted),
    (google(429, "RESOURCE_EXHAUSTED", "spent", violation(quotaId="PerMinute", quotaValue="0")), QuotaExhausted),
    (google(429, "RESOURCE_EXHAUSTED", "slow", violation(quotaId="RequestsPerMinute")), RateLimited),
    (google(503, "UNAVAILABLE", "The model is overloaded."), Overloaded),
    (google(500, "INTERNAL", "oops"), ServerFault),
    (google(504, "DEADLINE_EXCEEDED", "late"), ServerFault),
]


@pytest.mark.parametrize(("said", "kind"), ERRORS)
def test_errors_wherever_they_stand(said: Any, kind: type[LLMError]) -> None:
    """By their status, inside a reply that seemed well, inside a stream, and in an array."""
    status = said["error"]["code"]
    raw = json.dumps(said).encode()
    found = [PROVIDER.error(status, {}, raw), error(said), error(said, streamed=True), error([said])]
    assert [type(item) for item in found] == [kind] * 4
    assert {item.status for item in found} == {status}
    assert CANARY not in "".join(str(item) + repr(vars(item)) for item in found)
    if "retryDelay" in str(said):
        assert [item.retry_after for item in found if isinstance(item, Transient)] == [34.4] * 4
    assert TimedOut not in {type(item) for item in found}


def test_the_code_of_an_error_is_its_reason() -> None:
    found = [PROVIDER.error(0, {}, json.dumps(said).encode()).code for said, _ in ERRORS[:3]]
    assert found == ["API_KEY_INVALID", "INVALID_ARGUMENT", "UNAUTHENTICATED"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt(stream: bool) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": f"Not {CANARY}."}
    said = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}}
    found = error(said, streamed=stream)
    assert isinstance(found, ContentFiltered)
    assert found.code == "PROHIBITED_CONTENT"


def test_an_error_after_text() -> None:
    raw = events(body(candidate({"text": "x"})), google(503, "UNAVAILABLE", "later"))
    assert read(PROVIDER, exchange(raw, streamed=True)).error == "Overloaded"


@pytest.mark.parametrize("raw", [b"", b"x", b"5", b"{}", b"[]", b"[{}]", b'{"candidates": []}', b'{"candidates": 5}'])
def test_what_is_no_reply(raw: bytes) -> None:
    assert read(PROVIDER, exchange(raw, streamed=False)).error == "InvalidBody"


def test_a_stream_as_an_array_is_refused_in_clear_words() -> None:
    raw = json.dumps([body(candidate({"text": "x"}, finish="STOP"))]).encode()
    with pytest.raises(InvalidBody, match="JSON array") as caught:
        fold(PROVIDER, raw, streamed=True)
    assert "alt=sse" in caught.value.hint


# --- both ways agree ----------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
SIGNED = st.fixed_dictionaries({}, optional={"thoughtSignature": st.sampled_from(["YQ==", "Yg=="])})
TEXTS = st.builds(lambda text, more: {"text": text, **more}, WORDS, SIGNED)
THOUGHTS = st.builds(lambda text, more: {"text": text, "thought": True, **more}, WORDS, SIGNED)
CALLS = st.builds(
    lambda name, args, given, more: {"functionCall": {"name": name, "args": args, **given}, **more},
    st.sampled_from(["a", "b"]),
    st.dictionaries(WORDS, st.integers(-9, 9) | WORDS | st.none() | st.lists(st.booleans(), max_size=2), max_size=2),
    st.fixed_dictionaries({}, optional={"id": WORDS}),
    SIGNED,
)
REPLIES = st.lists(TEXTS | THOUGHTS | CALLS, max_size=6)
FIGURES = st.fixed_dictionaries({"promptTokenCount": st.integers(0, 99)}, optional={
    "candidatesTokenCount": st.integers(0, 99), "thoughtsTokenCount": st.integers(0, 99),
    "cachedContentTokenCount": st.integers(0, 120), "toolUsePromptTokenCount": st.integers(0, 9),
})  # fmt: skip
ENDS = st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "NEW"])


def cut(parts: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    """Each part in chunks of its own, its text cut anywhere; the signature comes with the last piece."""
    chunks = []
    for part in parts:
        if "text" not in part:
            chunks.append(part)
            continue
        plain = {name: value for name, value in part.items() if name != "thoughtSignature"}
        found = [{**plain, "text": piece} for piece in pieces(part["text"], draw)]
        found[-1] = {**part, "text": found[-1]["text"]}
        chunks += found
    return chunks


@settings(max_examples=60)
@given(REPLIES, FIGURES, ENDS, st.data())
def test_streamed_and_buffered_agree(parts: Any, figures: Any, end: str, draw: st.DataObject) -> None:
    chunks = [body(candidate(part)) for part in cut(parts, draw)]
    last = body(candidate(finish=end), usage=figures)
    size = draw.draw(st.sampled_from([0, 1, 7]))
    buffered = whole(body(candidate(*parts, finish=end), usage=figures))
    assert shown(streamed(*chunks, last, size=size)) == shown(buffered)
    assert buffered.text == "".join(part["text"] for part in parts if "text" in part and "thought" not in part)
    asked = Request("gemini-2.5-flash", (*HI, buffered.choices[0].message))
    back = sent(PROVIDER, asked)["contents"][1:]
    signatures = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    assert [
        part["thoughtSignature"] for turn in back for part in turn["parts"] if "thoughtSignature" in part
    ] == signatures


@settings(max_examples=15)
@given(REPLIES, FIGURES, st.data())
def test_a_beginning_of_a_stream_is_never_taken_for_the_whole(parts: Any, figures: Any, draw: st.DataObject) -> None:
    chunks = [body(candidate(part)) for part in cut(parts, draw)[:4]]
    raw = events(*chunks, body(candidate(finish="STOP"), usage=figures))
    complete = interruptions(PROVIDER, raw, fold(PROVIDER, raw, streamed=True))
    assert complete
    assert min(complete) >= len(events(*chunks))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from([
            "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args",
            "id", "partialArgs", "jsonPath", "stringValue", "willContinue", "finishReason", "index", "usageMetadata",
            "promptTokenCount", "promptFeedback", "blockReason", "error", "details", "logprobsResult",
            "chosenCandidates", "token", "logProbability", "responseId", "modelVersion",
        ]),
        inner,
        max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150)
@given(JUNK, st.booleans())
def test_whatever_comes_is_a_reply_or_a_typed_error(value: Any, stream: bool) -> None:
    made = {"candidates": [value]} if stream else value
    raw = events(made) if stream else json.dumps(made).encode()
    with contextlib.suppress(LLMError):
        assert fold(PROVIDER, raw, streamed=stream).raw
