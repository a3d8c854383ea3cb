"""Keys and hosts that are equal, and which of them is asked next: the one with the fewest questions under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_

from llmsdk.errors import CircuitOpen, LLMError, PermissionDenied, QuotaExhausted, Transient, Unauthorized
from llmsdk.health import CircuitPolicy, Flight, Health, Load
from llmsdk.limits import Limiter
from llmsdk.provider import Capabilities, Provider

BREATH = 1.0
"""Seconds that others are asked first after a fault, or a refusal that does not say when to come back."""
KEYED = (Unauthorized, PermissionDenied, QuotaExhausted)
"""Refusals of a key, whatever is asked."""

_LOCK = threading.Lock()  # never taken where a stream is closed, which may be in the middle of anything


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One key or host of those that share the questions."""

    label: str
    """What it is called in rows: the provider's name, and which of its keys, such as ``openai#2``."""
    provider: Provider
    model: str
    health: Health
    load: Load
    limiter: Limiter | None

    def back(self, policy: CircuitPolicy, now: float) -> float:
        """When it is to be asked again; 0 where it may be now."""
        circuit = self.health.circuit
        opened = circuit.until if circuit is not None and policy.failures else None
        until = max(self.load.until or 0.0, opened or 0.0)
        return until if until > now else 0.0

    def is_full(self, now: float) -> bool:
        """Whether a question would have to wait for its turn, by what its limits or its host allow."""
        return self.limiter is not None and not self.limiter.has_room(self.model, now)


class Members:
    """All that share the questions of an alias, or of a provider with several keys."""

    __slots__ = ("_all", "hosts")

    def __init__(self, members: tuple[Member, ...]) -> None:
        self._all = members
        hosts: dict[tuple[str, str], Provider] = {}
        for member in members:
            hosts.setdefault((member.provider.name, member.model), member.provider)
        self.hosts: tuple[tuple[Provider, str], ...] = tuple((host, model) for (_, model), host in hosts.items())
        """Each with its model; one of several keys stands for all of them."""

    def __iter__(self) -> Iterator[Member]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __str__(self) -> str:
        return " + ".join(f"{provider.name}:{model}" for provider, model in self.hosts)

    @property
    def capabilities(self) -> Capabilities:
        """What all of them can."""
        return reduce(and_, (provider.capabilities(model) for provider, model in self.hosts))

    def does(self, protocol: type) -> bool:
        """Whether all of them have one of the small protocols."""
        return all(isinstance(provider, protocol) for provider, _ in self.hosts)

    def called(self, label: str) -> Member:
        """The one of that label, as a row has it; the first where it is nobody's."""
        return next((member for member in self if member.label == label), self._all[0])


class Choice:
    """Whom one question is put to, attempt by attempt."""

    __slots__ = ("_asked", "_busy", "_policy", "_stays", "_tried", "members")

    def __init__(self, members: Members, policy: CircuitPolicy) -> None:
        self.members: Members = members
        self._policy = policy
        self._tried: set[Member] = set()
        """In this round, in vain."""
        self._busy: set[Member] = set()
        """With this very question, if it is asked twice at once."""
        self._asked: set[Member] = set()
        """In all."""
        self._stays: Member | None = None
        """Who alone may be asked again, since it may have done what was asked."""

    def next(self, now: float) -> Member:
        """Whom to ask: those that are not left alone first, of these who was not tried yet, then who has room, then by
        questions under way, and then who was asked longest ago. Where all are left alone, the first that will be back.
        """
        return self._stays or min(self.members, key=lambda member: self._rank(member, now))

    def make(self, now: float) -> tuple[Member, Flight]:
        """Ask the next one."""
        if len(self._tried) == len(self.members):
            self._tried.clear()  # another round
        with _LOCK:
            member = self.next(now)
            self._busy.add(member)
            return member, member.load.begin(now)

    def end(self, member: Member, flight: Flight) -> None:
        """It is over with the one that was asked, one way or another."""
        self._busy.discard(member)
        flight.end()

    def _rank(self, member: Member, now: float) -> tuple[float, bool, bool, int, int]:
        vain = member in self._tried or member in self._busy
        back, load = member.back(self._policy, now), member.load
        return back, vain, member.is_full(now), load.under_way, load.latest

    def failed(self, member: Member, error: LLMError, now: float, *, twice: bool) -> None:
        """Learn from how an attempt ended. ``twice``: the same may run at two hosts, by the caller's leave."""
        if getattr(error, "stale", False):
            return
        self._tried.add(member)
        if not isinstance(error, CircuitOpen):
            self._asked.add(member)
        if getattr(error, "sent", False) and not twice:
            self._stays = member
        if (pause := self._pause(error)) is not None:
            member.load.rest(pause, now)

    def _pause(self, error: LLMError) -> float | None:
        if isinstance(error, KEYED):
            return self._policy.key_cooldown
        if not isinstance(error, Transient):
            return None
        return BREATH if error.retry_after is None else error.retry_after

    def goes_on(self, now: float) -> bool:
        """Whether somebody is free who was not tried yet."""
        left = (member for member in self.members if member not in self._tried and member not in self._busy)
        return self._stays is None and any(member.back(self._policy, now) == 0.0 for member in left)

    def wait(self, now: float) -> float:
        """Seconds until the first of them is to be asked again."""
        members = self.members if self._stays is None else (self._stays,)
        return max(0.0, min(member.back(self._policy, now) for member in members) - now)

    def told(self, error: LLMError) -> str:
        """How many were tried, for whoever reads the error of the last."""
        tried, every = len(self._asked), len(self.members)
        if isinstance(error, CircuitOpen):
            return f"All {every} keys or hosts are left alone for now."
        rest = "" if tried == every else "; the others are left alone for now"
        return f"{tried} of {every} keys or hosts {'was' if tried == 1 else 'were'} tried{rest}."


__all__ = ["KEYED", "Choice", "Member", "Members"]
