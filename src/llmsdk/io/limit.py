"""The clock of an attempt, where the HTTP library believes a timeout to be.

The library hands whatever stands in ``extensions["timeout"]`` down to the sockets unchanged. A ``Limit`` stands there:
it asks the clock just before each wait, so that a server which drips bytes cannot hold a call past its deadline.
The faults raised here are internal; ``llmsdk.io.faults`` makes the public errors of them.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable
from typing import Any, Literal, NoReturn

from llmsdk.errors import LLMError
from llmsdk.io import Clock, Wait

SLICE = 64 * 1024
"""Bytes written to a socket between two looks at the clock."""


LATE = 0.05
"""Seconds after the end of a limit from which on it is clear that nobody could look: the loop stood still."""
SPARE = 0.05
"""Seconds that are then left to read what has come meanwhile."""


class Fault(Exception):
    """Something went wrong below HTTP."""


class Expired(Fault):
    """A wait ran out. With HTTP/2 it may surface in another request on the same connection, so it knows whose it is."""

    def __init__(self, limit: Limit, error: LLMError) -> None:
        super().__init__("expired")
        self.limit = limit
        self.error = error


class Unreachable(Fault):
    """No connection: name resolution, TCP or TLS failed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Broken(Fault):
    """The connection failed while reading."""


class Unsent(Fault):
    """The connection broke while writing. The peer may have replied before."""


class Lost(Fault):
    """The connection ended where the reply had not, or what came of it cannot be read. The text says which."""


class NotHTTP(Fault):
    """The first bytes of the peer are no HTTP reply."""

    def __init__(self, data: bytes) -> None:
        super().__init__("not HTTP")
        self.data = data


_SOCKS = (1, 5)
"""First bytes of what a client says to a SOCKS proxy. No HTTP request begins so."""


class Limit:
    """What the HTTP library believes to be a timeout. ``layers`` is the number of TLS layers below the request itself:
    with fewer, the bytes belong to a proxy and to the connecting."""

    __slots__ = ("_spare", "clock", "greeting", "layers", "stream")

    def __init__(self, clock: Clock, layers: int, *, greeting: Literal["", "http", "socks"] = "") -> None:
        self.clock: Clock = clock
        self.layers: int = layers
        self.greeting: Literal["", "http", "socks"] = greeting
        """What a proxy speaks that may have to be greeted before the request."""
        self.stream: Any = None
        """The connection that was opened for this attempt, if one was."""
        self._spare: float | None = None

    def __repr__(self) -> str:
        return "<limit>"

    def left(self, wait: Wait) -> float | None:
        try:
            return self.clock.left(wait)
        except LLMError as error:
            if wait == "receive" and (spare := self._left_to_spare()) > 0:
                return spare
            raise Expired(self, error) from None

    def _left_to_spare(self) -> float:
        """Seconds more for a reply that came in time while nobody could look. Granted once, so that they end."""
        now = self.clock.now()
        if self._spare is None:
            end, _ = self.clock.ends("receive")
            self._spare = now + SPARE if end is not None and now - end > LATE else now
        return self._spare - now

    def expire(self, wait: Wait, hint: str = "") -> NoReturn:
        error = self.clock.expired(wait)
        error.hint = hint or error.hint
        raise Expired(self, error) from None

    def opening(self) -> None:
        self.clock.reused = False
        self.clock.connecting = self.clock.now()

    def connecting(self, layers: int) -> bool:
        """Whether what passes now, under ``layers`` of TLS, is still talk with a proxy."""
        return layers < self.layers or self.greeting == "socks"

    def sending(self, layers: int, data: bytes) -> None:
        if self.greeting == "socks" and data[0] not in _SOCKS:
            self.greeting = ""
        if not self.connecting(layers):
            self.clock.sent = True

    def received(self, layers: int, data: bytes, first: bytes) -> None:
        if self.connecting(layers):
            if self.greeting == "http":
                self.greeting = ""
                _check_first(data, first)
            return
        if not self.clock.received:
            _check_first(data, first)
        self.clock.received += len(data)


def _check_first(data: bytes, first: bytes) -> None:
    if not data.startswith(first[: len(data)]):
        raise NotHTTP(data[:4000])


def readable(sock: Any) -> bool:
    """Whether a read would return at once: of an idle connection, that the peer hung up."""
    descriptor = -1 if sock is None else sock.fileno()
    return descriptor < 0 or looking(descriptor)()


def looking(descriptor: int) -> Callable[[], bool]:
    """What tells of an open socket, as often as it is asked, whether it is ``readable``."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))


def spoke(tls: Any) -> bool:
    """Of idle TLS that has its own buffer, which ``readable`` does not see: whether the peer said something."""
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except (OSError, ValueError):
        pass
    return True


def first_bytes(tls: Any) -> bytes:
    return b"" if tls is not None and tls.selected_alpn_protocol() == "h2" else b"HTTP/"


__all__ = [
    "SLICE",
    "Broken",
    "Expired",
    "Fault",
    "Limit",
    "Lost",
    "NotHTTP",
    "Unreachable",
    "Unsent",
    "Wait",
    "first_bytes",
    "looking",
    "readable",
    "spoke",
]
