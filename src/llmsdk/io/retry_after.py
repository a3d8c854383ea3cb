"""When a provider wants to be asked again: read from the many ways in which providers say so.

``from_headers`` and ``from_reset_headers`` take headers with lower-case names; all times that come out are seconds
from now, finite and not negative. What cannot be read, and what lies in the past, counts as not said.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

MAX_TEXT = 64
"""Characters of a value that is looked at; no duration is longer."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+")
_STEP = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_WORDS = re.compile(
    r"(?:try again|retry|retry after|available again) (?:in|after) (?:about |approximately )?"
    r"(?P<value>\d+(?:\.\d+)?) ?(?P<unit>milliseconds?|ms|seconds?|secs?|minutes?|mins?|hours?|[smh])?"
    r"(?P<rest>(?:\d+(?:\.\d+)?(?:ms|[smh]))*)",
    re.IGNORECASE,
)
_YEAR_2001, _YEAR_2001_MS = 1e9, 1e12


def from_headers(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """What ``retry-after-ms`` and ``retry-after`` (seconds or a date) ask for: the longer of the two.

    ``now`` is the wall clock in seconds since the epoch, for dates.
    """
    return _longest((_milliseconds(headers.get("retry-after-ms")), seconds(headers.get("retry-after"), now=now)))


def from_reset_headers(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """When the spent limit is renewed, by the ``x-ratelimit-reset-*`` family. A guess, for want of ``retry-after``.

    A limit is spent when its ``remaining`` is 0. Where none says so, the one that is renewed first is taken: a wait
    that is too short costs one more refusal, one that is too long may cost a day.
    """
    spent: list[float | None] = []
    others: list[float | None] = []
    for name, value in headers.items():
        if "reset" in name and ("ratelimit" in name or "rate-limit" in name):
            remaining = headers.get(name.replace("reset", "remaining"), "")
            (spent if _is_zero(remaining) else others).append(seconds(value, now=now))
    known = [value for value in others if value]
    return _longest(spent) or (min(known) if known else None)


def from_text(text: str) -> float | None:
    """What a sentence such as "Please try again in 1m2.5s." asks for."""
    match = _WORDS.search(text[:4000])
    if match is None:
        return None
    unit = (match["unit"] or "s").lower()
    short = "ms" if unit.startswith(("ms", "milli")) else unit[0]
    return seconds(f"{match['value']}{short}{match['rest']}")


def seconds(value: object, *, now: float | None = None) -> float | None:
    """Seconds from now that a value means: a number, a duration (``34.4s``, ``1m2.5s``), an epoch or a date."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    if not text or len(text) > MAX_TEXT:
        return None
    wall = time.time() if now is None else now
    number = _number(text)
    if number is not None:
        return _checked(_from_epoch(number, wall))
    if _DURATION.fullmatch(text):
        return _checked(sum(float(amount) * _UNITS[unit] for amount, unit in _STEP.findall(text)))
    date = _date(text)
    return None if date is None else _checked(date - wall)


def _from_epoch(number: float, now: float) -> float:
    """A number as large as a point in time is one, in seconds or in milliseconds."""
    if number >= _YEAR_2001_MS:
        return number / 1000 - now
    return number - now if number >= _YEAR_2001 else number


def _milliseconds(text: str | None) -> float | None:
    number = None if text is None or len(text) > MAX_TEXT else _number(text.strip())
    return None if number is None else _checked(number / 1000)


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _date(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date or an RFC 3339 time."""
    from email.utils import parsedate_to_datetime  # slow to import, and few hosts say a date

    try:
        date = datetime.fromisoformat(text) if text[:4].isdecimal() else parsedate_to_datetime(text)
        return date.timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _checked(value: float) -> float | None:
    return value if math.isfinite(value) and value >= 0 else None


def _longest(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _is_zero(text: str) -> bool:
    number = _number(text.strip()) if len(text) <= MAX_TEXT else None
    return number is not None and number <= 0


__all__ = ["from_headers", "from_reset_headers", "from_text", "seconds"]
