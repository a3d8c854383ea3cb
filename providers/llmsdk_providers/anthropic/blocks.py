"""The blocks that a message consists of, each read as it grows. A whole block is one that begins and ends at once.

Blocks that have to go back as they came (signed thoughts, what the host's own tools were asked and found) are kept as
state of the dialect's own, at their place among the others.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

from llmsdk.types import Event, ReasoningDelta, TextDelta, ToolCallDelta
from llmsdk.wire.json import string
from llmsdk_providers.anthropic.encode import STATE
from llmsdk_providers.anthropic.schema import VALUE


class Block:
    """A block that only the host understands."""

    def __init__(self, slot: int, block: dict[str, Any]) -> None:
        self.slot = slot
        self.block = block
        self._json: list[str] = []

    def begin(self) -> list[Event]:
        return []

    def feed(self, delta: dict[str, Any]) -> list[Event]:
        """The events of one more piece of it."""
        for key, value in delta.items():
            if key == "partial_json":
                self._json.append(string(value))
            elif key != "type":
                self._grow(key, value)
        return []

    def end(self) -> list[Event]:
        if text := "".join(self._json):
            self.block["input"] = _object(text)
        return [self._state(self.block)]

    def _grow(self, key: str, value: Any) -> None:
        known = self.block.get(key)
        self.block[key] = known + value if isinstance(known, str) and isinstance(value, str) else value

    def _state(self, block: dict[str, Any]) -> Event:
        return ReasoningDelta("", provider_state={STATE: block}, slot=self.slot)


class TextBlock(Block):
    """Text. Where it cites, the sources stand before it, so that they can go back with it."""

    def begin(self) -> list[Event]:
        known = self.block.get("citations")
        self._citations: list[Any] = [*known] if isinstance(known, list) else []
        apart: list[Event] = [ReasoningDelta("", slot=self.slot)] if "citations" in self.block else []
        text = string(self.block.get("text"))
        return [*apart, TextDelta(text)] if text else apart

    def feed(self, delta: dict[str, Any]) -> list[Event]:
        if (text := delta.get("text")) and isinstance(text, str):
            return [TextDelta(text)]
        if "citation" in delta:
            self._citations.append(delta["citation"])
        return []

    def end(self) -> list[Event]:
        if not self._citations:
            return []
        apart = ReasoningDelta("", slot=~self.slot)  # what follows is a text of its own
        return [self._state({"type": "text", "citations": self._citations}), apart]


class ThinkingBlock(Block):
    def begin(self) -> list[Event]:
        self._signature = string(self.block.get("signature"))
        thought = string(self.block.get("thinking"))
        return [ReasoningDelta(thought, slot=self.slot)] if thought else []

    def feed(self, delta: dict[str, Any]) -> list[Event]:
        self._signature = string(delta.get("signature")) or self._signature
        thought = string(delta.get("thinking"))
        return [ReasoningDelta(thought, slot=self.slot)] if thought else []

    def end(self) -> list[Event]:
        """The signature, to which the text is added when it goes back."""
        return [self._state({"type": "thinking", "signature": self._signature})] if self._signature else []


class CallBlock(Block):
    """A call of a tool of the caller's."""

    def begin(self) -> list[Event]:
        known = ("type", "id", "name", "input")
        kept = {key: value for key, value in self.block.items() if key not in known and value is not None}
        state = {STATE: kept} if kept else None
        name, call_id = string(self.block.get("name")), string(self.block.get("id")) or f"call_{self.slot}"
        return [ToolCallDelta(self.slot, call_id, name, provider_state=state)]

    def feed(self, delta: dict[str, Any]) -> list[Event]:
        piece = string(delta.get("partial_json"))
        if not piece:
            return []
        self._json.append(piece)
        return [ToolCallDelta(self.slot, arguments=piece)]

    def end(self) -> list[Event]:
        """The arguments, if they did not come in pieces. A tool without any may get none at all."""
        if self._json:
            return []
        return [ToolCallDelta(self.slot, arguments=to_json(self.block.get("input") or {}).decode())]


class AnswerBlock(Block):
    """The call of the tool that stands for the schema of the reply: its arguments are the text."""

    def __init__(self, slot: int, block: dict[str, Any], *, wrapped: bool) -> None:
        super().__init__(slot, block)
        self._wrapped = wrapped

    def feed(self, delta: dict[str, Any]) -> list[Event]:
        piece = string(delta.get("partial_json"))
        self._json.append(piece)
        return [TextDelta(piece)] if piece and not self._wrapped else []

    def end(self) -> list[Event]:
        text = "".join(self._json) or to_json(self.block.get("input") or {}).decode()
        if self._wrapped:
            value = _object(text)
            return [TextDelta(to_json(value[VALUE]).decode() if VALUE in value else text)]
        return [] if any(self._json) else [TextDelta(text)]


KINDS: dict[Any, type[Block]] = {"text": TextBlock, "thinking": ThinkingBlock, "tool_use": CallBlock}


def _object(text: str) -> dict[str, Any]:
    """The object that a text spells. One that was cut, as by a limit of tokens, is read as far as it goes."""
    try:
        value = from_json(text, allow_inf_nan=False, allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
