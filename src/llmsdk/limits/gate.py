"""A queue in front of some rules: first come, first served, whoever waits and on whatever loop or thread."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from llmsdk.errors import DeadlineExceeded
from llmsdk.io import IO
from llmsdk.limits.rules import NONE, NOTHING, Cost, Rule

ONE = Cost()


class Ticket:
    """One request's place: in the queue, then among those that were let through."""

    __slots__ = ("admitted", "ahead", "cost", "number", "process", "sent", "woken")

    def __init__(self, cost: Cost, process: int) -> None:
        self.cost: Cost = cost
        self.process: int = process
        self.number: int = -1
        self.admitted: float | None = None
        self.sent: Cost = NONE
        self.ahead: int = 0
        """How many waited before it when it came."""
        self.woken: Future[None] | None = None
        """Done when it should look again."""


class Gate:
    """Lets requests through as fast as its rules allow, in the order in which they came.

    A large request is not overtaken by small ones. Nobody is in charge: whoever comes, leaves or is first in the queue
    moves it on. The lock is held for a few microseconds and never across a wait.
    """

    def __init__(self, name: str, *rules: Rule) -> None:
        self.name = name
        self._rules = rules
        self._lock = threading.Lock()
        self._queue: deque[Ticket] = deque()
        self._waiting = NONE
        """What all in the queue take together."""
        self._admitted = 0
        self._process = os.getpid()

    async def turn(self, cost: Cost, io: IO, deadline: float | None = None) -> Ticket:
        """Wait to be let through. Whoever is must ``leave``, however it ends.

        Raises:
            DeadlineExceeded: the wait would pass ``deadline``, a time of ``io.now()``.
        """
        ticket = self._enter(cost, io.now(), deadline)
        if ticket.admitted is not None:
            return ticket
        try:
            while True:
                seconds = self._look(ticket, io.now())
                if ticket.admitted is not None:
                    return ticket
                left = math.inf if deadline is None else deadline - io.now()
                if left <= 0:
                    raise self._expired(ticket, io.now())
                await io.sleep(min(seconds, left), unless=ticket.woken)
        except BaseException:
            self._withdraw(ticket, io.now())
            raise

    def pass_by(self) -> Ticket:
        """A number for who goes without asking the rules, and need not leave."""
        self._admitted += 1
        ticket = Ticket(NONE, self._process)
        ticket.number = self._admitted
        return ticket

    def leave(self, ticket: Ticket, now: float, used: int | None = None) -> None:
        """Give a place back. ``used`` is how many tokens the request really took, where that is known."""
        with self._held():
            if ticket.process == self._process:
                for rule in self._rules:
                    rule.give(ticket, used)
            woken = self._advance(now)
        _wake(woken)

    def change(self, change: Callable[[], None], now: float) -> None:
        """Change a rule from outside, under the lock, and let those who wait look again."""
        with self._held():
            change()
            woken = self._advance(now)
        _wake(woken)

    def has_room(self, now: float) -> bool:
        """Whether one more request, of no size, would be let through at once."""
        with self._held():
            return not self._queue and self._wait(ONE, now) <= NOTHING

    @property
    def empty(self) -> bool:
        """Whether nobody waits."""
        return not self._queue

    # --- inside -------------------------------------------------------------------------------------------------

    def _held(self) -> threading.Lock:
        """The lock, and a fresh start in a forked child: who held it or waited there is the parent's."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
            self._queue, self._waiting = deque(), NONE
            for rule in self._rules:
                rule.abandon()
        return self._lock

    def _enter(self, cost: Cost, now: float, deadline: float | None) -> Ticket:
        with self._held():
            ticket = Ticket(cost, self._process)
            if not self._queue and self._wait(cost, now) <= NOTHING:
                self._admit(ticket, now)
                return ticket
            for rule in self._rules:
                ticket.cost = rule.fit(ticket.cost)
            ticket.ahead = len(self._queue)
            if deadline is not None:
                self._check(ticket, now, deadline - now)
            self._queue.append(ticket)
            self._waiting = self._waiting.plus(ticket.cost)
        return ticket

    def _wait(self, cost: Cost, now: float) -> float:
        longest = 0.0
        for rule in self._rules:
            longest = max(longest, rule.wait(cost, now))
        return longest

    def _check(self, ticket: Ticket, now: float, left: float) -> None:
        """Refuse who would wait too long, as far as time alone decides it."""
        everything = self._waiting.plus(ticket.cost)
        for rule in self._rules:
            seconds = rule.wait(everything, now)
            if left < seconds < math.inf:
                needs = f"needs {seconds:.3g} s and the deadline leaves {max(left, 0.0):.3g} s"
                raise self._too_late(ticket, needs, [rule])

    def _admit(self, ticket: Ticket, now: float) -> None:
        self._admitted += 1
        ticket.number, ticket.admitted = self._admitted, now
        for rule in self._rules:
            rule.take(ticket, now)

    def _advance(self, now: float) -> list[Future[None]]:
        """Let through who may go. Returns whom to wake: those, and who is first now and has to watch the time."""
        woken: list[Future[None]] = []
        while self._queue and self._wait(self._queue[0].cost, now) <= NOTHING:
            ticket = self._queue.popleft()
            self._waiting = self._waiting.minus(ticket.cost) if self._queue else NONE
            self._admit(ticket, now)
            if ticket.woken is not None:
                woken.append(ticket.woken)
        if self._queue and (first := self._queue[0].woken) is not None:
            woken.append(first)
        return woken

    def _look(self, ticket: Ticket, now: float) -> float:
        """See whether it is let through; else the seconds after which to look again, which only the first knows."""
        with self._held():
            woken = self._advance(now)
            if ticket.admitted is not None:
                seconds = 0.0
            else:
                if ticket.woken in woken:
                    woken.remove(ticket.woken)
                ticket.woken = Future()
                first = bool(self._queue) and self._queue[0] is ticket
                seconds = self._wait(ticket.cost, now) if first else math.inf
        _wake(woken)
        return seconds

    def _withdraw(self, ticket: Ticket, now: float) -> None:
        """Somebody gave up: while waiting, or at the very moment of being let through."""
        if ticket.admitted is not None:
            self.leave(ticket, now, 0)
            return
        with self._held():
            if ticket.admitted is None and ticket in self._queue:
                self._queue.remove(ticket)
                self._waiting = self._waiting.minus(ticket.cost) if self._queue else NONE
                woken = self._advance(now)
            else:
                woken = []
        _wake(woken)
        if ticket.admitted is not None:
            self.leave(ticket, now, 0)

    def _expired(self, ticket: Ticket, now: float) -> DeadlineExceeded:
        with self._held():
            rules = [rule for rule in self._rules if rule.wait(ticket.cost, now) > 0]
        return self._too_late(ticket, "took longer than the deadline leaves", rules)

    def _too_late(self, ticket: Ticket, what: str, rules: list[Rule]) -> DeadlineExceeded:
        why = "; ".join(map(str, rules)) or "others were first"
        hint = f"{ticket.ahead} waited before it ({why}). Raise deadline= or the limit, or ask less at a time."
        return DeadlineExceeded(f"the queue for {self.name} {what}", phase="queue", sent=False, hint=hint)


def _wake(woken: list[Future[None]]) -> None:
    """Outside of the lock, since it runs what waits for it."""
    for future in woken:
        with suppress(InvalidStateError):  # it is awake already
            future.set_result(None)


__all__ = ["Gate", "Ticket"]
