"""Conversations with real hosts, recorded once and played again: no network and no cost after the first run.

    with Cassette("tests/cassettes/weather.json"):
        client.chat("Will it rain in Oslo?")

It sits where llmsdk hands a request to the network, for both clients and for every provider over HTTP. Requests are
told apart by what they mean: method, path and canonical body. No header of a request is kept, and secrets are masked
before anything is compared or written.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from difflib import SequenceMatcher, unified_diff
from pathlib import Path
from typing import Any, Literal, Self

from llmsdk.errors import ConfigError, Disconnected, LLMError
from llmsdk.io import HTTPReply, HTTPRequest
from llmsdk.testing.scrub import Scrubber
from llmsdk.testing.tape import Asked, Exchange, dumped, parsed

Mode = Literal["once", "replay", "record", "extend"]


class UnknownRequest(ConfigError):
    """A request that the cassette has not recorded."""


class Cassette:
    """Plays what is in the file at ``path``, or records it. A context manager, for the whole process.

    Args:
        path: a JSON file, written when the block ends; its folder is made.
        mode: ``once`` records where there is no file yet and plays otherwise, ``replay`` only plays, ``record`` starts
            anew, ``extend`` plays what is known and records the rest.
        secrets: texts that must not be in the file, besides the keys of the requests, which are known anyway.
        scrub: changes each text (a URL, a body, a piece of a stream) before it is compared and written.

    A request that was recorded several times is answered in that order, and then with the last reply again.

    Raises:
        UnknownRequest: while playing, for a request that is not in the file; the hint has the nearest one.
        ConfigError: the file is missing in ``replay``, or is no cassette.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mode: Mode = "once",
        secrets: Sequence[str] = (),
        scrub: Callable[[str], str] | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self.mode: Mode = mode
        self.exchanges: list[Exchange] = []
        self.asked: list[Asked] = []
        """Every request since the block was entered, played or recorded."""
        self._scrub = Scrubber(tuple(secrets), scrub)
        self._lock = threading.Lock()
        self._played: dict[int, int] = {}
        """How often each exchange was played, by its place."""
        self._changed = False

    def __repr__(self) -> str:
        return f"<Cassette {self.path}: {len(self.exchanges)} exchanges, mode {self.mode!r}>"

    @property
    def records(self) -> bool:
        """Whether an unknown request goes out over the network."""
        return self.mode in ("record", "extend") or (self.mode == "once" and self._fresh)

    def __enter__(self) -> Self:
        self._fresh = not self.path.exists()
        if self._fresh and self.mode == "replay":
            raise ConfigError(f"there is no cassette at {self.path}", hint='Record it with mode="once".')
        if not self._fresh and self.mode != "record":
            self.exchanges = parsed(self.path)
        self._install()
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()
        if self._changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(dumped(self.exchanges), encoding="utf-8")

    def _install(self) -> None:
        """Take the place of the two faces' ``send``; a cassette inside another one takes its place."""
        from llmsdk.io.loop import LoopIO
        from llmsdk.io.sync import SyncIO

        self._faces = [(face, face.send) for face in (SyncIO, LoopIO)]
        for face, original in self._faces:
            face.send = self._sender(original)  # type: ignore[method-assign]

    def _remove(self) -> None:
        for face, original in self._faces:
            face.send = original  # type: ignore[method-assign]

    def _sender(self, original: Any) -> Any:
        async def send(io: Any, request: HTTPRequest) -> HTTPReply:
            asked = Asked.of(request, self._scrub)
            self.asked.append(asked)
            exchange = self._next(asked)
            if exchange is not None:
                return _play(exchange, io.clock)
            if not self.records:
                raise self._unknown(asked)
            return _Recorder(await original(io, request), asked, self._scrub.knowing(request), self._keep)

        return send

    def _next(self, asked: Asked) -> Exchange | None:
        """The reply whose turn it is."""
        with self._lock:
            places = [at for at, known in enumerate(self.exchanges) if known.asked.key == asked.key]
            if not places or (self.records and self.mode != "extend"):
                return None
            place = min(places, key=lambda at: (self._played.get(at, 0), at))
            if self._played.get(place):
                place = places[-1]
            self._played[place] = self._played.get(place, 0) + 1
            return self.exchanges[place]

    def _keep(self, exchange: Exchange) -> None:
        with self._lock:
            self._played[len(self.exchanges)] = 1
            self.exchanges.append(exchange)
            self._changed = True

    def _unknown(self, asked: Asked) -> UnknownRequest:
        what = f"{self.path.name} has no recording of {asked.method} {asked.path}"
        if not self.exchanges:
            return UnknownRequest(what, hint="It has none at all.")
        nearest = max(self.exchanges, key=lambda known: SequenceMatcher(None, known.asked.key, asked.key).ratio())
        lines = [*unified_diff(nearest.asked.shown, asked.shown, "recorded", "asked now", lineterm="", n=1)]
        place = self.exchanges.index(nearest) + 1
        hint = f"Record it with mode={'extend'!r}. The nearest is number {place}:\n" + "\n".join(lines)
        return UnknownRequest(what, hint=hint)


# --- replies ----------------------------------------------------------------------------------------------------


class _Recorder:
    """A reply that notes its pieces while they are read."""

    def __init__(self, reply: HTTPReply, asked: Asked, scrub: Scrubber, keep: Callable[[Exchange], None]) -> None:
        self._reply = reply
        self._asked = asked
        self._scrub = scrub
        self._keep: Callable[[Exchange], None] | None = keep
        self._pieces: list[bytes] = []
        self._whole = False
        self.status: int = reply.status
        self.headers: Mapping[str, str] = reply.headers

    async def chunks(self) -> AsyncGenerator[bytes]:
        chunks = self._reply.chunks()
        try:
            async for chunk in chunks:
                self._pieces.append(chunk)
                yield chunk
            self._whole = True
        finally:
            await chunks.aclose()

    async def read(self, limit: int = 2**26) -> bytes:
        body = await self._reply.read(limit)
        self._pieces, self._whole = [body], True
        return body

    async def aclose(self) -> None:
        keep, self._keep = self._keep, None
        if keep is not None:
            pieces = self._scrub.pieces(self._pieces)
            headers = {name: self._scrub(value) for name, value in self.headers.items()}
            keep(Exchange.of(self._asked, self.status, headers, pieces, whole=self._whole))
        await self._reply.aclose()


class _Pieces:
    """The body of a recording. One that was not read to its end breaks off there."""

    def __init__(self, exchange: Exchange, clock: Any) -> None:
        self._pieces = iter(exchange.pieces)
        self._whole = exchange.whole
        self._clock = clock

    async def more(self) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and not self._whole:
            raise Disconnected("the recording ends here: the reply was not read any further", sent=True)
        if self._clock is not None:
            self._clock.received += len(piece)
        return piece

    async def aclose(self) -> None:
        """Nothing to close."""


def _play(exchange: Exchange, clock: Any) -> HTTPReply:
    from llmsdk.io.exchange import Reply

    if clock is not None:
        clock.sent, clock.reused = True, False
        if clock.heard is not None:
            clock.heard(exchange.headers)
    return Reply(exchange.status, exchange.headers, _Pieces(exchange, clock), _as_it_is)


def _as_it_is(error: Exception) -> LLMError:
    if isinstance(error, LLMError):
        return error
    raise error


__all__ = ["Cassette", "Mode", "UnknownRequest"]
