"""When to ask again, in the words and figures of many hosts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.io.retry_after import from_headers, from_reset_headers, from_text, seconds

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0), ("3", 3.0), ("2.5", 2.5), (" 7 ", 7.0), (4, 4.0), (0.25, 0.25), ("1e1", 10.0),
        ("6ms", 0.006), ("34.4s", 34.4), ("1m2.5s", 62.5), ("17m15.999995999s", 1035.999995999), ("1h", 3600.0),
        ("250us", 0.00025), ("0s", 0.0),
        ("1700000060", 60.0), ("1700000060000", 60.0), ("1700000060500", 60.5),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0), ("2023-11-14T22:14:20Z", 60.0), ("2023-11-14T22:14:20+00:00", 60.0),
        ("-1", None), ("nan", None), ("inf", None), ("-inf", None), ("1e999", None), ("", None), ("soon", None),
        ("5 s 3", None), ("1_0", None), ("٣", None), ("m", None), ("1x", None), (True, None), (None, None), ([], None),
        ("Tue, 14 Nov 2023 22:12:20 GMT", None), ("1699999999", None), ("9" * 100, None), ("2023-99-99", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("1000000000", None), ("1000000000000", None), ("999999999", 999999999.0), (Decimal(5), None),
        ("0" * 63 + "5", 5.0), ("0" * 64 + "5", None),
    ],
)  # fmt: skip
def test_one_value(value: object, expected: float | None) -> None:
    found = seconds(value, now=NOW)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "2000", "retry-after": "1"}, 2.0),
        ({"retry-after-ms": "nan", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "-5", "retry-after": "junk"}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after-ms": "0" * 61 + "500"}, 0.5),
        ({"retry-after-ms": "0" * 62 + "500"}, None),
        ({"x-ratelimit-reset-tokens": "5s"}, None),
    ],
)
def test_headers_that_ask(headers: dict[str, str], expected: float | None) -> None:
    assert from_headers(headers, now=NOW) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-ratelimit-reset-tokens": "6ms", "x-ratelimit-remaining-tokens": "0"}, 0.006),
        # the day's limit is far from spent: its reset says nothing about this refusal
        ({"x-ratelimit-reset-requests": "17m", "x-ratelimit-remaining-requests": "14000",
          "x-ratelimit-reset-tokens": "5s", "x-ratelimit-remaining-tokens": "0"}, 5.0),
        ({"x-ratelimit-reset-requests": "17m", "x-ratelimit-reset-tokens": "5s"}, 5.0),
        ({"x-ratelimit-reset-requests": "1m", "x-ratelimit-remaining-requests": "0",
          "x-ratelimit-reset-tokens": "5s", "x-ratelimit-remaining-tokens": "0"}, 60.0),
        ({"x-ratelimit-reset": "1700000030000"}, 30.0),
        ({"x-ratelimit-reset-tokens-minute": "12.5"}, 12.5),
        ({"x-rate-limit-reset-tokens": "20"}, 20.0),
        ({"anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:50Z"}, 30.0),
        ({"x-ratelimit-reset-tokens": "-1"}, None),
        ({"x-ratelimit-reset-tokens": "0s"}, None),
        ({"password-reset": "5"}, None),
        ({"x-ratelimit-reset": "9", "x-ratelimit-remaining": "1", "x-ratelimit-reset-b": "5"}, 5.0),
        ({"x-ratelimit-reset": "9", "x-ratelimit-remaining": "0" * 64, "x-ratelimit-reset-b": "5"}, 9.0),
        ({"x-ratelimit-reset": "9", "x-ratelimit-remaining": "0" * 65, "x-ratelimit-reset-b": "5"}, 5.0),
    ],
)  # fmt: skip
def test_headers_that_let_one_guess(headers: dict[str, str], expected: float | None) -> None:
    found = from_reset_headers(headers, now=NOW)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rate limit reached. Please try again in 20s. Visit https://x", 20.0),
        ("Please try again in 6ms.", 0.006),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please retry after 58 seconds.", 58.0),
        ("please retry in about 2 minutes", 120.0),
        ("try again in 3", 3.0),
        ("try again in 500 milliseconds", 0.5),
        ("Please try again later", None),
        ("", None),
    ],
)
def test_sentences(text: str, expected: float | None) -> None:
    assert from_text(text) == expected


def test_a_date_counts_from_now() -> None:
    assert 0 < (seconds("Fri, 01 Jan 2100 00:00:00 GMT") or 0) < 4e9


@given(st.text(max_size=80), st.floats(0, 4e9))
def test_anything_is_seconds_or_nothing(value: str, now: float) -> None:
    for found in (
        seconds(value, now=now),
        from_text(f"try again in {value}"),
        from_headers({"retry-after": value, "retry-after-ms": value}, now=now),
        from_reset_headers({"x-ratelimit-reset": value, "x-ratelimit-remaining": value}, now=now),
    ):
        assert found is None or 0 <= found < float("inf")
