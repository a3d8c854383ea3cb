"""JSON that is no Unicode, as some hosts send it: bytes that are no UTF-8, and halves of surrogate pairs.

A reply is looked at here only after a strict reading has failed. What cannot be read becomes U+FFFD, and the result has
a warning that says so. Two halves of one character that come in two events of a stream are joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, Info, ReasoningDelta, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from llmsdk.provider import StreamDecoder

WARNING = "the reply is no valid Unicode: U+FFFD stands where it could not be read"
_NO_TEXT = "\ufffd"
_ESCAPED = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2}))"
)
"""A pair of surrogates as JSON escapes it, or only one of them. What follows a backslash that is escaped is none."""
_PRIVATE = 0x100000
"""Added to half a character, so that it gets through a strict reading: Unicode gives those code points no meaning."""
_PAIR = re.compile("([\U0010d800-\U0010dbff])([\U0010dc00-\U0010dfff])")
_HALF = re.compile("[\U0010d800-\U0010dfff]")
_FIRST_HALF = re.compile("[\U0010d800-\U0010dbff]$")
_TEXT: dict[type, str] = {TextDelta: "text", ReasoningDelta: "reasoning", ToolCallDelta: "arguments"}
"""Events of which one continues the text of another, and where they have it."""


def marked(data: bytes) -> bytes | None:
    """JSON that a strict reader takes, with marks for halves of characters; ``None`` where nothing is to be mended."""
    text = _ESCAPED.sub(_mark, data.decode("utf-8", "replace")).encode()
    return None if text == data else text


def mended(data: bytes) -> bytes | None:
    """JSON with U+FFFD for all that is no text; ``None`` where nothing is to be mended."""
    text = marked(data)
    return None if text is None else _HALF.sub(_NO_TEXT, text.decode()).encode()


def _mark(found: re.Match[str]) -> str:
    backslashes, half = found.groups()
    return found[0] if half is None else backslashes + chr(_PRIVATE + int(half, 16))


def _joined(pair: re.Match[str]) -> str:
    units = [ord(half) - _PRIVATE for half in pair.groups()]
    return chr(0x10000 + ((units[0] - 0xD800) << 10) + units[1] - 0xDC00)


class Mending:
    """Stands before a decoder of a stream, from the event on that turned out to be no Unicode."""

    def __init__(self, decoder: StreamDecoder) -> None:
        self._decoder = decoder
        self._halves: dict[tuple[type, int, int], str] = {}
        """First halves whose second ones may come with the next event of the same text."""
        self._warned = False

    @property
    def done(self) -> bool:
        return bool(getattr(self._decoder, "done", False))

    def feed(self, event: ServerSentEvent) -> Iterator[Event]:
        data = marked(event.data)
        if data is not None:
            if data.count(_NO_TEXT.encode()) > event.data.count(_NO_TEXT.encode()):
                yield from self._warn()
            event = event._replace(data=data)
        for read in self._decoder.feed(event):
            yield from self._mend(read)

    def _mend(self, event: Event) -> Iterator[Event]:
        name = _TEXT.get(type(event))
        if name is None:
            if isinstance(event, Finish):
                yield from self._end(event.index)
            yield event
            return
        yield from self._text(event, name)

    def _text(self, event: Any, name: str) -> Iterator[Event]:
        key = (type(event), event.index, getattr(event, "slot", 0))
        text = _PAIR.sub(_joined, self._halves.pop(key, "") + getattr(event, name))
        if half := _FIRST_HALF.search(text):
            self._halves[key] = half[0]
            text = text[:-1]
        if _HALF.search(text):
            yield from self._warn()
        if text or not isinstance(event, TextDelta) or event.logprobs:
            yield replace(event, **{name: _HALF.sub(_NO_TEXT, text)})

    def _end(self, index: int) -> Iterator[Event]:
        """What is left of a choice that has ended: first halves that no second one followed."""
        for key in [key for key in self._halves if key[1] == index]:
            kind, _, slot = key
            del self._halves[key]
            yield from self._warn()
            if kind is TextDelta:
                yield TextDelta(_NO_TEXT, index)
            elif kind is ReasoningDelta:
                yield ReasoningDelta(_NO_TEXT, index, slot=slot)
            else:
                yield ToolCallDelta(slot, arguments=_NO_TEXT, index=index)

    def _warn(self) -> Iterator[Event]:
        if not self._warned:
            self._warned = True
            yield Info(warning=WARNING)


__all__ = ["WARNING", "Mending", "marked", "mended"]
