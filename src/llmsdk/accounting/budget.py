"""Budgets: accounts with a limit, which refuse an attempt before it is sent.

A budget counts what has been spent and what is reserved by attempts under way, and the check and the reservation are
one step under one lock: so a hundred parallel tasks cannot overspend. The ledger asks here inside ``reserve``.

Settlements are left in a box, and taken in by whoever holds the lock next: so ``settle`` never waits, and may run where
the garbage collector calls it, also in a thread that holds the lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Self

from llmsdk.errors import BudgetExceeded, ConfigError, InputError, brief
from llmsdk.types import Operation, Usage

Period = Literal["day", "month"]
Unit = Literal["usd", "tokens", "requests"]
UNITS: tuple[Unit, ...] = ("usd", "tokens", "requests")
MOST = 10**100
"""Below this a limit is one; what is above cannot even be written down in the ledger's file."""
FREE: frozenset[Operation] = frozenset({"count", "models"})
"""Operations that no host bills: requests, but neither tokens nor dollars."""

LOCK = threading.Lock()
"""Held for a few microseconds, never across a wait; also by the ledger when it sums up."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


@dataclass(frozen=True, slots=True)
class Amount:
    """What attempts use up."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    requests: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.usd + other.usd, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.usd - other.usd, self.tokens - other.tokens, self.requests - other.requests)


NOTHING = Amount()


class Budget:
    """A limit for what is charged to it: in dollars, tokens or requests (attempts that went out).

    Pass it as ``budget=`` to a client or a call, or enter it: what is asked inside the block is charged to it, in tasks
    and batches too. One budget may be passed and entered in many places, which then share it.

        with Budget(usd=1):
            client.chat("Hi!")

    ``per`` renews it each day or month (UTC). ``tag`` lets it count only what has that tag. A model whose price is not
    known cannot be held to dollars, and is refused unless ``unpriced="allow"``, which leaves it out of the sum.

    Raises:
        InputError: no limit, or one that makes no sense.
    """

    def __init__(
        self,
        usd: Decimal | float | str | None = None,
        *,
        tokens: int | None = None,
        requests: int | None = None,
        per: Period | None = None,
        tag: str | None = None,
        unpriced: Literal["refuse", "allow"] = "refuse",
    ) -> None:
        self.usd: Decimal | None = None if usd is None else _dollars(usd)
        self.tokens: int | None = _count("tokens", tokens)
        self.requests: int | None = _count("requests", requests)
        if self.usd is None and self.tokens is None and self.requests is None:
            raise InputError("a budget without a limit", argument="budget", hint="Pass Budget(usd=1), for instance.")
        self.per: Period | None = _one_of("per", per, (None, "day", "month"))
        self.unpriced: Literal["refuse", "allow"] = _one_of("unpriced", unpriced, ("refuse", "allow"))
        if tag is not None and not (isinstance(tag, str) and tag):
            raise InputError("tag is no tag", argument="tag", hint='Pass a word, such as tag="nightly".')
        self.tag: str | None = tag
        self._spent = self._reserved = NOTHING
        self._period = ""

    @classmethod
    def of(cls, value: Any) -> Budget:
        """A budget as it is, or one of so many dollars.

        Raises:
            InputError: it is neither.
        """
        return value if isinstance(value, Budget) else cls(value)

    @property
    def spent(self) -> Amount:
        """By settled attempts, in the period where there is one."""
        with LOCK:
            _take_in()
            return self._spent

    @property
    def reserved(self) -> Amount:
        """By attempts under way."""
        with LOCK:
            _take_in()
            return self._reserved

    def __enter__(self) -> Self:
        _ENTERED.set((*_ENTERED.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        inside = list(_ENTERED.get())
        if self in inside:
            inside.reverse()
            inside.remove(self)
            _ENTERED.set(tuple(reversed(inside)))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        limits = [f"{unit}={getattr(self, unit)}" for unit in UNITS if getattr(self, unit) is not None]
        others = [f"{name}={value!r}" for name in ("per", "tag") if (value := getattr(self, name)) is not None]
        return f"Budget({', '.join([*limits, *others])})"

    def holds_for(self, tags: Sequence[str]) -> bool:
        """Whether attempts with these tags are charged to it."""
        return self.tag is None or self.tag in tags

    def since(self, at: float) -> str:
        """The first day (``2026-11-29``) of the period that a moment falls into; ``""`` where there are no periods."""
        if self.per is None:
            return ""
        day = day_of(at)
        return day if self.per == "day" else f"{day[:7]}-01"

    def check(self, spent: Amount, reserved: Amount, needed: Amount) -> None:
        """Refuse what would not fit.

        Raises:
            BudgetExceeded: with ``unit``, ``limit``, ``spent``, ``reserved`` and ``needed``.
        """
        for unit in UNITS:
            limit = getattr(self, unit)
            sums = [getattr(amount, unit) for amount in (spent, reserved, needed)]
            if limit is not None and sums[2] and sum(sums) > limit:
                raise self._exceeded(unit, limit, *sums)

    def _exceeded(self, unit: Unit, limit: Any, spent: Any, reserved: Any, needed: Any) -> BudgetExceeded:
        whole, gone, held, more = (_told(unit, figure) for figure in (limit, spent, reserved, needed))
        scope = "".join([f" a {self.per}" if self.per else "", f" for the tag {self.tag!r}" if self.tag else ""])
        return BudgetExceeded(
            f"the budget of {whole}{scope} does not allow this: {gone} spent, {held} reserved by attempts under way, "
            f"and it may need {more}",
            unit=unit,
            limit=limit,
            spent=spent,
            reserved=reserved,
            needed=needed,
            hint=_hint(self.per, reserved, fits=needed <= limit, unit=unit),
        )


_ENTERED: ContextVar[tuple[Budget, ...]] = ContextVar("llmsdk_budgets", default=())
_BOX: deque[tuple[Hold, Amount]] = deque()
"""Holds that are released, and what was spent of each."""


def entered() -> tuple[Budget, ...]:
    """The budgets whose blocks the caller is in."""
    return _ENTERED.get()


@dataclass(frozen=True, slots=True)
class Hold:
    """What is reserved in some budgets, each in its period of that time."""

    budgets: tuple[Budget, ...]
    periods: tuple[str, ...]
    amount: Amount

    def release(self, spent: Amount) -> None:
        """It is settled with what was really spent. Once; returns at once."""
        _BOX.append((self, spent))


def hold(budgets: tuple[Budget, ...], needed: Amount, at: float) -> Hold:
    """Reserve an amount in all of them, or in none.

    A period that has begun stays, also when the clock is set back: what is spent then counts there.

    Raises:
        BudgetExceeded: it would not fit into one.
    """
    with LOCK:
        _take_in()
        for budget in budgets:
            if (period := budget.since(at)) > budget._period:
                budget._period, budget._spent = period, NOTHING
            budget.check(budget._spent, budget._reserved, needed)
        for budget in budgets:
            budget._reserved += needed
        return Hold(budgets, tuple(budget._period for budget in budgets), needed)


def _take_in() -> None:
    while _BOX:
        held, spent = _BOX.popleft()
        for budget, period in zip(held.budgets, held.periods, strict=True):
            budget._reserved -= held.amount
            if period == budget._period:  # of an earlier period nothing is left to count
                budget._spent += spent


# --- what an attempt uses up ------------------------------------------------------------------------------------


def needed(budgets: Iterable[Budget], operation: Operation, tariff: str, model: str, bound: Usage, at: float) -> Amount:
    """What an attempt may use at most.

    Raises:
        ConfigError: a budget in dollars, and the price is not known.
    """
    if operation in FREE:
        return Amount(requests=1)
    usd = None
    if any(budget.usd is not None for budget in budgets):
        from llmsdk.accounting.prices import dollars

        usd = dollars(tariff, model, bound, at)
        if usd is None and any(budget.usd is not None and budget.unpriced == "refuse" for budget in budgets):
            hint = (
                'Say whose prices hold by prices = "openai" (or another vendor) under [providers.NAME], '
                'or leave it out of the sum by Budget(usd=..., unpriced="allow"), or unpriced = "allow" under [budget]'
                "; tokens= and requests= need no price."
            )
            raise ConfigError(f"a budget in dollars, and no known price of {model!r}", hint=hint)
    return Amount(usd or Decimal(0), bound.total_tokens or 0, 1)


def used(held: Amount, cost: Decimal | None, settled: str, usage: Usage | None) -> Amount:
    """What a settled attempt used: nothing if it surely did not run, all that was held where nobody knows."""
    if settled == "none":
        return NOTHING
    if settled == "upper_bound" or usage is None:
        return held
    seen = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    tokens = held.tokens and (seen if usage.total_tokens is not None else max(held.tokens, seen))
    return Amount(held.usd and (held.usd if cost is None else cost), tokens, held.requests)


def day_of(at: float) -> str:
    """The day of a moment, in UTC: ``2026-11-29``."""
    return _day(int(at // 86400))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86400, UTC).strftime("%Y-%m-%d")


# --- words ------------------------------------------------------------------------------------------------------


def _told(unit: Unit, figure: Any) -> str:
    if unit == "usd":
        return f"${float(figure):,.6f}".rstrip("0").ljust(len(f"${int(figure):,}.00"), "0")
    return f"{figure:,} {unit if figure != 1 else unit[:-1]}"


def _hint(per: Period | None, reserved: Any, *, fits: bool, unit: Unit) -> str:
    ways = ["Raise the budget"]
    if unit != "requests":
        ways.append("set max_tokens, which bounds what is reserved" if fits else "ask for less by max_tokens")
    if reserved and fits:
        ways.append("let the attempts under way end first")
    if per:
        ways.append(f"wait for the next {per} (UTC)")
    return f"{', or '.join(ways)}."


def _dollars(value: Any) -> Decimal:
    try:
        usd = Decimal(str(value)) if isinstance(value, int | float | str | Decimal) else Decimal("nan")
    except (InvalidOperation, ValueError):  # no number, or one of thousands of digits
        usd = Decimal("nan")
    if isinstance(value, bool) or not usd.is_finite() or not 0 <= usd < MOST:
        hint = "Pass dollars, such as 0.5, or llmsdk.Budget(usd=..., tokens=..., requests=...)."
        raise InputError(f"budget: {brief(value)} is no amount of dollars", argument="budget", hint=hint)
    return usd


def _count(name: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST):
        raise InputError(f"budget: {name}={brief(value)} is no count", argument="budget", hint="Pass a whole number.")
    return None if value is None else int(value)


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        known = ", ".join(repr(item) for item in allowed if item is not None)
        raise InputError(f"budget: {name}={brief(value)} is not known", argument="budget", hint=f"One of: {known}.")
    return value
