"""The items of a reply, as far as they have come. A whole reply takes the same road as a streamed one, in one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmsdk.types import Event, Info, ReasoningDelta, TextDelta, ToolCallDelta
from llmsdk.wire.json import items as objects
from llmsdk.wire.json import string
from llmsdk_providers.openai import logprobs
from llmsdk_providers.openai_responses.items import state

ANSWERED = frozenset({
    "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call", "mcp_approval_request",
})  # fmt: skip
"""Items that want an answer of a kind that this library does not give. Sent back without one they are refused."""
_BETWEEN = "\n\n"
"""What stands between two paragraphs of one item's reasoning."""
Key = tuple[str, int]


class Output:
    """The items of one reply."""

    __slots__ = ("_done", "_headed", "_host", "_last", "_linked", "_said", "_slots", "refused")

    def __init__(self, host: str) -> None:
        self._host = host
        self._slots: dict[int, int] = {}
        self._said: set[int] = set()
        self._last: dict[int, Key] = {}
        self._headed: set[int] = set()
        self._done: set[int | str] = set()
        self._linked = False
        self.refused = False

    @property
    def calls(self) -> bool:
        """Whether tools are to be called."""
        return bool(self._slots)

    def begin(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        """An item that has begun: a call with its name, a message that has more to it than its text."""
        kind = item.get("type")
        if kind == "function_call" and index not in self._slots:
            slot = self._slots[index] = len(self._slots)
            call_id = string(item.get("call_id")) or string(item.get("id")) or f"call_{slot}"
            kept = {name: item[name] for name in ("id", "namespace") if item.get(name)}
            yield ToolCallDelta(slot, call_id, string(item.get("name")), provider_state=state(self._host, kept))
        elif kind == "message" and (self._linked or item.get("phase")):
            self._headed.add(index)
            yield self._header(index, item)

    def finish(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        """An item that is whole: what of it has not come yet, and what is to be sent back of it."""
        if index in self._done:
            return
        self._done |= {index, string(item.get("id")) or index}
        match item.get("type"):
            case "function_call":
                yield from self._finish_call(index, item)
            case "message":
                yield from self._finish_message(index, item)
            case "reasoning":
                yield from self._finish_reasoning(index, item)
            case str(kind) if kind in ANSWERED:
                yield Info(warning=f"an item of the type {kind!r} was left out of the reply")
            case str():
                self._linked = True
                yield ReasoningDelta("", provider_state=state(self._host, item), slot=index)

    def rest(self, output: Any) -> Iterator[Event]:
        """The items of the finished reply that have not come by themselves. Some hosts name them anew there, some leave
        items out, and some give two of them one id: neither ids nor places alone tell.
        """
        came = frozenset(self._done)
        for index, item in enumerate(objects(output)):
            if index not in came and string(item.get("id")) not in came:
                yield from self.begin(index, item)
                yield from self.finish(index, item)

    # --- pieces -------------------------------------------------------------------------------------------------

    def text(self, index: int, piece: Any, scores: Any = None) -> Iterator[Event]:
        tokens = logprobs.read({"content": scores}) if scores else ()
        if piece or tokens:
            self._said.add(index)
            yield TextDelta(string(piece), 0, tokens)

    def refusal(self, index: int, piece: Any) -> Iterator[Event]:
        if piece:
            self.refused = True
            self._said.add(index)
            yield TextDelta(string(piece))

    def thought(self, index: int, key: Key, piece: Any) -> Iterator[Event]:
        """A piece of reasoning; ``key`` says whether of its summary or of itself, and of which paragraph."""
        if piece and isinstance(piece, str):
            between = _BETWEEN if self._last.get(index, key) != key else ""
            self._last[index] = key
            self._said.add(index)
            yield ReasoningDelta(between + piece, slot=index)

    def arguments(self, index: int, piece: Any) -> Iterator[Event]:
        if piece and index in self._slots:
            self._said.add(index)
            yield ToolCallDelta(self._slots[index], arguments=string(piece))

    # --- whole items --------------------------------------------------------------------------------------------

    def _finish_call(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        yield from self.begin(index, item)
        if index not in self._said:
            yield from self.arguments(index, item.get("arguments"))

    def _finish_message(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        came = index in self._said
        for part in () if came else objects(item.get("content")):
            if part.get("type") == "refusal":
                yield from self.refusal(index, part.get("refusal"))
            else:
                yield from self.text(index, part.get("text"), part.get("logprobs"))
        if index in self._headed:
            yield self._header(index, item)

    def _finish_reasoning(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        self._linked = True
        came = index in self._said
        for field in () if came else ("summary", "content"):
            for number, part in enumerate(objects(item.get(field))):
                yield from self.thought(index, (field, number), part.get("text"))
        yield ReasoningDelta("", provider_state=state(self._host, item), slot=index)

    def _header(self, index: int, item: dict[str, Any]) -> Event:
        header = {name: value for name, value in item.items() if name != "content"}
        return ReasoningDelta("", provider_state=state(self._host, header), slot=index)
