"""What a host lets be known: its latest word holds, for a minute at most, and what it explains is punished once."""

from __future__ import annotations

import pytest

from llmsdk.errors import DeadlineExceeded, RateLimited
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.limits import Cost, Limiter, Limits, Size
from llmsdk.limits.gate import Ticket
from llmsdk.limits.learned import PATIENCE, Learned

ONE = Cost()


def headers(remaining: int, reset: float = 60.0) -> dict[str, str]:
    told = {"limit": 60, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{name}-requests": str(value) for name, value in told.items()}


def turn(learned: Learned, io: FakeIO) -> Ticket:
    return learned.pass_by(io.now()) if learned.open else drive(learned.turn(ONE, io))


def test_replies_that_come_late_do_not_undo_what_later_ones_said() -> None:
    io, learned = FakeIO(), Learned("test")
    early, late = turn(learned, io), turn(learned, io)
    learned.hear(late, headers(0), io.now())
    learned.hear(early, headers(40), io.now())
    turn(learned, io)
    assert sum(io.slept) == pytest.approx(1.0)


def test_what_went_out_since_is_taken_off() -> None:
    io, learned = FakeIO(), Learned("test")
    learned.hear(turn(learned, io), headers(3), io.now())
    for _ in range(3):
        turn(learned, io)
    assert io.slept == []
    turn(learned, io)
    assert sum(io.slept) == pytest.approx(60 / 57)


def test_a_refusal_that_headers_explain_sets_no_pace() -> None:
    io, learned = FakeIO(), Learned("test")
    tickets = [turn(learned, io) for _ in range(50)]
    learned.hear(tickets[-1], headers(0, 5.0), io.now())
    learned.leave(tickets[-1], io.now(), RateLimited("slow"))
    turn(learned, io)
    io.advance(10)
    before = len(io.slept)
    for _ in range(20):
        turn(learned, io)
    assert len(io.slept) == before
    learned.leave(tickets[0], io.now(), RateLimited("slow"))  # nothing explains this one
    turn(learned, io)
    assert len(io.slept) > before


def test_retry_after_holds_others_for_a_minute_at_most() -> None:
    io, learned = FakeIO(), Learned("test")
    learned.leave(turn(learned, io), io.now(), RateLimited("slow", retry_after=40_000.0))
    turn(learned, io)
    assert io.slept == [PATIENCE]


def test_once_all_is_past_it_stands_open_again() -> None:
    io, learned = FakeIO(), Learned("test")
    first = turn(learned, io)
    learned.hear(first, headers(0, 5.0), io.now())
    assert not learned.open
    learned.leave(turn(learned, io), io.now() + 10)
    assert learned.open


def test_who_is_turned_away_by_the_host_gives_its_configured_place_back() -> None:
    io, limiter = FakeIO(), Limiter("test", Limits(concurrency=1))
    size = Size(ONE, ONE)
    leave = drive(limiter.enter("m", lambda: size, io))
    leave.hear(headers(0))
    leave.give_back()
    with pytest.raises(DeadlineExceeded):
        drive(limiter.enter("m", lambda: size, io, io.now() + 0.5))
    drive(limiter.enter("other", lambda: size, io)).give_back()
