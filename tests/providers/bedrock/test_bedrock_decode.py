"""Replies of Bedrock as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from dialects import agree, fold, interruptions, pieces, shown
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.bedrock_server import frame, frames

from llmsdk.errors import (
    ContextTooLong,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ResponseTooLarge,
    ServerFault,
    Unauthorized,
)
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Reasoning, Request, Text, ToolCall, Usage
from llmsdk_providers.bedrock import Bedrock, Settings

KEY = "sk-canary-0123456789"
HOST = Bedrock("bedrock", Settings(api_key=KEY, region="us-east-1"))
USAGE = {"inputTokens": 5, "outputTokens": 20, "cacheReadInputTokens": 16, "cacheWriteInputTokens": 9}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}}
HIDDEN = {"reasoningContent": {"redactedContent": "aGk="}}
CALL = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}
FOREIGN = {"toolUse": {"toolUseId": "t0", "name": "web", "input": {}, "type": "server_tool_use"}}
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [THOUGHT, HIDDEN, {"text": "Yes."}, FOREIGN, CALL]}},
    "stopReason": "tool_use",
    "usage": USAGE,
}


def delta(index: int, **fields: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": fields, "p": "abc"}


def start(index: int, call: Any) -> tuple[str, Any]:
    named = {name: value for name, value in call["toolUse"].items() if name != "input"}
    return "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": named}}


def stop(reason: str) -> tuple[str, Any]:
    return "messageStop", {"stopReason": reason}


def test_a_stream_is_over_once_it_has_stopped_and_its_figures_are_there() -> None:
    decoder = HOST.decoder(Request("m", ""))
    seen = []
    for name, data in (delta(0, text="Yes."), stop("end_turn"), ("metadata", {"usage": USAGE})):
        list(decoder.feed(ServerSentEvent(json.dumps(data).encode(), name)))
        seen.append(decoder.done)  # type: ignore[attr-defined]
    assert seen == [False, False, True]


EVENTS = [
    ("messageStart", {"role": "assistant"}),
    delta(0, reasoningContent={"text": "H"}), delta(0, reasoningContent={"text": "m."}),
    delta(0, reasoningContent={"signature": "sig"}), delta(1, reasoningContent={"redactedContent": "aGk="}),
    delta(2, text="Ye"), delta(2, text="s."), ("contentBlockStop", {"contentBlockIndex": 2}),
    start(3, FOREIGN), delta(3, toolUse={"input": "{}"}), start(4, CALL), delta(4, toolUse={"input": '{"a":'}),
    delta(4, toolUse={"input": "1}"}), stop("tool_use"), ("metadata", {"usage": USAGE}),
]  # fmt: skip
STREAM = frames(*EVENTS)


def test_a_reply_both_ways() -> None:
    whole, streamed = fold(HOST, json.dumps(WHOLE).encode()), fold(HOST, STREAM, streamed=True)
    assert shown(whole) == shown(streamed)
    assert whole.choices[0].message.content == (
        Reasoning("Hm.", {"bedrock.reasoning": {"signature": "sig"}}),
        Reasoning("", {"bedrock.reasoning": {"redactedContent": "aGk="}}), Text("Yes."), ToolCall("t1", "f", '{"a":1}'),
    )  # fmt: skip
    assert whole.usage == Usage(30, 20, 16, 9)
    assert whole.finish is not None
    assert (whole.finish.reason, whole.finish.raw_reason) == ("tool_call", "tool_use")


def test_complete_only_with_the_end_of_the_message() -> None:
    whole = fold(HOST, STREAM, streamed=True)
    assert interruptions(HOST, STREAM, whole)[0] == len(frames(*EVENTS[:-1]))


def test_text_with_sources() -> None:
    cited = {"citationsContent": {"content": [{"text": "It is so."}], "citations": [{"title": "x"}]}}
    body = {"output": {"message": {"content": [{"text": "Look: "}, cited]}}, "stopReason": "end_turn"}
    assert fold(HOST, json.dumps(body).encode()).text == "Look: It is so."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "other"),
        ("model_context_window_exceeded", "length"), ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"), ("malformed_tool_use", "error"), ("new", "other"),
    ],
)  # fmt: skip
def test_reasons(raw: str, reason: str) -> None:
    finish = fold(HOST, frames(delta(0, text="x"), stop(raw)), streamed=True).finish
    assert finish is not None
    assert (finish.reason, finish.raw_reason) == (reason, raw)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"<html>", b'{"message": "x"}'])
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        fold(HOST, body)
    with pytest.raises(InvalidBody):
        fold(HOST, body + b" " * 20, streamed=True)


@pytest.mark.parametrize("before", [b"", frames(delta(0, text="x"))])
@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        ("throttlingException", "slow down", RateLimited),
        ("serviceUnavailableException", "later", Overloaded),
        ("internalServerException", "oops", ServerFault),
        ("modelStreamErrorException", "oops", ServerFault),
        ("validationException", "malformed input", InvalidRequest),
        ("validationException", "prompt is too long: 9 tokens > 5 maximum", ContextTooLong),
        ("newException", "oops", ServerFault),
    ],
)
def test_exceptions_in_a_stream(before: bytes, name: str, message: str, kind: type[LLMError]) -> None:
    said = json.dumps({"message": f"{message} {KEY}"}).encode()
    with pytest.raises(kind, match=message[:5]) as caught:
        fold(HOST, before + frame(name, said, "exception"), streamed=True)
    assert caught.value.code == name
    assert KEY not in str(caught.value) + repr(vars(caught.value))
    with pytest.raises(ServerFault, match="broken"):
        fold(HOST, before + frame("InternalError", b"broken", "error"), streamed=True)


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.", Unauthorized),
        (403, "ExpiredTokenException", "expired", Unauthorized),
        (403, "AccessDeniedException", "Invalid API Key format: Must start with pre-defined prefix", Unauthorized),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            PermissionDenied,
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", NotFound),
        (404, "ResourceNotFoundException", "Could not resolve the foundation model", NotFound),
        (
            400,
            "ValidationException",
            "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            ContextTooLong,
        ),
        (400, "ValidationException", "malformed", InvalidRequest),
        (400, "ServiceQuotaExceededException", "quota", QuotaExhausted),
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
        (503, "ServiceUnavailableException", "Model is getting throttled. Try your request again.", RateLimited),
        (503, "ServiceUnavailableException", "try later", Overloaded),
        (429, "ModelNotReadyException", "not ready", Overloaded),
        (424, "ModelErrorException", "the model failed", ServerFault),
        (500, "InternalServerException", "oops", ServerFault),
    ],
)
def test_errors(status: int, name: str, message: str, kind: type[LLMError]) -> None:
    said = {"message": f"{message} {KEY}"}
    in_header = HOST.error(status, {"x-amzn-errortype": f"{name}:http://x/"}, json.dumps(said).encode())
    in_body = HOST.error(status, {}, json.dumps({**said, "__type": f"com.amazon#{name}"}).encode())
    for error in (in_header, in_body):
        assert type(error) is kind
        assert (error.status, error.code) == (status, name)
        assert message in error.message
        assert KEY not in str(error) + repr(vars(error))


# --- any reply ------------------------------------------------------------------------------------------------------

TEXT = st.text(min_size=1, max_size=12)
BLOCKS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXT),
    st.builds(lambda text, s: {"reasoningContent": {"reasoningText": {"text": text, **s}}}, TEXT,
              st.sampled_from([{}, {"signature": "s"}])),
    st.just(HIDDEN),
    st.builds(lambda given: {"toolUse": {"toolUseId": "t", "name": "f", "input": given}},
              st.dictionaries(TEXT, TEXT | st.integers(), max_size=2)),
)  # fmt: skip


def rows(blocks: list[dict[str, Any]], cut: st.DataObject) -> Iterator[tuple[str, Any]]:
    for index, block in enumerate(blocks):
        if "text" in block:
            yield from (delta(index, text=piece) for piece in pieces(block["text"], cut))
        elif call := block.get("toolUse"):
            yield start(index, block)
            arguments = json.dumps(call["input"], ensure_ascii=False, separators=(",", ":"))
            yield from (delta(index, toolUse={"input": piece}) for piece in pieces(arguments, cut))
        else:
            thought = block["reasoningContent"]
            told = thought.get("reasoningText", {})
            for piece in pieces(told.get("text", ""), cut):
                yield delta(index, reasoningContent={"text": piece})
            if state := {**thought, **told}.get("signature") and {"signature": told["signature"]}:
                yield delta(index, reasoningContent=state)
            if "redactedContent" in thought:
                yield delta(index, reasoningContent=thought)


@settings(max_examples=60)
@given(st.lists(BLOCKS, max_size=4), st.sampled_from(["end_turn", "max_tokens", "odd"]), st.data())
def test_any_reply_folds_to_the_same_streamed(blocks: list[Any], reason: str, cut: st.DataObject) -> None:
    body = frames(*rows(blocks, cut), stop(reason), ("metadata", {"usage": USAGE}))
    whole = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": reason, "usage": USAGE}
    streamed = agree(HOST, whole, body, cut)
    assert [c.arguments for c in streamed.choices[0].message.tool_calls] == [
        block["toolUse"]["input"] for block in blocks if "toolUse" in block
    ]


NAMES = st.sampled_from([
    "output", "message", "content", "text", "toolUse", "input", "name", "toolUseId", "reasoningContent", "signature",
    "reasoningText", "stopReason", "usage", "inputTokens", "delta", "start", "contentBlockIndex", "citationsContent",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
KINDS = st.sampled_from(["contentBlockDelta", "contentBlockStart", "messageStop", "metadata", "exception:x"])


@settings(max_examples=150)
@given(JSON, KINDS)
def test_whatever_comes_only_typed_errors_come_out(value: Any, kind: str) -> None:
    odd = {"output": {"message": {"content": value}}, "usage": value, "stopReason": value}
    for body in (json.dumps(value).encode(), json.dumps(odd).encode()):
        with suppress(LLMError):
            fold(HOST, body)
    payload = {"delta": value, "start": value, "contentBlockIndex": value, "usage": value, "stopReason": value}
    with suppress(LLMError):
        fold(HOST, frames((kind, payload), (kind, value)), streamed=True)


def test_a_frame_is_as_long_as_the_settings_say() -> None:
    host = Bedrock("bedrock", Settings(api_key=KEY, region="us-east-1", max_event=100))
    with pytest.raises(ResponseTooLarge, match="100 bytes"):
        list(host.frames().feed(frames(delta(0, text="x" * 100))))
