"""Rules that a gate holds its callers to: how long until so much more may go, and what going takes.

A rule is arithmetic over times that it is given, seconds of one monotonic clock. Its gate calls it under a lock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple, Protocol

Kind = Literal["requests", "tokens", "input", "output"]
MINUTE = 60.0
STEP = 0.25
"""Seconds that a window counts as one. So a request is counted for a little more than its minute, which also allows
for the time that it is on its way: the host counts from when it arrives."""
NOTHING = 1e-6
"""Less than this is none: what rounding leaves."""


class Cost(NamedTuple):
    """What a request takes of each limit; ``input`` and ``output`` are tokens read and written, ``tokens`` both."""

    requests: float = 1
    tokens: float = 0
    input: float = 0
    output: float = 0

    @classmethod
    def one(cls, read: float, written: float) -> Cost:
        """What one request takes, by the tokens that it has read and written."""
        return cls(1, read + written, read, written)

    def plus(self, other: Cost) -> Cost:
        return Cost(self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3])

    def minus(self, other: Cost) -> Cost:
        return Cost(self[0] - other[0], self[1] - other[1], self[2] - other[2], self[3] - other[3])


KINDS: tuple[Kind, ...] = ("requests", "tokens", "input", "output")
"""As they stand in a ``Cost``."""
NONE = Cost(0)


class Size(NamedTuple):
    """What a request takes: at most, by the same bound that its row reserves; and what a host will likely count."""

    bound: Cost
    guessed: Cost


class Entry(Protocol):
    """A request that was let through, as its rules know it."""

    cost: Cost
    number: int
    """Of its gate, in the order in which they were let through."""
    admitted: float | None
    sent: Cost
    """All that was let through up to it, where a rule keeps count."""


class Rule:
    """One limit. As it stands here it lets everything pass."""

    __slots__ = ()

    def fit(self, cost: Cost) -> Cost:
        """The cost, or as much of it as can ever be had: what is larger than the limit goes when nothing else does."""
        return cost

    def wait(self, cost: Cost, now: float) -> float:
        """Seconds until that much more may go; infinite where time alone does not help."""
        return 0.0

    def take(self, entry: Entry, now: float) -> None:
        """A request goes out."""

    def give(self, entry: Entry, used: int | None) -> None:
        """It is over. ``used`` is how many tokens it really took, where that is known."""

    def abandon(self) -> None:
        """Nobody is under way: this is a forked child, and it was the parent who asked."""


class Window(Rule):
    """So much in any minute.

    What keeps to it passes a host that counts by fixed minutes, by sliding ones, or by a bucket that always fills.
    """

    __slots__ = ("_index", "_steps", "_total", "kind", "limit")

    def __init__(self, kind: Kind, limit: float = math.inf) -> None:
        self.kind: Kind = kind
        self.limit: float = limit
        self._index = KINDS.index(kind)
        self._steps: deque[list[float]] = deque()
        """``[until when it counts, how much]``."""
        self._total = 0.0

    def __str__(self) -> str:
        return f"{self.limit:,.0f} {self.kind} a minute"

    def fit(self, cost: Cost) -> Cost:
        return cost._replace(**{self.kind: min(cost[self._index], self.limit)})

    def wait(self, cost: Cost, now: float) -> float:
        steps, amount = self._steps, cost[self._index]
        while steps and steps[0][0] <= now:
            self._total -= steps.popleft()[1]
        if self._total + amount <= self.limit:
            return 0.0
        full = max(0, math.ceil(amount / self.limit - NOTHING) - 1)
        over = self._total + amount - (full + 1) * self.limit
        end = now
        for until, counted in steps:
            if over <= NOTHING:
                break
            over, end = over - counted, until
        return end - now + full * MINUTE

    def take(self, entry: Entry, now: float) -> None:
        if self.limit == math.inf:
            return
        until, amount = _until(now), entry.cost[self._index]
        self._total += amount
        if self._steps and self._steps[-1][0] >= until:
            self._steps[-1][1] += amount
        else:
            self._steps.append([until, amount])

    def give(self, entry: Entry, used: int | None) -> None:
        if used is None or self.kind != "tokens" or entry.admitted is None:
            return
        until = _until(entry.admitted)
        step = next((step for step in reversed(self._steps) if step[0] <= until), None)
        if step is not None and step[0] == until:  # otherwise it counts no more
            step[1] += used - entry.cost.tokens
            self._total += used - entry.cost.tokens


def _until(now: float) -> float:
    """Until when something that goes out now counts."""
    return (math.floor(now / STEP) + 1) * STEP + MINUTE


class Slots(Rule):
    """So many at a time."""

    __slots__ = ("_busy", "limit")

    def __init__(self, limit: float = math.inf) -> None:
        self.limit: float = limit
        self._busy = 0

    def __str__(self) -> str:
        return f"{self.limit:.0f} at a time"

    def wait(self, cost: Cost, now: float) -> float:
        return math.inf if self._busy + cost.requests > self.limit else 0.0

    def take(self, entry: Entry, now: float) -> None:
        self._busy += 1

    def give(self, entry: Entry, used: int | None) -> None:
        self._busy -= 1

    def abandon(self) -> None:
        self._busy = 0


class Pause(Rule):
    """Nobody before a time."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until: float = -math.inf

    def __str__(self) -> str:
        return "the host asked to wait"

    def wait(self, cost: Cost, now: float) -> float:
        return max(0.0, self.until - now)


class Pace(Rule):
    """So many a second, found out by trying: half as many when the host refuses, slowly more while it does not.

    Until the first refusal there is no pace, and none again once twice what used to be too much has gone well.
    """

    __slots__ = ("_before", "_count", "_cut", "_grown", "_last", "_next", "_peak", "_since", "rate")

    LEAST = 0.5
    """Requests a second. Who goes slower is not slowed down: the waits between its attempts do that."""
    SPAN = 10.0
    """Seconds over which it is measured how many go."""
    BACK = 20.0
    """Seconds in which half a rate grows to the whole again."""

    def __init__(self) -> None:
        self.rate: float = math.inf
        self._next = -math.inf
        self._peak = math.inf
        self._grown = 0.0
        self._cut = self._last = -1
        self._count = self._before = 0
        self._since = -math.inf

    def __str__(self) -> str:
        return f"{self.rate:.3g} requests a second, since the host refused some"

    def wait(self, cost: Cost, now: float) -> float:
        if self.rate == math.inf:
            return 0.0
        return max(0.0, self._next - now) + (cost.requests - 1) / self.rate

    @property
    def set(self) -> bool:
        """Whether there is a pace."""
        return self.rate != math.inf

    def take(self, entry: Entry, now: float) -> None:
        self._last = entry.number
        self.count(now)
        if self.rate != math.inf:
            self._next = max(self._next, now) + 1 / self.rate

    def count(self, now: float, requests: int = 1) -> None:
        """Measure how many go."""
        if now - self._since >= self.SPAN:
            self._before = self._count if now - self._since < 2 * self.SPAN else 0
            self._count, self._since = 0, now
        self._count += requests

    def slower(self, entry: Entry, now: float) -> None:
        """The host refused. Those that had gone out already when it did so before are not counted again."""
        if entry.number <= self._cut:
            return
        self.count(now, 0)
        older = self._before * (1 - (now - self._since) / self.SPAN)
        went = min(self.rate, (self._count + older) / self.SPAN)
        if went > self.LEAST:
            self._cut, self._grown = self._last, now
            self._peak, self.rate = went, max(self.LEAST, went / 2)
            self._next = now + 1 / self.rate

    def faster(self, now: float) -> None:
        """The host answered."""
        if self.rate == math.inf:
            return
        self.rate += self._peak / 2 * min(now - self._grown, 1.0) / self.BACK
        self._grown = now
        if self.rate > 2 * self._peak:
            self.rate = math.inf


__all__ = [
    "KINDS",
    "MINUTE",
    "NONE",
    "NOTHING",
    "Cost",
    "Entry",
    "Kind",
    "Pace",
    "Pause",
    "Rule",
    "Size",
    "Slots",
    "Window",
]
