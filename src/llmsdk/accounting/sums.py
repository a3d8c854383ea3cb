"""Sums over attempts, by day, model, provider, operation or tag."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Literal, get_args

from llmsdk.accounting.budget import day_of
from llmsdk.errors import InputError
from llmsdk.results import Attempt
from llmsdk.types import Usage

By = Literal["day", "model", "provider", "operation", "tag"]
KEYS: tuple[By, ...] = get_args(By)
Facts = tuple[str, str, str, str, tuple[str, ...]]
"""What a row can be grouped by: day, provider, model, operation, tags."""
_KEY = re.compile(r"#[0-9]+$")
"""Which of its keys a provider was asked with: of no matter to a model."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a group of attempts comes to. Those that surely did not run are left out."""

    key: tuple[str, ...] = ()
    """What the group has in common, in the order that was asked for. A group without a tag has ``""``."""
    requests: int = 0
    usage: Usage = Usage()
    cost: Decimal = Decimal(0)
    """US dollars, as far as they are known."""
    unpriced: int = 0
    """Requests whose cost is not known: no price, or no usage. ``cost`` is without them."""

    @property
    def name(self) -> str:
        """The key as one string."""
        return " ".join(self.key)

    def __add__(self, other: Sums) -> Sums:
        usage = self.usage if not other.requests else other.usage if not self.requests else self.usage + other.usage
        requests, unpriced = self.requests + other.requests, self.unpriced + other.unpriced
        return Sums(self.key, requests, usage, self.cost + other.cost, unpriced)


def of(rows: Iterable[Attempt]) -> dict[Facts, Sums]:
    """What settled attempts come to, by what they can be grouped by."""
    groups: defaultdict[Facts, list[Attempt]] = defaultdict(list)
    for row in rows:
        if row.settled != "none" and not row.cached:
            groups[day_of(row.at), row.provider, row.model, row.operation, row.tags].append(row)
    return {known: _summed(group) for known, group in groups.items()}


def _summed(rows: Sequence[Attempt]) -> Sums:
    costs = [row.cost for row in rows]
    known = [cost for cost in costs if cost is not None]
    usage = Usage.total([row.usage or Usage() for row in rows])
    return Sums((), len(rows), usage, sum(known, Decimal(0)), len(costs) - len(known))


def checked(keys: Iterable[str]) -> tuple[By, ...]:
    """Keys to group by.

    Raises:
        InputError: one that nobody knows.
    """
    given = tuple(keys)
    for key in given:
        if key not in KEYS:
            raise InputError(f"by: {key!r} is not known", argument="by", hint=f"One of: {', '.join(KEYS)}.")
    return given  # type: ignore[return-value]


def grouped(parts: Iterable[tuple[Facts, Sums]], keys: tuple[By, ...]) -> tuple[Sums, ...]:
    """One sum for each key, in order. What has several tags counts for each of them."""
    groups: dict[tuple[str, ...], Sums] = {}
    for known, sums in parts:
        for key in _keys(known, keys):
            groups[key] = groups.get(key, Sums(key)) + sums
    return tuple(groups[key] for key in sorted(groups) if groups[key].requests)


def _keys(known: Facts, keys: tuple[By, ...]) -> Iterator[tuple[str, ...]]:
    day, provider, model, operation, tags = known
    values: Mapping[By, Iterable[str]] = {
        "day": (day,),
        "model": (f"{_KEY.sub('', provider)}:{model}",),
        "provider": (provider,),
        "operation": (operation,),
        "tag": set(tags) or ("",),
    }
    return product(*(values[key] for key in keys))
