"""The arithmetic of limits: what a host would count is never more than it allows, and little less."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.limits.rules import KINDS, MINUTE, NONE, STEP, Cost, Pace, Slots, Window


@dataclass
class Sent:
    """A request that went out."""

    cost: Cost
    number: int = 0
    admitted: float | None = None
    sent: Cost = NONE


def go(window: Window, cost: Cost, now: float) -> Sent:
    """Wait as long as the window says, and go."""
    cost = window.fit(cost)
    entry = Sent(cost, admitted=now + window.wait(cost, now))
    assert entry.admitted is not None
    assert window.wait(cost, entry.admitted) == 0
    window.take(entry, entry.admitted)
    return entry


def most(sent: list[Sent], window: Window) -> float:
    """The most that a host counts in any minute."""
    return max(
        sum(e.cost[KINDS.index(window.kind)] for e in sent if start <= (e.admitted or 0) < start + MINUTE)
        for start in {e.admitted or 0 for e in sent}
    )


@given(st.integers(1, 20), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_minute_has_more_requests_than_the_limit(limit: int, gaps: list[float]) -> None:
    window, now, sent = Window("requests", limit), 1000.0, []
    for gap in gaps:
        sent.append(go(window, Cost(), now + gap))
        now = sent[-1].admitted or 0
    assert most(sent, window) <= limit


@given(st.integers(10, 1000), st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1500)), min_size=1, max_size=40))
def test_no_minute_has_more_tokens_than_the_limit(limit: int, requests: list[tuple[float, int]]) -> None:
    window, now, sent = Window("tokens", limit), 0.0, []
    for gap, tokens in requests:
        sent.append(go(window, Cost.one(tokens / 3, tokens * 2 / 3), now + gap))
        now = sent[-1].admitted or 0
    assert most(sent, window) <= limit + 1e-6


@given(st.integers(1, 50), st.integers(1, 300))
def test_nearly_all_of_the_limit_can_be_used(limit: int, count: int) -> None:
    window, now = Window("requests", limit), 0.0
    for _ in range(count):
        now = go(window, Cost(), now).admitted or 0
    assert now <= math.floor((count - 1) / limit) * (MINUTE + STEP)


@given(st.integers(1, 100), st.lists(st.integers(1, 150), min_size=1, max_size=30), st.floats(0, 200))
def test_the_wait_of_a_whole_queue_is_never_said_too_long(limit: int, tokens: list[int], now: float) -> None:
    window = Window("tokens", limit)
    go(window, Cost(1, limit / 2), now)
    costs = [window.fit(Cost(1, amount)) for amount in tokens]
    everything = Cost(len(costs), sum(each.tokens for each in costs))
    said, began = window.wait(everything, now), now
    for cost in costs:
        now = go(window, cost, now).admitted or 0
    assert said <= now - began + 1e-6


def test_a_single_request_larger_than_the_limit_goes_when_nothing_else_does() -> None:
    window = Window("tokens", 100)
    go(window, Cost(1, 60), 0.0)
    assert go(window, Cost(1, 10_000), 0.0).admitted == pytest.approx(MINUTE, abs=2 * STEP)


def test_the_true_usage_takes_the_place_of_what_was_set_aside() -> None:
    window = Window("tokens", 100)
    entry = go(window, Cost(1, 90), 0.0)
    assert window.wait(Cost(1, 50), 1.0) > 50
    window.give(entry, 30)
    assert window.wait(Cost(1, 50), 1.0) == 0
    window.give(go(window, Cost(1, 50), 1.0), None)
    assert window.wait(Cost(1, 40), 2.0) > 50
    late = go(Window("tokens", 100), Cost(1, 90), 0.0)
    assert window.wait(Cost(1, 100), 200.0) == 0
    window.give(late, 90)  # it is counted no more, so nothing is taken off
    assert window.wait(Cost(1, 100), 200.0) == 0


def test_slots_are_full_until_somebody_leaves() -> None:
    slots = Slots(2)
    entries = [Sent(Cost()), Sent(Cost())]
    for entry in entries:
        assert slots.wait(Cost(), 0) == 0
        slots.take(entry, 0)
    assert slots.wait(Cost(), 0) == math.inf
    slots.give(entries[0], None)
    assert slots.wait(Cost(), 0) == 0


# --- the pace of a host that says nothing -----------------------------------------------------------------------


def run(pace: Pace, capacity: float, seconds: float) -> tuple[int, int]:
    """As many requests as the pace allows against a host that takes ``capacity`` a second: taken and refused."""
    now, number, taken, refused, credit, last = 0.0, 0, 0, 0, capacity, 0.0
    while now < seconds:
        now += max(pace.wait(Cost(), now), 0.02)
        number += 1
        entry = Sent(Cost(), number, now)
        pace.take(entry, now)
        credit, last = min(capacity, credit + (now - last) * capacity), now
        if credit >= 1:
            credit, taken = credit - 1, taken + 1
            pace.faster(now)
        else:
            refused += 1
            pace.slower(entry, now)
    return taken, refused


@pytest.mark.parametrize("capacity", [2, 10, 30])
def test_the_pace_finds_what_a_host_takes(capacity: int) -> None:
    taken, refused = run(Pace(), capacity, 300)
    assert taken > 0.6 * capacity * 300
    assert refused < 0.1 * taken + 20


def test_refusals_of_one_burst_count_once() -> None:
    pace = Pace()
    burst = [Sent(Cost(), number) for number in range(1, 101)]
    for entry in burst:
        assert pace.wait(Cost(), 0.0) == 0
        pace.take(entry, 0.0)
    for entry in burst:
        pace.slower(entry, 0.5)
    assert pace.rate == pytest.approx(5.0)  # 100 in 10 seconds, halved
    late = Sent(Cost(), 101)
    pace.take(late, 0.6)
    pace.slower(late, 0.7)
    assert pace.rate == pytest.approx(2.5)


def test_it_grows_again_and_in_the_end_there_is_no_pace() -> None:
    pace = Pace()
    for number in range(1, 41):
        pace.take(Sent(Cost(), number), 0.0)
    pace.slower(Sent(Cost(), 40), 0.0)
    rates = []
    for second in range(1, 21):
        pace.faster(float(second))
        rates.append(pace.rate)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(4.0)
    for second in range(21, 70):
        pace.faster(float(second))
    assert not pace.set


def test_a_lone_caller_is_slowed_by_its_own_retries_only() -> None:
    pace = Pace()
    for number in range(1, 4):
        pace.take(Sent(Cost(), number), 0.0)
        pace.slower(Sent(Cost(), number), 0.0)
    assert not pace.set
