"""Replies as events, buffered and streamed: a whole message is its blocks, each begun and ended at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmsdk.errors import (
    InvalidBody,
    LLMError,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFault,
)
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, Usage
from llmsdk.wire import faults, finish, parse
from llmsdk.wire.json import string, under
from llmsdk_providers.anthropic import usage
from llmsdk_providers.anthropic.blocks import KINDS, AnswerBlock, Block

CODES: Mapping[str, type[LLMError]] = {
    "billing_error": QuotaExhausted, "permission_error": PermissionDenied, "not_found_error": NotFound,
    "request_too_large": PayloadTooLarge, "rate_limit_error": RateLimited, "api_error": ServerFault,
    "timeout_error": ServerFault, "overloaded_error": Overloaded,
}  # fmt: skip
"""Types of errors that mean the same whatever the status, as within a stream, whose status is always 200."""
FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_call", "pause_turn": "pause", "refusal": "refusal",
}  # fmt: skip
_HINT = "Check base_url: it is what precedes /v1/messages, such as https://api.anthropic.com."


@dataclass(frozen=True, slots=True)
class Answer:
    """The tool whose arguments are the reply."""

    tool: str
    wrapped: bool
    """The reply is no object, and so stands under a key."""


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else."""

    __slots__ = ("_answer", "_answered", "_called", "_events", "_figures", "_finished", "_id", "_open", "_said",
                 "_secrets", "_usage", "done")  # fmt: skip

    def __init__(self, secrets: Sequence[str] = (), answer: Answer | None = None) -> None:
        self._secrets = secrets
        self._answer = answer
        self._events = 0
        self._id: str | None = None
        self.done: bool = False
        """The host has said that nothing follows."""
        self._open: dict[int, Block] = {}
        self._called = self._answered = self._finished = False
        self._figures: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._said: set[str] = set()

    # --- streamed -----------------------------------------------------------------------------------------------

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """The events in one event of the stream.

        Raises:
            InvalidBody: no JSON, or a piece of a message that it cannot have.
            LLMError: the typed error that the event holds.
        """
        if not event.data:
            return []
        self._events += 1
        body = parse(event.data, self._secrets, f"event {self._events} of the stream", _HINT)
        kind = body.get("type") if isinstance(body, dict) else None
        if kind == "content_block_delta":
            return self._block(body).feed(under(body, "delta"))
        if kind == "error" or event.event == "error":
            raise faults.from_event(event.data, self._secrets, CODES)
        return self._structure(kind, body) if isinstance(body, dict) else []

    def _structure(self, kind: Any, body: dict[str, Any]) -> list[Event]:
        match kind:
            case "message_start":
                return self._start(under(body, "message"))
            case "content_block_start":
                return self._begin(body.get("index"), under(body, "content_block"))
            case "content_block_stop":
                return self._end(body.get("index"))
            case "message_delta":
                return [*self._count(under(body, "usage")), *self._finish(under(body, "delta"))]
            case "message_stop":
                self.done = True
        return []  # of the stop, of a ping, and of what is yet to be invented

    def _start(self, message: dict[str, Any]) -> list[Event]:
        """Who answers. A gateway that tries again in mid-stream may begin twice."""
        begun = string(message.get("id"))
        if self._id is not None and begun != self._id and self._open:
            raise InvalidBody(f"another message ({begun!r:.60}) began within the stream of {self._id!r:.60}")
        self._id = begun
        return [
            Info(id=begun or None, model=string(message.get("model")) or None),
            *self._count(under(message, "usage")),
        ]

    def _block(self, body: dict[str, Any]) -> Block:
        index = body.get("index")
        block = self._open.get(index) if type(index) is int else None
        if block is None:
            raise InvalidBody(f"event {self._events} of the stream belongs to no block that has begun", hint=_HINT)
        return block

    # --- buffered -----------------------------------------------------------------------------------------------

    def whole(self, body: Any) -> list[Event]:
        """The events of a whole reply.

        Raises:
            InvalidBody: no JSON, or no reply.
            LLMError: the typed error that the body holds instead of a reply.
        """
        if isinstance(body, dict) and faults.is_error(body):
            raise faults.from_body(body, self._secrets, CODES)
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, list):
            raise InvalidBody("the reply has no content", hint=_HINT)
        events = self._start(body)
        for index, block in enumerate(content):
            if isinstance(block, dict):
                events += [*self._begin(index, block), *self._end(index)]
        return [*events, *self._finish(body, whole=True)]

    # --- both ---------------------------------------------------------------------------------------------------

    def _begin(self, index: Any, content: dict[str, Any]) -> list[Event]:
        slot = index if type(index) is int else len(self._open)
        kind = string(content.get("type"))
        answers = kind == "tool_use" and self._answer is not None and content.get("name") == self._answer.tool
        if answers and self._answer is not None:
            self._answered = True
            block: Block = AnswerBlock(slot, content, wrapped=self._answer.wrapped)
        else:
            self._called = self._called or kind == "tool_use"
            block = KINDS.get(kind, Block)(slot, content)
        self._open[slot] = block
        return block.begin()

    def _end(self, index: Any) -> list[Event]:
        block = self._open.get(index if type(index) is int else -1)
        return block.end() if block is not None else []

    def _count(self, figures: dict[str, Any]) -> list[Event]:
        """Usage as far as it is known. What comes later in a stream holds: figures grow, they do not add up."""
        self._figures = usage.later(self._figures, figures)
        counted, warnings = usage.read(self._figures)
        events: list[Event] = [Info(warning=text) for text in warnings if text not in self._said]
        self._said.update(warnings)
        if counted not in (self._usage, Usage()):
            self._usage = counted
            events.append(counted)
        return events

    def _finish(self, said: dict[str, Any], *, whole: bool = False) -> list[Event]:
        raw = said.get("stop_reason")
        if self._finished or not (whole or isinstance(raw, str)):
            return []
        self._finished = True
        details = under(said, "stop_details")
        events: list[Event] = [Info(warning=_refusal(details))] if details.get("type") == "refusal" else []
        return [*events, Finish(self._reason(string(raw)), string(raw) or None)]

    def _reason(self, raw: str) -> FinishReason:
        if self._answered and not self._called and raw == "tool_use":
            return "stop"
        return finish.reason(raw, FINISH, called=self._called)


def _refusal(details: dict[str, Any]) -> str:
    """What the host says of a refusal, for the result's warnings."""
    category, why = string(details.get("category")), string(details.get("explanation"))
    return f"the model refused{f' ({category})' if category else ''}{f': {why}' if why else ''}"[:500]
