"""The tables of a configuration: their keys, what each may be, and what it is otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from llmsdk.accounting.budget import Budget, Period
from llmsdk.health import CircuitPolicy
from llmsdk.io import Timeouts
from llmsdk.pipeline import CachePolicy, RetryPolicy
from llmsdk.settings import Settings, setting

ROOM = 64 * 2**20
"""Bytes of replies that a cache keeps."""


def _unlimited(value: float | None) -> float | None:
    return None if value == float("inf") else value


_RETRY, _TIMEOUTS, _CACHE, _CIRCUIT = RetryPolicy(), Timeouts(), CachePolicy(), CircuitPolicy()


def _wait(default: float) -> Any:
    return setting(default, ge=0, allow_inf_nan=False)


def _seconds(default: float | None) -> Any:
    return setting(default, gt=0, check=_unlimited)


def _named(tags: dict[str, Any]) -> dict[str, Any]:
    if "" in tags:
        raise ValueError("an empty string is no tag")
    return tags


class RetryTable(Settings):
    attempts: int = setting(_RETRY.attempts, ge=1, le=100)
    base: float = _wait(_RETRY.base)
    cap: float = _wait(_RETRY.cap)
    unknown: bool = _RETRY.unknown
    patience: float = _wait(_RETRY.patience)


class CircuitTable(Settings):
    failures: int = setting(_CIRCUIT.failures, ge=0)
    cooldown: float = setting(_CIRCUIT.cooldown, gt=0, allow_inf_nan=False)
    key_cooldown: float = setting(_CIRCUIT.key_cooldown, gt=0, allow_inf_nan=False)


class TimeoutsTable(Settings):
    connect: float | None = _seconds(_TIMEOUTS.connect)
    first_token: float | None = _seconds(_TIMEOUTS.first_token)
    idle: float | None = _seconds(_TIMEOUTS.idle)
    total: float | None = _seconds(_TIMEOUTS.total)


class CacheTable(Settings):
    on: bool = _CACHE.on
    path: str | None = setting(None, min_length=1)
    ttl: float | None = _seconds(_CACHE.ttl)
    sampled: bool = _CACHE.sampled
    namespace: str = _CACHE.namespace
    megabytes: float = setting(ROOM / 2**20, gt=0, le=1e6)


class LimitsTable(Settings):
    rpm: int | None = setting(None, ge=1)
    tpm: int | None = setting(None, ge=1)
    concurrency: int | None = setting(None, ge=1)


class Share(Settings):
    usd: Decimal | None = setting(None, ge=0, allow_inf_nan=False)
    tokens: int | None = setting(None, ge=0)
    requests: int | None = setting(None, ge=0)
    per: Period | None = None
    unpriced: Literal["refuse", "allow"] = "refuse"

    @property
    def limits(self) -> bool:
        return any(limit is not None for limit in (self.usd, self.tokens, self.requests))

    def budget(self, tag: str | None = None) -> Budget:
        return Budget(
            self.usd, tokens=self.tokens, requests=self.requests, per=self.per, tag=tag, unpriced=self.unpriced
        )


class BudgetTable(Share):
    tags: dict[str, Share] = setting(factory=dict, check=_named)


class LedgerTable(Settings):
    path: str | None = setting(None, min_length=1)


FLAT: Mapping[str, type[Settings]] = {
    "budget": BudgetTable,
    "cache": CacheTable,
    "circuit": CircuitTable,
    "ledger": LedgerTable,
    "retry": RetryTable,
    "timeouts": TimeoutsTable,
}
"""Sections of keys, not of tables: a variable may set each key."""
