"""What a host lets be known about its limits for one model of an account: in its headers, or by refusing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llmsdk.errors import Overloaded, RateLimited
from llmsdk.io import IO
from llmsdk.limits.gate import Gate, Ticket
from llmsdk.limits.headers import Quota, ample, quotas
from llmsdk.limits.rules import KINDS, MINUTE, NONE, Cost, Entry, Kind, Pace, Pause, Rule

PATIENCE = MINUTE
"""Seconds that a host's word holds a call back at most. The limit of a day may be spent for hours: then the host is
asked again, and its refusal, which says so, gets to the caller instead of a silence."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A quota, the reply that had it, and when."""

    quota: Quota
    number: int
    sent: float
    """What the gate had let through until then."""
    at: float

    def wait(self, amount: float, sent: float, now: float) -> float:
        """Seconds until ``amount`` is there, when ``sent`` is what has gone through by now."""
        quota, passed = self.quota, now - self.at
        rest = min(quota.reset, PATIENCE) - passed
        if rest <= 0:
            return 0.0
        rate = (quota.limit - quota.remaining) / quota.reset if quota.refills and quota.limit else 0.0
        wanted = amount if quota.limit is None else min(amount, quota.limit)
        short = wanted - (quota.remaining + rate * passed - (sent - self.sent))
        if short <= 0:
            return 0.0
        return min(rest, short / rate) if rate else rest


class Left(Rule):
    """What is left by the host's latest word, less what has gone out since."""

    __slots__ = ("_told", "sent")

    def __init__(self) -> None:
        self._told: dict[tuple[Kind, float | None], _Told] = {}
        self.sent: Cost = NONE
        """All that was let through."""

    def __str__(self) -> str:
        left = (f"{told.quota.remaining:,.0f} {told.quota.kind}" for told in self._told.values())
        return f"the host said that there were left: {', '.join(left)}"

    def wait(self, cost: Cost, now: float) -> float:
        longest = 0.0
        for (kind, _), told in self._told.items():
            index = KINDS.index(kind)
            longest = max(longest, told.wait(cost[index], self.sent[index], now))
        return longest

    def take(self, entry: Entry, now: float) -> None:
        self.sent = entry.sent = self.sent.plus(entry.cost)

    def hear(self, entry: Entry, heard: tuple[Quota, ...], now: float) -> None:
        """Take the host's word, unless there is a later one. Replies come in any order."""
        for quota in heard:
            before = self._told.get((quota.kind, quota.period))
            if before is None or before.number <= entry.number:
                sent = entry.sent[KINDS.index(quota.kind)]
                self._told[quota.kind, quota.period] = _Told(quota, entry.number, sent, now)

    def explains(self, entry: Entry) -> bool:
        """Whether the reply to this very request said that a limit is spent."""
        return any(
            told.number == entry.number and told.quota.remaining < max(1, entry.cost[KINDS.index(kind)])
            for (kind, _), told in self._told.items()
        )

    def is_over(self, now: float) -> bool:
        """Whether all that was said is past."""
        return all(now - told.at >= min(told.quota.reset, PATIENCE) for told in self._told.values())

    def forget(self) -> None:
        """Start anew."""
        self._told.clear()


class Learned:
    """The gate of one model, and what is known about it.

    As long as nothing is known that could hold anybody back it is ``open``, and nobody needs to pass the gate. So it is
    at first, and with hosts that say how much is left as long as that is plenty.
    """

    def __init__(self, name: str) -> None:
        self.open: bool = True
        self._left, self._pause, self._pace = Left(), Pause(), Pace()
        self._gate = Gate(name, self._left, self._pause, self._pace)

    async def turn(self, cost: Cost, io: IO, deadline: float | None = None) -> Ticket:
        """Wait to be let through; see ``Gate.turn``."""
        return await self._gate.turn(cost, io, deadline)

    def has_room(self, now: float) -> bool:
        """Whether one more request would go at once."""
        return self.open or self._gate.has_room(now)

    def pass_by(self, now: float) -> Ticket:
        """Go at once, while it is open."""
        ticket = self._gate.pass_by()
        ticket.sent = self._left.sent
        self._pace.take(ticket, now)
        return ticket

    def hear(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Read the headers of the reply to a request."""
        if self.open and ample(headers):
            return
        heard = quotas(headers)
        if heard:
            self._gate.change(lambda: self._hear(ticket, heard, now), now)

    def leave(self, ticket: Ticket, now: float, error: BaseException | None = None) -> None:
        """A request is over."""
        if ticket.admitted is not None:
            self._gate.leave(ticket, now)
        if error is None:
            if not self.open:
                self._gate.change(lambda: self._answered(now), now)
        elif isinstance(error, RateLimited | Overloaded):
            after = error.retry_after
            self._gate.change(lambda: self._refused(ticket, after, now), now)

    def _hear(self, ticket: Ticket, heard: tuple[Quota, ...], now: float) -> None:
        self._left.hear(ticket, heard, now)
        self.open = False

    def _refused(self, ticket: Ticket, after: float | None, now: float) -> None:
        if after is not None:
            self._pause.until = max(self._pause.until, now + min(after, PATIENCE))
        if not self._left.explains(ticket):
            self._pace.slower(ticket, now)
        self.open = False

    def _answered(self, now: float) -> None:
        self._pace.faster(now)
        if self._gate.empty and not self._pace.set and self._pause.until <= now and self._left.is_over(now):
            self._left.forget()
            self.open = True


__all__ = ["PATIENCE", "Learned", "Left"]
