"""What hosts say about what is left, in all the spellings that were recorded or are documented; and any other text."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import recorded
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.limits.headers import Quota, quotas

NOW = 1_759_845_400.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {
                "x-ratelimit-limit-requests": "10000",
                "x-ratelimit-remaining-requests": "9999",
                "x-ratelimit-reset-requests": "6ms",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "5460",
                "x-ratelimit-reset-tokens": "5.396999999s",
                "content-type": "application/json",
            },
            [
                Quota("requests", 9999, 0.006, 10000, refills=True),
                Quota("tokens", 5460, 5.396999999, 6000, refills=True),
            ],
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "400000",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2025-10-07T13:57:10Z",
                "anthropic-ratelimit-output-tokens-limit": "80000",
                "anthropic-ratelimit-output-tokens-remaining": "79000",
                "anthropic-ratelimit-output-tokens-reset": "2025-10-07T13:56:50Z",
            },
            [Quota("input", 0, 30, 400000, refills=True), Quota("output", 79000, 10, 80000, refills=True)],
        ),
        (  # OpenRouter: one window, its end as an epoch in milliseconds
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1759845420000"},
            [Quota("requests", 0, 20, 20)],
        ),
        (  # Cerebras: windows by the day and by the minute
            {
                "x-ratelimit-limit-requests-day": "1440000",
                "x-ratelimit-remaining-requests-day": "1439980",
                "x-ratelimit-reset-requests-day": "3564.1",
                "x-ratelimit-limit-tokens-minute": "1000000",
                "x-ratelimit-remaining-tokens-minute": "995531",
                "x-ratelimit-reset-tokens-minute": "24.1",
            },
            [
                Quota("requests", 1439980, 3564.1, 1440000, period=86400.0),
                Quota("tokens", 995531, 24.1, 1000000, period=60.0),
            ],
        ),
        (  # Mistral says no reset, and what else the request took
            {
                "x-ratelimit-limit-req-10-second": "60",
                "x-ratelimit-remaining-req-10-second": "30",
                "x-ratelimit-tokens-query-cost": "150",
                "x-ratelimit-limit-audio-seconds-minute": "2000",
                "x-ratelimit-remaining-audio-seconds-minute": "0",
                "x-ratelimit-limit-ocr-pages-minute": "2000",
                "x-ratelimit-remaining-ocr-pages-minute": "0",
            },
            [Quota("requests", 30, 5, 60, refills=True, period=10.0)],
        ),
        (
            {"ratelimitbysize-limit": "500000", "ratelimitbysize-remaining": "467979", "ratelimitbysize-reset": "19"},
            [Quota("tokens", 467979, 19, 500000)],
        ),
        (  # Azure: the reset is in milliseconds, so the period is taken
            {
                "x-ratelimit-limit-requests": "120",
                "x-ratelimit-remaining-requests": "119",
                "x-ratelimit-reset-requests": "500",
                "x-ratelimit-renewalperiod-requests": "60",
                "x-ratelimit-abusepenalty-active": "False",
                "x-ratelimit-key": "gpt",
            },
            [Quota("requests", 119, 0.5, 120, refills=True)],
        ),
        (  # xAI says no reset: a bucket of a minute
            {"x-ratelimit-limit-requests": "1800", "x-ratelimit-remaining-requests": "900"},
            [Quota("requests", 900, 30, 1800, refills=True)],
        ),
        (  # older Azure and Together
            {
                "x-rate-limit-limit-tokens": "100",
                "x-rate-limit-remaining-tokens": "0",
                "x-rate-limit-reset-tokens": "3",
                "ratelimit-remaining": "0",
                "ratelimit-reset": "2",
            },
            [Quota("tokens", 0, 3, 100, refills=True), Quota("requests", 0, 2)],
        ),
        ({"x-ratelimit-remaining-requests": "117", "x-ratelimit-remaining-tokens": "119952"}, []),
        ({"x-ratelimit-remaining-input-images": "0", "x-ratelimit-reset-input-images": "1ms"}, []),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, []),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, []),
    ],
)
def test_the_spellings_of_hosts(headers: dict[str, str], expected: list[Quota]) -> None:
    found = quotas(headers, now=NOW)
    assert [(q.kind, q.remaining, q.limit, q.refills, q.period) for q in found] == [
        (q.kind, q.remaining, q.limit, q.refills, q.period) for q in expected
    ]
    assert [q.reset for q in found] == pytest.approx([q.reset for q in expected])


_WORDS = (
    "x anthropic ratelimit rate-limit limit remaining reset tokens requests req input output minute second 10 day cost"
    " renewalperiod bysize ratelimitbysize images"
)
WORDS = st.sampled_from(_WORDS.split())
NAMES = st.lists(WORDS, min_size=1, max_size=7).map("-".join) | st.text(max_size=40).map("x-ratelimit-{}".format)
VALUES = st.one_of(
    st.text(max_size=80),
    st.floats().map(str),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["6ms", "1h2m3.5s", "2025-10-07T13:57:10Z", "Tue, 07 Oct 2025 13:57:10 GMT", "1e308", "1_0", "٣"]),
)


@given(st.dictionaries(NAMES, VALUES, max_size=12))
def test_whatever_a_host_says_the_figures_make_sense(headers: dict[str, str]) -> None:
    for quota in quotas(headers, now=NOW):
        assert 0 <= quota.remaining < math.inf
        assert 0 <= quota.reset < math.inf
        assert quota.limit is None or 0 < quota.limit < math.inf
        assert not quota.refills or (quota.limit is not None and quota.limit > quota.remaining)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 1e5))
def test_figures_come_through(limit: int, remaining: int, reset: float) -> None:
    headers = {"limit": str(limit), "remaining": str(remaining), "reset": f"{reset!r}"}
    (quota,) = quotas({f"x-ratelimit-{name}-tokens": value for name, value in headers.items()}, now=NOW)
    assert (quota.limit, quota.remaining, quota.reset) == (limit, remaining, reset)


@pytest.mark.parametrize(
    ("provider", "least"),
    [("openai", 100), ("anthropic", 40), ("groq", 25), ("mistral", 30), ("cerebras", 15), ("xai", 30), ("together", 5)],
)
def test_recorded_replies_are_read(shared_data: Path, provider: str, least: int) -> None:
    found = [quotas(item.plain_headers, now=NOW) for item in recorded.load(shared_data, provider, "")]
    assert sum(map(bool, found)) >= least


@pytest.mark.parametrize("provider", ["openai", "groq"])
def test_what_counts_as_a_bucket_fills_all_the_time(shared_data: Path, provider: str) -> None:
    """The recorded time until all is back is that of a bucket which gets its limit in a minute, or in a day."""
    periods = [
        quota.reset * quota.limit / (quota.limit - quota.remaining)
        for item in recorded.load(shared_data, provider, "")
        for quota in quotas(item.plain_headers, now=NOW)
        if quota.refills and quota.limit and quota.reset > 0.01  # below, rounding is all of it
    ]
    fitting = [p for p in periods if 48 < p < 72 or 69_000 < p < 104_000]
    assert len(periods) > 25
    assert len(fitting) > 0.9 * len(periods)
