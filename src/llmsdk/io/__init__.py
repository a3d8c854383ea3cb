"""Waiting, in one place. The core is ``async def`` throughout and awaits nothing but an ``IO``.

Four faces: ``SyncIO`` blocks and never suspends (``io.drive`` runs a coroutine on it with one ``send``), ``LoopIO``
runs on asyncio or trio, ``FakeIO`` has a virtual clock, and ``portal`` lends a loop to providers that need one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from llmsdk.direct import direct
from llmsdk.errors import DeadlineExceeded, TimedOut

T = TypeVar("T")
Wait = Literal["pool", "connect", "send", "receive"]
"""What a request waits for: a place among the connections, a connection, its own way out, the reply."""
MAX_BODY = 64 * 2**20
"""Bytes of a reply, after decompression, that are read at most, where nobody says otherwise."""
LARGER = "If the host is right to send so much, raise max_body in its settings."
"""What to do about a reply that is longer than what is read."""


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How to reach a host. Equal options share one pool of connections."""

    proxy: str | None = field(default=None, repr=False)
    """URL of a proxy, or ``""`` for none. ``None`` takes HTTP(S)_PROXY, ALL_PROXY and NO_PROXY from the environment as
    it is at the first request to a host, and uses none for this machine."""
    ca_bundle: str | None = None
    """Path of a PEM file to trust instead of the system's certificates."""
    client_cert: str | tuple[str, str] | None = None
    """Path of a PEM file with certificate and key, or the two paths."""
    http2: bool = False
    """Needs the package h2. Requests then share a connection, so a stream left early only ends with its deadline on
    the server's side, and under the sync client one request may wait for another's turn to read."""
    max_connections: int | None = None
    """Towards one host at a time; ``None`` is no limit."""
    client: Any = None
    """The user's own httpx2 or httpx client, used as it is."""


@direct
@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """One request, ready for the wire. ``secrets`` are strings that must not show in any error about it."""

    method: str
    url: str = field(repr=False)
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    options: TransportOptions = TransportOptions()
    secrets: tuple[str, ...] = field(default=(), repr=False)


class HTTPReply(Protocol):
    """A reply whose body has not been read yet. Whoever gets one closes it."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; a repeated header has its last value."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """The body, decompressed, as it comes."""
        ...

    async def read(self, limit: int = ...) -> bytes:
        """The whole body.

        Raises:
            ResponseTooLarge: more than ``limit`` bytes after decompression.
        """
        ...

    async def aclose(self) -> None:
        """Give the connection back, or drop it where the body was not read to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one attempt, in seconds. ``None`` is no limit. The middle two hold for streams only."""

    connect: float | None = 5.0
    first_token: float | None = 60.0
    idle: float | None = 30.0
    total: float | None = 600.0


@dataclass(slots=True)
class Clock:
    """The time of one attempt, and what its wire has seen.

    The transport asks ``left`` before every wait and sets ``sent``, ``reused`` and ``received``; the pipeline sets
    ``content`` when the first content came. All times are seconds of ``now``, a monotonic clock.
    """

    now: Callable[[], float]
    timeouts: Timeouts = Timeouts()
    deadline: float | None = None
    """When the whole call must be over, not only this attempt."""
    stream: bool = False
    """A stream on the wire, so that ``first_token`` and ``idle`` hold. A provider over HTTP says so."""
    started: float = 0.0
    sent: bool = False
    """A byte of the request may have left."""
    reused: bool = True
    """No connection was opened for this attempt."""
    received: int = 0
    """Bytes of the reply so far."""
    content: bool = False
    connecting: float | None = None
    """When the connecting began: TCP, a proxy and TLS share one limit."""
    bound: tuple[str, str] = ("", "")
    """The latest wait, and which limit bounds it."""
    heard: Callable[[Mapping[str, str]], None] | None = None
    """Called with the headers of every reply as soon as its head is there, whatever its status."""
    over: tuple[float | None, str] = (None, "")
    """When all of it must end, whatever it waits for, and which limit that is."""
    notes: tuple[str, ...] = ()
    """What was odd about a reply, for the warnings of the result, where no event could say so."""

    def __post_init__(self) -> None:
        self.started = self.now()
        self._bound()

    def _bound(self) -> None:
        self.over = (None, "") if self.deadline is None else (self.deadline, "deadline")
        if self.timeouts.total is not None:
            self.over = _nearer(self.over, self.started + self.timeouts.total, "total")

    def ends(self, wait: Wait) -> tuple[float | None, str]:
        """When a wait that begins now must end (``None``: never), and which limit that is."""
        limits = self.timeouts
        if wait == "connect" and limits.connect is not None:
            began = self.now() if self.connecting is None else self.connecting
            return _nearer(self.over, began + limits.connect, "connect")
        if wait == "receive" and self.stream:
            if not self.content and limits.first_token is not None:
                return _nearer(self.over, self.started + limits.first_token, "first_token")
            if self.content and limits.idle is not None:
                return _nearer(self.over, self.now() + limits.idle, "idle")
        return self.over

    def left(self, wait: Wait) -> float | None:
        """Seconds that a wait may take.

        Raises:
            TimedOut, DeadlineExceeded: none are left.
        """
        end, name = self.ends(wait)
        self.bound = (wait, name)
        if end is None:
            return None
        seconds = end - self.now()
        if seconds <= 0:
            raise self.expired(wait)
        return seconds

    def note(self, text: str) -> None:
        """Have a warning in the result, once."""
        if text not in self.notes:
            self.notes += (text,)

    def close_in(self, seconds: float) -> None:
        """Bound what is left of the attempt."""
        end = self.now() + seconds
        self.deadline = end if self.deadline is None else min(end, self.deadline)
        self._bound()

    def expired(self, wait: Wait) -> TimedOut | DeadlineExceeded:
        """The error for a wait that ran out, by the limit that ``left`` gave for it."""
        limit = self.bound[1] if self.bound[0] == wait else self.ends(wait)[1]
        after = f"after {self.now() - self.started:.3g} s"
        if limit == "deadline":
            phase = wait if wait != "receive" else "reply"
            return DeadlineExceeded(f"the deadline passed {after}, during {phase}", phase=phase, sent=self.sent)
        if wait == "pool":
            return TimedOut(f"no free connection within the {limit} timeout, {after}", phase=wait, sent=self.sent)
        hint = f"Raise timeout={{{limit!r}: ...}} if the host is only slow."
        return TimedOut(f"no answer within the {limit} timeout, {after}", phase=limit, sent=self.sent, hint=hint)


def _nearer(end: tuple[float | None, str], other: float, name: str) -> tuple[float | None, str]:
    return (other, name) if end[0] is None or other < end[0] else end


async def close(thing: object) -> None:
    """Close an iterator, where it can be closed.

    Every layer that iterates over another one closes it by name and never leaves that to the garbage collector. What
    came to its end, or failed, is closed already: only who is left early has to see to it.
    """
    if (aclose := getattr(thing, "aclose", None)) is not None:
        await aclose()


class closing(Generic[T]):  # noqa: N801 - named like contextlib's
    """``contextlib.aclosing`` for any iterator."""

    __slots__ = ("_thing",)

    def __init__(self, thing: T) -> None:
        self._thing = thing

    async def __aenter__(self) -> T:
        return self._thing

    async def __aexit__(self, *_: object) -> None:
        await close(self._thing)


class IO(Protocol):
    """Everything that can wait. An instance is bound to one attempt's ``clock``, which bounds each wait."""

    clock: Clock | None

    def now(self) -> float:
        """Seconds on a monotonic clock."""
        ...

    def within(self, clock: Clock) -> IO:
        """The same face, bound to ``clock``."""
        ...

    async def send(self, request: HTTPRequest) -> HTTPReply:
        """Send a request and wait for the head of its reply.

        Raises:
            ConnectFailed, Disconnected, TimedOut, DeadlineExceeded, InvalidBody, Redirected
        """
        ...

    async def sleep(self, seconds: float, unless: Future[Any] | None = None) -> None:
        """Let time pass, no longer than until ``unless`` is done. With it, ``seconds`` may be infinite."""
        ...

    async def wait(self, future: Future[T]) -> T:
        """The result of a future that a worker thread fulfils; it is cancelled when the wait is."""
        ...

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        """Run jobs, at most ``limit`` at a time; results in order. The first error cancels the rest and is raised."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work without blocking a loop."""
        ...

    def racing(self, make: Callable[[Racing], AsyncIterator[T]]) -> AsyncIterator[T]:
        """The items of ``make(io)``, whose ``io`` can ``race``. Closed early, it returns when ``make`` has ended."""
        ...


class Racing(IO, Protocol):
    """A face on which one thing that waits can be given up for another."""

    async def race(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, bool]]]) -> None:
        """Run jobs at once. As soon as one returns true, or raises, the others are cancelled."""
        ...


__all__ = [
    "IO",
    "LARGER",
    "MAX_BODY",
    "Clock",
    "HTTPReply",
    "HTTPRequest",
    "Racing",
    "Timeouts",
    "TransportOptions",
    "Wait",
    "close",
    "closing",
]
