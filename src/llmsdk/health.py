"""How a host has been doing: whether it is worth asking at all, and whether failed calls may be asked again.

An account is a host and a key; its ``Health`` is one for all clients of the process, so that an outage is met by all of
them together: a thousand callers do not make three thousand requests of it.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakSet

from llmsdk.accounts import Accounts
from llmsdk.errors import (
    CircuitOpen,
    ConnectFailed,
    Disconnected,
    LLMError,
    OutputError,
    Overloaded,
    RateLimited,
    RequestRejected,
    ServerFault,
    TimedOut,
)

FULL = 500
"""Tokens of a full retry quota."""
RETRY, THROTTLED = 14, 5
"""What a retry costs, and one after a refusal that did not say when to come back. As in botocore's standard mode."""


class CircuitPolicy(NamedTuple):
    """What ``[circuit]`` sets."""

    failures: int = 10
    """Faults of the host in a row, with no answer between, after which it is not asked. 0 is never."""
    cooldown: float = 10.0
    """Seconds until one request may try again."""
    key_cooldown: float = 60.0
    """Seconds that a refused key is left alone, where there are others."""


class Quota:
    """What failed calls may spend on being asked again. Retries that succeed give back what they cost."""

    __slots__ = ("_lock", "left")

    def __init__(self) -> None:
        self.left: int = FULL
        self._lock = threading.Lock()

    def take(self, cost: int, *, leave: int = 0) -> bool:
        """Whether there was enough, with so much ``left`` for others."""
        with self._lock:
            if self.left - cost < leave:
                return False
            self.left -= cost
            return True

    def give(self, amount: int) -> None:
        with self._lock:
            self.left = min(FULL, self.left + amount)


class Circuit:
    """Open after faults in a row: then nothing is sent, but for one request each ``cooldown``, until one is answered.

    That request is no state of its own: whoever comes when the time is up moves the time on and goes. So one that is
    cancelled, or lost in a fork, keeps nobody out for longer.
    """

    __slots__ = ("_lock", "failures", "until")

    def __init__(self) -> None:
        self.failures: int = 0
        """Since the last answer."""
        self.until: float | None = None
        """When one may try, if it is open."""
        self._lock = threading.RLock()  # a stream that the garbage collector closes may settle within

    def enter(self, name: str, policy: CircuitPolicy, now: float) -> float | None:
        """The time since when one might try, where it is this one that does.

        Raises:
            CircuitOpen: it is open.
        """
        with self._lock:
            if self.until is None or not policy.failures:
                return None
            if now >= self.until:
                due, self.until = self.until, now + policy.cooldown
                return due
            left, failures = self.until - now, self.failures
        message = f"{name} is not asked: {failures} requests in a row failed by its fault"
        hint = f"One request may try again in {left:.3g} s; if it is answered, all may."
        raise CircuitOpen(message, hint=hint, retry_after=left)

    def leave(self, due: float) -> None:
        """The one that was to try did not: the next one may. Unless the host has answered somebody meanwhile."""
        with self._lock:
            if self.until is not None:
                self.until = due

    def answered(self) -> None:
        """The host is alive."""
        if self.failures:
            with self._lock:
                self.failures, self.until = 0, None

    def failed(self, policy: CircuitPolicy, now: float) -> None:
        """The host is at fault."""
        with self._lock:
            self.failures += 1
            if self.until is None and 0 < policy.failures <= self.failures:
                self.until = now + policy.cooldown


class Health:
    """The quota and the circuit of one account. Every method may be called from any thread and on any loop."""

    __slots__ = ("circuit", "quota")

    def __init__(self, *, breaks: bool = True) -> None:
        self.quota: Quota = Quota()
        self.circuit: Circuit | None = Circuit() if breaks else None
        """``None`` where it is not known who is asked."""

    def enter(self, name: str, policy: CircuitPolicy, now: Callable[[], float]) -> float | None:
        """Before an attempt. What it returns is for ``leave``, if nothing is sent after all.

        Raises:
            CircuitOpen: the host is to be left alone for now.
        """
        if self.circuit is not None and self.circuit.until is not None:
            return self.circuit.enter(name, policy, now())
        return None

    def leave(self, entered: float | None) -> None:
        """Nothing was sent: if it was the one request that tries, the next one may."""
        if self.circuit is not None and entered is not None:
            self.circuit.leave(entered)

    def settle(self, failure: BaseException | None, policy: CircuitPolicy, now: Callable[[], float]) -> None:
        """Learn from how an attempt ended, or that it has begun to be answered."""
        if self.circuit is None:
            return
        verdict = is_alive(failure)
        if verdict:
            self.circuit.answered()
        elif verdict is False:
            self.circuit.failed(policy, now())

    def succeeded(self, paid: int) -> None:
        """A call succeeded, whose last retry cost so much."""
        if self.quota.left < FULL:
            self.quota.give(paid or 1)


class Load:
    """What one model of an account has to do, of the questions that it shares with others.

    It is left alone for a while after it refused. Then one question tries, and others follow when it is answered.
    """

    __slots__ = ("_flights", "_pause", "_process", "latest", "until")

    def __init__(self) -> None:
        self.latest: int = 0
        """The number of the latest question that went there."""
        self.until: float | None = None
        """Until when others are asked first."""
        self._pause = 0.0
        self._flights: WeakSet[Flight] = WeakSet()  # so that one that is lost, however that came, is not counted on
        self._process = os.getpid()

    @property
    def under_way(self) -> int:
        """How many questions are."""
        if self._process != os.getpid():  # a forked child: it was the parent who asked
            self._process, self._flights = os.getpid(), WeakSet()
        return len(self._flights)

    def begin(self, now: float) -> Flight:
        """A question goes there."""
        tries = self.until is not None
        if tries:
            self.until = now + self._pause
        self.latest = next(_NUMBERS)
        flight = Flight(self, tries=tries)
        self._flights.add(flight)
        return flight

    def end(self, flight: Flight) -> None:
        """A question is over. Takes no lock: it may be the garbage collector that closes a stream."""
        self._flights.discard(flight)

    def rest(self, seconds: float, now: float) -> None:
        """Leave it alone for so long."""
        if now + seconds >= (self.until or 0.0):
            self.until, self._pause = now + seconds, seconds


class Flight:
    """One question under way."""

    __slots__ = ("__weakref__", "_load", "_tries")

    def __init__(self, load: Load, *, tries: bool) -> None:
        self._load = load
        self._tries = tries

    def answered(self) -> None:
        """What comes is an answer."""
        if self._tries:
            self._tries, self._load.until = False, None

    def end(self) -> None:
        """It is over."""
        self._load.end(self)


_NUMBERS = itertools.count(1)


def is_alive(failure: BaseException | None) -> bool | None:
    """Whether an attempt that ended so shows that the host works; ``None`` where it shows neither."""
    if failure is None or isinstance(failure, RequestRejected | RateLimited | OutputError):
        return True
    if isinstance(failure, Disconnected):
        return None if failure.stale else False
    if isinstance(failure, TimedOut) and failure.phase == "pool":
        return None  # it never got as far as the host
    return False if isinstance(failure, Overloaded | ServerFault | ConnectFailed | TimedOut) else None


def price(error: LLMError) -> int:
    """What a retry after ``error`` costs. A host that says when to come back is alive, and is obeyed."""
    if not isinstance(error, RateLimited):
        return RETRY
    return THROTTLED if error.retry_after is None else 0


ACCOUNTS: Accounts[Health] = Accounts()
"""The health of each account: the same for all clients of the process."""
LOADS: Accounts[Load] = Accounts()
"""The load of each model of an account."""


__all__ = [
    "ACCOUNTS",
    "FULL",
    "LOADS",
    "RETRY",
    "Circuit",
    "CircuitPolicy",
    "Flight",
    "Health",
    "Load",
    "Quota",
    "is_alive",
    "price",
]
