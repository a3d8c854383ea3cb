"""The limits of one account: those of the configuration, and for each model those that its host lets be known."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from llmsdk.accounts import Accounts
from llmsdk.io import IO
from llmsdk.limits.gate import Gate, Ticket
from llmsdk.limits.learned import Learned
from llmsdk.limits.rules import Size, Slots, Window

MODELS = 1000
"""How many models of an account something is remembered about."""


class Limits(NamedTuple):
    """What ``[limits.NAME]`` sets. ``None`` is no limit."""

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute, read and written together."""
    concurrency: int | None = None
    """Requests under way at a time."""


UNLIMITED = Limits()


class Pass:
    """Leave to ask once. To be given back when the answer is there, or will not come."""

    __slots__ = ("_held", "_learned", "_now")

    def __init__(
        self, now: Callable[[], float], held: tuple[Gate, Ticket] | None, learned: tuple[Learned, Ticket] | None
    ) -> None:
        self._now, self._held, self._learned = now, held, learned

    def hear(self, headers: Mapping[str, str]) -> None:
        """Read the headers of the reply."""
        if self._learned is not None:
            learned, ticket = self._learned
            learned.hear(ticket, headers, self._now())

    def give_back(self, error: BaseException | None = None, used: Callable[[], int | None] = lambda: None) -> None:
        """Say how it went. ``used`` is asked only where it matters: how many tokens it really took, if known."""
        now = self._now()
        if self._held is not None:
            gate, ticket = self._held
            gate.leave(ticket, now, used())
        if self._learned is not None:
            learned, ticket = self._learned
            learned.leave(ticket, now, error)


class Limiter:
    """The limits of one account. Every method may be called from any thread and on any loop."""

    def __init__(self, name: str, limits: Limits = UNLIMITED, *, learns: bool = True) -> None:
        self._name = name
        self._learns = learns
        self._models: dict[str, Learned] = {}
        self._lock = threading.Lock()
        self._requests, self._tokens, self._slots = Window("requests"), Window("tokens"), Slots()
        self._gate = Gate(name, self._requests, self._tokens, self._slots)
        self.set(limits)

    def __repr__(self) -> str:
        return f"Limiter({self._name!r}: {self._requests}, {self._tokens}, {self._slots})"

    def set(self, limits: Limits) -> None:
        """Hold to these limits from now on."""
        rules: tuple[Window | Slots, ...] = (self._requests, self._tokens, self._slots)
        with self._lock:
            for rule, limit in zip(rules, limits, strict=True):
                rule.limit = math.inf if limit is None else limit
            self._set = limits != UNLIMITED

    async def enter(self, model: str, size: Callable[[], Size], io: IO, deadline: float | None = None) -> Pass:
        """Wait for leave to send one request. ``size`` is asked only where it matters.

        Raises:
            DeadlineExceeded: the wait would pass ``deadline``, a time of ``io.now()``; at once where that is clear.
        """
        learned = self._learned(model) if self._learns else None
        held = (self._gate, await self._gate.turn(size().bound, io, deadline)) if self._set else None
        if learned is None:
            return Pass(io.now, held, None)
        try:  # last, so that what the host says at the last moment still counts
            ticket = learned.pass_by(io.now()) if learned.open else await learned.turn(size().guessed, io, deadline)
        except BaseException:
            if held is not None:
                self._gate.leave(held[1], io.now(), 0)
            raise
        return Pass(io.now, held, (learned, ticket))

    def has_room(self, model: str, now: float) -> bool:
        """Whether one more request would go at once, as far as its size does not matter."""
        learned = self._models.get(model)
        return not (self._set and not self._gate.has_room(now)) and (learned is None or learned.has_room(now))

    def _learned(self, model: str) -> Learned:
        found = self._models.get(model)
        if found is None:
            with self._lock:
                if len(self._models) >= MODELS:
                    del self._models[next(iter(self._models))]
                found = self._models.setdefault(model, Learned(f"{self._name}:{model}"))
        return found


ACCOUNTS: Accounts[Limiter] = Accounts()
"""The limiter of each account: the same for all clients of the process."""


def shared(account: str, name: str, limits: Limits | None = None) -> Limiter:
    """The limiter of an account.

    Where clients set different limits, those of the latest hold. One that sets none changes nothing.
    """
    found = ACCOUNTS.of(account, partial(Limiter, name))
    if limits is not None:
        found.set(limits)
    return found


__all__ = ["ACCOUNTS", "UNLIMITED", "Limiter", "Limits", "Pass", "shared"]
