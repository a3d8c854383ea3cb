"""Replies as events, buffered and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import InvalidBody
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, ReasoningDelta, TextDelta, ToolCallDelta
from llmsdk.wire import faults, parse
from llmsdk.wire.finish import reason
from llmsdk.wire.json import items, string, under
from llmsdk_providers.cohere import usage
from llmsdk_providers.cohere.encode import STATE

FINISH: Mapping[str, FinishReason] = {
    "COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_call", "ERROR": "error", "TIMEOUT": "error", "ERROR_TOXIC": "content_filter",
}  # fmt: skip
PLAN = -1
"""Slot of the plan for calling tools; thoughts are numbered by where they stand in the content."""
_HINT = "Check base_url: it is what precedes /v2/chat, such as https://api.cohere.com."


def decode(body: bytes, secrets: Sequence[str] = ()) -> Iterator[Event]:
    """The events of a buffered reply.

    Raises:
        InvalidBody: no JSON, or no reply.
        LLMError: the typed error that the body holds instead of a reply.
    """
    reply = parse(body, secrets, hint=_HINT)
    _check(reply, secrets)
    message = under(reply, "message")
    if not message:
        raise InvalidBody("the reply has no message", hint=_HINT)
    yield Info(id=string(reply.get("id")) or None)
    content = message.get("content")
    for index, block in enumerate(items(content)):
        yield from _content(block, index)
    yield from _content({"text": content}, 0)
    yield from _plan(message)
    calls = items(message.get("tool_calls"))
    for slot, call in enumerate(calls):
        yield _call(call, slot, begins=True)
    yield from _end(reply, called=bool(calls))


class Decoder:
    """Reads one streamed reply. Holds the state of that reply and nothing else."""

    __slots__ = ("_called", "_done", "_events", "_secrets")

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._events = 0
        self._called = self._done = False

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return self._done

    def feed(self, event: ServerSentEvent) -> Iterator[Event]:
        """The events in one event of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the event holds.
        """
        self._events += 1
        if self._done or event.data.strip() == b"[DONE]":
            return
        chunk = parse(event.data, self._secrets, f"event {self._events} of the stream", _HINT)
        _check(chunk, self._secrets)
        if isinstance(chunk, dict):
            yield from self._chunk(chunk, chunk.get("index"))

    def _chunk(self, chunk: dict[str, Any], index: Any) -> Iterator[Event]:
        delta = under(chunk, "delta")
        message = under(delta, "message")
        slot = index if type(index) is int and index >= 0 else 0
        match chunk.get("type"):
            case "content-delta" | "content-start":
                yield from _content(under(message, "content"), slot)
            case "tool-plan-delta":
                yield from _plan(message)
            case "tool-call-start" | "tool-call-delta" as kind:
                self._called = True
                yield _call(under(message, "tool_calls"), slot, begins=kind == "tool-call-start")
            case "message-start":
                yield Info(id=string(chunk.get("id")) or None)
            case "message-end":
                _check(delta, self._secrets)
                self._done = True
                yield from _end(delta, called=self._called)


# --- both ---------------------------------------------------------------------------------------------------------


def _check(body: Any, secrets: Sequence[str]) -> None:
    """Refuse an error in place of a reply. Cohere's own has its words where a reply has its message."""
    if isinstance(body, dict) and (faults.is_error(body) or isinstance(body.get("message"), str)):
        raise faults.from_body(body, secrets)


def _content(block: dict[str, Any], slot: int) -> Iterator[Event]:
    if thought := string(block.get("thinking")):
        yield ReasoningDelta(thought, provider_state={STATE: "thinking"}, slot=slot)
    if text := string(block.get("text")):
        yield TextDelta(text)


def _plan(message: dict[str, Any]) -> Iterator[Event]:
    if plan := string(message.get("tool_plan")):
        yield ReasoningDelta(plan, provider_state={STATE: "tool_plan"}, slot=PLAN)


def _call(call: dict[str, Any], slot: int, *, begins: bool) -> ToolCallDelta:
    function = under(call, "function")
    arguments = string(function.get("arguments"))
    if not begins:
        return ToolCallDelta(slot, arguments=arguments)
    return ToolCallDelta(slot, string(call.get("id")) or f"call_{slot}", string(function.get("name")), arguments)


def _end(body: dict[str, Any], *, called: bool) -> Iterator[Event]:
    counted, warnings = usage.read(under(body, "usage"))
    yield from (Info(warning=text) for text in warnings)
    if counted.input_tokens is not None or counted.output_tokens is not None:
        yield counted
    raw = string(body.get("finish_reason")) or None
    yield Finish(reason(raw, FINISH, called=called), raw)
