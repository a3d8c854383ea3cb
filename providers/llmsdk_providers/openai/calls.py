"""Tool calls out of their pieces. Hosts number them, name them by id, or do neither."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from llmsdk.types import ToolCallDelta
from llmsdk.wire.json import string

STATE = "openai.message"
"""Key of ``provider_state``: fields of an assistant's message that go back as they came, and the host they go to."""
_KEPT = "extra_content"
"""Where Google's endpoint puts what must come back with a call (its ``thought_signature``)."""


class ToolCalls:
    """The tool calls of one choice, as far as they have come."""

    __slots__ = ("_by_id", "_by_index", "_choice", "_host", "_ids", "_named")

    def __init__(self, choice: int, host: str = "") -> None:
        self._choice = choice
        self._host = host
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: list[str] = []
        self._named: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._ids)

    def feed(self, pieces: Any, *, whole: bool = False) -> Iterator[ToolCallDelta]:
        """The deltas in a ``tool_calls`` list: of a chunk, or of a whole message, where each item is a call."""
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                inner = piece.get("function") or piece.get("custom")
                yield self._delta(piece, inner if isinstance(inner, dict) else {}, whole=whole)

    def feed_legacy(self, piece: dict[str, Any]) -> ToolCallDelta:
        """The delta in a ``function_call``, of which there was only ever one."""
        return self._delta({"index": 0}, piece)

    def _delta(self, piece: dict[str, Any], function: dict[str, Any], *, whole: bool = False) -> ToolCallDelta:
        call_id, name = string(piece.get("id")), string(function.get("name"))
        known = len(self._ids)
        slot = known if whole else self._slot(piece.get("index", function.get("index")), call_id, name)
        made = slot == known
        if made:
            call_id = call_id or self._make_id(slot)
            self._ids.append(call_id)
            self._by_id.setdefault(call_id, slot)
        name = "" if slot in self._named else name
        if name:
            self._named.add(slot)
        arguments = _arguments(function.get("arguments", function.get("input")))
        state = {STATE: {"host": self._host, _KEPT: piece[_KEPT]}} if piece.get(_KEPT) else None
        return ToolCallDelta(slot, call_id if made else "", name, arguments, self._choice, state)

    def _slot(self, index: Any, call_id: str, name: str) -> int:
        """Which call a piece belongs to; one past the last for a new one."""
        new = len(self._ids)
        if isinstance(index, int):
            slot = self._by_index.get(index)
            # a host that numbers every call 0 begins another one by another id and a name
            if slot is None or (name and call_id and call_id != self._ids[slot]):
                self._by_index[index] = slot = self._by_id.get(call_id, new) if slot is not None else new
            return slot
        if call_id:
            return self._by_id.get(call_id, new)
        return new if name or not new else new - 1

    def _make_id(self, slot: int) -> str:
        return f"call_{self._choice}_{slot}" if self._choice else f"call_{slot}"


def _arguments(value: Any) -> str:
    """The JSON text of arguments. Some hosts send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()
