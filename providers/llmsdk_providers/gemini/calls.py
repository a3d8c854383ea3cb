"""Tool calls out of their parts. A call comes whole, or, where the caller asked Vertex for it, argument by argument."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic_core import to_json

from llmsdk.types import ToolCallDelta
from llmsdk.wire.json import items, string, under
from llmsdk_providers.gemini.contents import STATE

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]")
_VALUES = ("stringValue", "numberValue", "boolValue")
MAX_ITEMS = 10_000


class Calls:
    """The tool calls of one candidate, as far as they have come."""

    __slots__ = ("_count", "_index", "_open", "_reply_id")

    def __init__(self, index: int, reply_id: str | None) -> None:
        self._index = index
        self._reply_id = reply_id
        self._count = 0
        self._open: dict[str, Any] | None = None
        """Arguments of the last call, as far as they have come in pieces."""

    def __bool__(self) -> bool:
        return self._count > 0

    def feed(self, call: dict[str, Any], signed: dict[str, str]) -> Iterator[ToolCallDelta]:
        """The deltas of one ``functionCall``: one with a name is another call, one without goes on."""
        name = string(call.get("name"))
        if name:
            yield from self.end()
            yield self._begun(name, string(call.get("id")), signed)
        if not self._count:
            return
        if call.get("willContinue") is True or "partialArgs" in call:
            self._open = self._open or {}
            for piece in items(call.get("partialArgs")):
                _put(self._open, piece)
            if call.get("willContinue") is not True:
                yield from self.end()
        elif name:
            yield self._delta(to_json(under(call, "args")).decode())
        else:
            yield from self.end()

    def end(self) -> Iterator[ToolCallDelta]:
        """The arguments that came in pieces, once they are all there."""
        if self._open is not None:
            yield self._delta(to_json(self._open).decode())
            self._open = None

    def _begun(self, name: str, given: str, signed: dict[str, str]) -> ToolCallDelta:
        kept = {**signed, **({"id": given} if given else {})}
        slot = self._count
        self._count += 1
        return ToolCallDelta(slot, given or self._made(slot), name, "", self._index, {STATE: kept} if kept else None)

    def _delta(self, arguments: str) -> ToolCallDelta:
        return ToolCallDelta(self._count - 1, arguments=arguments, index=self._index)

    def _made(self, slot: int) -> str:
        """An id where Gemini gave none: the same whenever the reply is read, another one in the next reply."""
        known = re.sub(r"[^A-Za-z0-9_-]", "", self._reply_id or "")[:24]
        return "_".join(["call", *filter(None, [known]), *([str(self._index)] if self._index else []), str(slot)])


def _put(arguments: dict[str, Any], piece: dict[str, Any]) -> None:
    """Set the value at ``jsonPath``; text at a place that has text goes on there."""
    steps = [found[1] or found[3] or int(found[2]) for found in _STEP.finditer(string(piece.get("jsonPath")))]
    value = next((piece[name] for name in _VALUES if name in piece), None)
    if not steps or isinstance(steps[0], int):
        return
    place: Any = arguments
    for step, following in pairwise(steps):
        empty: Any = [] if isinstance(following, int) else {}
        place = _at(place, step, empty)
    before = _at(place, steps[-1], value)
    if before is not value and isinstance(before, str) and isinstance(value, str):
        place[steps[-1]] = before + value


def _at(place: Any, step: str | int, otherwise: Any) -> Any:
    """What stands at a step, set to ``otherwise`` where nothing does."""
    if isinstance(place, dict) and isinstance(step, str):
        return place.setdefault(step, otherwise)
    if isinstance(place, list) and isinstance(step, int) and step < MAX_ITEMS:
        place += [None] * (step + 1 - len(place))
        if place[step] is None:
            place[step] = otherwise
        return place[step]
    return None
