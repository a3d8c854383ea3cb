"""The limits of an attempt, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import DeadlineExceeded, TimedOut
from llmsdk.io import Clock, Timeouts

SECONDS = st.none() | st.integers(1, 100).map(float)
WAITS = ("connect", "send", "receive")


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    connect=SECONDS,
    first_token=SECONDS,
    idle=SECONDS,
    total=SECONDS,
    deadline=SECONDS,
    stream=st.booleans(),
    content=st.booleans(),
    passed=st.integers(0, 120),
    wait=st.sampled_from(WAITS),
)
def test_the_nearest_limit_bounds_a_wait(
    connect: float | None,
    first_token: float | None,
    idle: float | None,
    total: float | None,
    deadline: float | None,
    stream: bool,
    content: bool,
    passed: int,
    wait: str,
) -> None:
    time = Time()
    clock = Clock(time, Timeouts(connect, first_token, idle, total), deadline and time() + deadline, stream)
    time.now += passed
    clock.content = content
    limits = {"deadline": deadline and deadline - passed, "total": total and total - passed}
    if wait == "connect":
        limits["connect"] = connect
    elif wait == "receive" and stream:
        limits |= {"idle": idle} if content else {"first_token": first_token and first_token - passed}
    left = min((seconds for seconds in limits.values() if seconds is not None), default=None)
    if left is None or left > 0:
        assert clock.left(wait) == (None if left is None else pytest.approx(left))
        return
    with pytest.raises((TimedOut, DeadlineExceeded)) as caught:
        clock.left(wait)
    nearest = {name for name, seconds in limits.items() if seconds == left}
    named = "deadline" if isinstance(caught.value, DeadlineExceeded) else caught.value.phase
    assert named in nearest


def test_the_error_names_the_limit_that_ran_out_not_the_next_one() -> None:
    """After 30 idle seconds the deadline, 20 seconds away, is nearer than a new idle limit would be."""
    time = Time()
    clock = Clock(time, Timeouts(idle=30.0), deadline=time() + 50, stream=True, content=True)
    assert clock.left("receive") == 30
    time.now += 30
    error = clock.expired("receive")
    assert isinstance(error, TimedOut)
    assert error.phase == "idle"


def test_connecting_has_one_limit_for_all_its_steps() -> None:
    time = Time()
    clock = Clock(time, Timeouts(connect=5.0))
    assert clock.left("connect") == 5
    clock.connecting = time()
    time.now += 3
    assert clock.left("connect") == 2
    time.now += 3
    with pytest.raises(TimedOut) as caught:
        clock.left("connect")
    assert (caught.value.phase, caught.value.sent) == ("connect", False)


def test_errors_say_whether_the_request_may_have_run() -> None:
    time = Time()
    clock = Clock(time, Timeouts(total=5.0))
    time.now += 6
    assert clock.expired("send").sent is False
    clock.sent = True
    assert clock.expired("receive").sent is True


def test_without_limits_nothing_runs_out() -> None:
    clock = Clock(Time(), Timeouts(None, None, None, None))
    assert [clock.left(wait) for wait in WAITS] == [None, None, None]
