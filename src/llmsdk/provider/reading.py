"""A reply over HTTP read into events: a whole one, or one that streams as its bytes come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from llmsdk.errors import InvalidBody, ResponseTooLarge
from llmsdk.io import LARGER
from llmsdk.io.sse import ServerSentEvent, SSEDecoder
from llmsdk.types import Event, Info, Request

if TYPE_CHECKING:
    from llmsdk.provider.http import HTTPProvider

STREAMED = 4
"""How many times as long as a whole body a stream may be: each token of it is wrapped in some hundred bytes."""


class Frames(Protocol):
    """Cuts the bytes of a stream into events, however they come in."""

    def feed(self, chunk: bytes) -> Iterable[ServerSentEvent]: ...


class StreamDecoder(Protocol):
    """Reads one streamed reply. Holds the state of that reply and nothing else.

    One that knows when the stream has ended, before the host hangs up, has a ``done`` that says so.
    """

    def feed(self, event: ServerSentEvent) -> Iterable[Event]: ...


def whole(provider: HTTPProvider, body: bytes, request: Request) -> Iterator[Event]:
    """The events of a whole body, which is read once more, with less strictness, if it is no valid Unicode.

    The body itself comes with what the first of them says about the reply, or by itself at the end.
    """
    event: Event | None = None
    told = False
    try:
        for event in provider.decode(body, request):
            if not told and type(event) is Info:
                told, event = True, Info(event.id, event.model, event.warning, body)
            yield event
    except InvalidBody:
        from llmsdk.mending import WARNING, mended

        text = mended(body)
        if event is not None or text is None:
            raise
        yield from provider.decode(text, request)
        yield Info(warning=WARNING)
    if not told:
        yield Info(raw=body)


class Streamed:
    """One streamed reply as it is read. A host that ignores ``stream``, or that has an error or a page to show, sends a
    document in its place, which is kept whole. Other frames than server-sent events may look like one.
    """

    __slots__ = ("_begun", "_decoder", "_document", "_frames", "_provider", "_request", "_seen", "_size")

    def __init__(self, provider: HTTPProvider, request: Request) -> None:
        self._provider, self._request = provider, request
        self._decoder = provider.decoder(request)
        frames = provider.frames()
        self._frames: Frames = frames or SSEDecoder(provider.max_event)
        self._begun = frames is not None
        self._document: bytearray | None = None
        self._seen: list[bytes] = []
        self._size = 0

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return getattr(self._decoder, "done", False)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes."""
        self._size += len(chunk)
        if self._size > STREAMED * self._provider.max_body:
            self._seen.clear()
            raise ResponseTooLarge(f"the stream is longer than {STREAMED * self._provider.max_body} bytes", hint=LARGER)
        if not self._begun:
            self._begin(chunk)
        if self._document is not None:
            self._keep(self._document, chunk)
            return
        for message in self._frames.feed(chunk):
            if self.done:
                return  # what follows the end is not read, whether it comes in the same piece or in the next
            self._seen.append(message.data)
            event: Event | None = None
            try:
                for event in self._decoder.feed(message):
                    yield event
            except InvalidBody:
                if event is not None or not self._mends(message):
                    raise
                yield from self._decoder.feed(message)

    def end(self) -> Iterator[Event]:
        """The events at the end of it: all of them, where a document came in its place."""
        if self._document is None:
            yield Info(raw=tuple(self._seen))
        else:
            yield from whole(self._provider, bytes(self._document), self._request)

    def _begin(self, chunk: bytes) -> None:
        start = chunk.lstrip()[:1]
        self._begun = bool(start)
        if start in (b"{", b"[", b"<"):  # a line of an event stream begins with a name or a colon
            self._document = bytearray()

    def _keep(self, document: bytearray, chunk: bytes) -> None:
        document += chunk
        limit = self._provider.max_body
        if len(document) > limit:
            document.clear()  # which a traceback would keep
            raise ResponseTooLarge(f"the reply is larger than {limit} bytes", hint=LARGER)

    def _mends(self, message: ServerSentEvent) -> bool:
        """Whether an event that was not understood may be from now on, since it is no valid Unicode."""
        from llmsdk.mending import Mending, marked

        if isinstance(self._decoder, Mending) or marked(message.data) is None:
            return False
        self._decoder = Mending(self._decoder)
        return True
