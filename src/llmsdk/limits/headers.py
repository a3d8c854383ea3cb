"""What a host says in the headers of its replies about what is left to ask.

Names differ by host and period: ``x-ratelimit-remaining-tokens``, ``anthropic-ratelimit-input-tokens-reset``,
``x-ratelimit-limit-req-10-second``, plain ``x-ratelimit-reset``. Values are numbers, durations, points in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from llmsdk.io import retry_after
from llmsdk.limits.rules import Kind

_FIELDS = frozenset({"limit", "remaining", "reset", "renewalperiod"})
_KINDS: Mapping[str, Kind] = {"tokens": "tokens", "requests": "requests", "req": "requests"}
_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
_PREFIXES = frozenset({"x", "anthropic", "ratelimit", "ratelimitbysize"})
_COMMON = tuple(
    (name.format("remaining"), name.format("limit"), much)
    for name, much in (
        ("x-ratelimit-{}-requests", 50.0),
        ("x-ratelimit-{}-tokens", 20_000.0),
        ("anthropic-ratelimit-requests-{}", 50.0),
        ("anthropic-ratelimit-tokens-{}", 20_000.0),
        ("anthropic-ratelimit-input-tokens-{}", 20_000.0),
        ("anthropic-ratelimit-output-tokens-{}", 20_000.0),
    )
)
"""What says how much is left, what of, and how much is much."""
_COMMON_NAMES = frozenset(
    name.replace("remaining", field) for name, _, _ in _COMMON for field in ("limit", "remaining", "reset")
)
_MOST = 1e15
"""A larger figure is none."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of one limit, as of a reply."""

    kind: Kind
    remaining: float
    reset: float
    """Seconds until all of it is there again."""
    limit: float | None = None
    refills: bool = False
    """It comes back bit by bit until then, not all at once."""
    period: float | None = None
    """Seconds for which the limit holds, where the host says so; there may be several of one kind."""


class _Name(NamedTuple):
    """What a header is about."""

    kind: Kind
    period: float | None
    field: str
    bare: bool
    """It names neither what is limited nor for how long."""


def quotas(headers: Mapping[str, str], *, now: float | None = None) -> tuple[Quota, ...]:
    """The limits that a reply tells of. ``headers`` have lower-case names; ``now`` is the wall clock, for dates.

    What cannot be read counts as not said. Nor is a limit told of which it is not known how much is left, or when there
    is more.
    """
    said: dict[tuple[Kind, float | None, bool], dict[str, str]] = {}
    for header, value in headers.items():
        if ("ratelimit" in header or "rate-limit" in header) and (name := _name(header)) is not None:
            said.setdefault((name.kind, name.period, name.bare), {})[name.field] = value
    found = (_quota(*key, fields, now) for key, fields in said.items())
    return tuple(quota for quota in found if quota is not None)


def ample(headers: Mapping[str, str]) -> bool:
    """Whether the commonest headers, and no others of their kind, say that nobody need wait: half of all is left, and
    that is much. So most replies are not read any closer.
    """
    if "ratelimit" not in "\n".join(headers):
        return True
    for remaining, limit, much in _COMMON:
        left = headers.get(remaining)
        if left is not None:
            try:
                if float(left) < max(much, float(headers[limit]) / 2):
                    return False
            except (KeyError, ValueError):
                return False
    return not any("ratelimit" in name for name in headers if name not in _COMMON_NAMES)


@lru_cache(maxsize=256)
def _name(header: str) -> _Name | None:
    """Read a name. One with a word that is not known limits something else: images, seconds of sound, pages."""
    words = header.replace("rate-limit", "ratelimit").split("-")
    rest = [word for word in words if word not in _PREFIXES]
    field = next((word for word in rest if word in _FIELDS), "")
    named: list[Kind] = [_KINDS[word] for word in rest if word in _KINDS]
    kind: Kind = named[0] if named else "tokens" if "bysize" in header else "requests"
    if kind == "tokens" and (part := {"input", "output"}.intersection(rest)):
        kind = "input" if "input" in part else "output"
        rest = [word for word in rest if word not in part]
    period = next((_PERIODS[word] for word in rest if word in _PERIODS), None)
    times = next((float(word) for word in rest if period and word.isdecimal() and len(word) < 4), 1.0)
    known = [word for word in rest if word in _FIELDS or word in _KINDS or word in _PERIODS or word == f"{times:.0f}"]
    if not field or len(known) < len(rest):
        return None
    return _Name(kind, period and period * times, field, len(rest) == 1 and words[0] != "anthropic")


def _quota(kind: Kind, period: float | None, bare: bool, said: Mapping[str, str], now: float | None) -> Quota | None:
    remaining, limit = _count(said.get("remaining")), _count(said.get("limit"))
    if remaining is None:
        return None
    used = max(0.0, limit - remaining) if limit else None
    renewal = _count(said.get("renewalperiod"))
    # a host that names its period counts by windows; so does one that has but one limit. Others have a bucket
    reset, refills = retry_after.seconds(said.get("reset"), now=now), not bare and period is None
    if renewal is not None:
        reset = None  # Azure's, which then is in milliseconds
    if reset is None and used is not None and limit and not bare:
        reset, refills = (renewal or period or 60.0) * used / limit, True
    if reset is None:
        return None
    return Quota(kind, remaining, reset, limit or None, refills and bool(used), period)


def _count(text: str | None) -> float | None:
    """A figure that is not negative: some hosts write -1 where they mean that there is no limit."""
    if text is None or len(text) > retry_after.MAX_TEXT:
        return None
    try:
        number = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        return None
    return number if 0 <= number <= _MOST else None


__all__ = ["Quota", "ample", "quotas"]
