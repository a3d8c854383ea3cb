"""Replies as events, buffered and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import InvalidBody
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, ReasoningDelta, TextDelta, ToolCallDelta
from llmsdk.wire import dump, parse
from llmsdk.wire.finish import reason
from llmsdk.wire.json import items, string, under
from llmsdk_providers.bedrock import faults, usage
from llmsdk_providers.bedrock.encode import STATE

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_call", "guardrail_intervened": "content_filter", "content_filtered": "content_filter",
    "malformed_model_output": "error", "malformed_tool_use": "error", "refusal": "refusal",
}  # fmt: skip
_HINT = "Check base_url: it is what precedes /model/, such as https://bedrock-runtime.us-east-1.amazonaws.com."


def decode(body: bytes, secrets: Sequence[str] = ()) -> Iterator[Event]:
    """The events of a buffered reply.

    Raises:
        InvalidBody: no JSON, or no reply.
    """
    reply = parse(body, secrets, hint=_HINT)
    message = under(under(reply, "output"), "message")
    if not message:
        raise InvalidBody("the reply has no message", hint=_HINT)
    decoder = Decoder(secrets)
    for index, block in enumerate(items(message.get("content"))):
        yield from decoder.block(block, index)
    yield from decoder.stop(reply)
    yield from decoder.count(reply)


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else."""

    __slots__ = ("_called", "_counted", "_foreign", "_secrets", "_signed", "_stopped")

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._signed: dict[int, dict[str, str]] = {}
        """What the host put to each thought, as far as it has come."""
        self._foreign: set[int] = set()
        """Blocks of tools that the host itself calls."""
        self._called = self._stopped = self._counted = False

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows: the message has stopped, and its figures are there."""
        return self._stopped and self._counted

    def feed(self, event: ServerSentEvent) -> Iterator[Event]:
        """The events in one frame of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the frame holds.
        """
        kind, colon, name = event.event.partition(":")
        if colon:
            raise faults.in_stream(name, event.data, self._secrets)
        frame = parse(event.data, self._secrets, f"a frame {event.event!r:.40} of the stream", _HINT)
        data: dict[str, Any] = frame if isinstance(frame, dict) else {}
        index = data.get("contentBlockIndex")
        slot = index if type(index) is int and index >= 0 else 0
        match kind:
            case "contentBlockDelta":
                yield from self._delta(under(data, "delta"), slot)
            case "contentBlockStart":
                yield from self._start(under(under(data, "start"), "toolUse"), slot)
            case "messageStop":
                yield from self.stop(data)
            case "metadata":
                self._counted = True
                yield from self.count(data)

    # --- blocks -------------------------------------------------------------------------------------------------

    def block(self, block: dict[str, Any], slot: int) -> Iterator[Event]:
        """A whole block: text, also such as cites its sources, a thought, or a call."""
        cited = items(under(block, "citationsContent").get("content"))
        if text := string(block.get("text")) or "".join(string(part.get("text")) for part in cited):
            yield TextDelta(text)
        thought = under(block, "reasoningContent")
        yield from self._think({**thought, **under(thought, "reasoningText")}, slot)
        call = under(block, "toolUse")
        for event in self._start(call, slot):
            yield event
            yield ToolCallDelta(slot, arguments=dump(under(call, "input")).decode())

    def _start(self, call: dict[str, Any], slot: int) -> Iterator[ToolCallDelta]:
        if string(call.get("type")).startswith("server_"):
            self._foreign.add(slot)
        elif call:
            self._called = True
            yield ToolCallDelta(slot, string(call.get("toolUseId")) or f"call_{slot}", string(call.get("name")))

    def _delta(self, delta: dict[str, Any], slot: int) -> Iterator[Event]:
        if text := string(delta.get("text")):
            yield TextDelta(text)
        yield from self._think(under(delta, "reasoningContent"), slot)
        piece = string(under(delta, "toolUse").get("input"))
        if piece and slot not in self._foreign:
            self._called = True
            yield ToolCallDelta(slot, arguments=piece)

    def _think(self, thought: dict[str, Any], slot: int) -> Iterator[Event]:
        for name in ("signature", "redactedContent"):
            if piece := string(thought.get(name)):
                signed = self._signed.setdefault(slot, {})
                signed[name] = signed.get(name, "") + piece
        text = string(thought.get("text"))
        state = {STATE: dict(self._signed[slot])} if slot in self._signed else None
        if text or (thought and state):
            yield ReasoningDelta(text, provider_state=state, slot=slot)

    # --- the end ------------------------------------------------------------------------------------------------

    def stop(self, body: dict[str, Any]) -> Iterator[Event]:
        """The host's word that the message is whole. Usage comes after it."""
        if not self._stopped:
            self._stopped = True
            raw = string(body.get("stopReason")) or None
            yield Finish(reason(raw, FINISH, called=self._called), raw)

    def count(self, body: dict[str, Any]) -> Iterator[Event]:
        """Usage, where there is any."""
        figures = under(body, "usage")
        if figures:
            counted, warnings = usage.read(figures)
            yield from (Info(warning=text) for text in warnings)
            yield counted
