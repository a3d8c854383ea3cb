"""Who goes when: in order, within the limits, by the deadline; and nobody who gives up takes a place with them."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import random
import threading
import time
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from limits.virtual import VirtualIO, virtually

from llmsdk.errors import DeadlineExceeded
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO
from llmsdk.limits.gate import Gate, Ticket
from llmsdk.limits.rules import MINUTE, Cost, Slots, Window

ONE = Cost()


def slots(limit: int) -> Gate:
    return Gate("test", Slots(limit))


def a_minute(limit: int) -> Gate:
    return Gate("test", Window("requests", limit))


# --- every order of events --------------------------------------------------------------------------------------


class Nap:
    """What a sleeping coroutine waits for."""

    def __init__(self, until: float, unless: Future[None]) -> None:
        self.until, self.unless = until, unless

    def __await__(self) -> Generator[Nap, None, None]:
        yield self


@dataclass
class Steps:
    """A face that sleeps until the test goes on."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float, unless: Future[None]) -> None:
        await Nap(self.time + seconds, unless)


@dataclass
class Caller:
    cost: Cost
    deadline: float
    turn: Coroutine[Any, None, Ticket]
    nap: Nap | None = None
    ticket: Ticket | None = None
    refused: float | None = None
    waited: bool = field(default=False)


class Machine(RuleBasedStateMachine):
    @initialize(concurrency=st.integers(1, 4), rpm=st.integers(2, 12), tpm=st.integers(10, 100))
    def begin(self, concurrency: int, rpm: int, tpm: int) -> None:
        self.io = Steps()
        self.limits = (concurrency, rpm, tpm)
        self.gate = Gate("test", Slots(concurrency), Window("requests", rpm), Window("tokens", tpm))
        self.waiting: list[Caller] = []
        self.inside: list[Caller] = []
        self.log: list[Caller] = []

    def step(self, caller: Caller, error: BaseException | None = None) -> None:
        try:
            caller.nap = caller.turn.throw(error) if error else caller.turn.send(None)
            caller.waited = True
        except StopIteration as stop:
            caller.ticket = stop.value
            self.waiting.remove(caller)
            self.inside.append(caller)
            self.log.append(caller)
        except DeadlineExceeded:
            caller.refused = self.io.time
            self.waiting.remove(caller)
        except asyncio.CancelledError:
            self.waiting.remove(caller)

    def run(self) -> None:
        while ripe := [c for c in self.waiting if c.nap and (c.nap.unless.done() or c.nap.until <= self.io.time)]:
            for caller in ripe:
                self.step(caller)

    @rule(tokens=st.integers(0, 120), patience=st.sampled_from([math.inf, 0.5, 5.0, 70.0]))
    def come(self, tokens: int, patience: float) -> None:
        cost, deadline = Cost(1, tokens), self.io.time + patience
        turn = self.gate.turn(cost, cast("IO", self.io), deadline)
        caller = Caller(cost, deadline, turn)
        self.waiting.append(caller)
        self.step(caller)

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 7.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        end = self.io.time + seconds
        while (soonest := min((c.nap.until for c in self.waiting if c.nap), default=math.inf)) < end:
            self.io.time = max(self.io.time, soonest)
            self.run()
        self.io.time = end
        self.run()

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), used=st.none() | st.integers(0, 120))
    def leave(self, data: st.DataObject, used: int | None) -> None:
        caller = data.draw(st.sampled_from(self.inside))
        self.inside.remove(caller)
        assert caller.ticket
        self.gate.leave(caller.ticket, self.io.time, used)
        self.run()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), late=st.booleans())
    def give_up(self, data: st.DataObject, late: bool) -> None:
        caller = data.draw(st.sampled_from(self.waiting))
        if late and self.inside:  # cancelled at the very moment in which it is let through, before it can know
            left = self.inside.pop()
            assert left.ticket
            self.gate.leave(left.ticket, self.io.time)
        self.step(caller, asyncio.CancelledError())
        self.run()

    @invariant()
    def nobody_is_too_many(self) -> None:
        concurrency, rpm, _ = self.limits
        assert len(self.inside) <= concurrency
        times = sorted(c.ticket.admitted or 0 for c in self.log if c.ticket)
        assert all(late - early >= MINUTE for early, late in zip(times, times[rpm:], strict=False))

    @invariant()
    def they_go_in_order(self) -> None:
        numbers = [c.ticket.number for c in self.log if c.ticket]
        assert numbers == sorted(numbers)

    @invariant()
    def nobody_waits_past_the_deadline(self) -> None:
        assert all(caller.deadline >= self.io.time for caller in self.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "gate"):
            return
        for _ in range(200):
            for caller in list(self.inside):
                self.inside.remove(caller)
                assert caller.ticket
                self.gate.leave(caller.ticket, self.io.time, 0)
            self.wait(61.0)
        assert self.waiting == []
        concurrency, rpm, _ = self.limits
        for _ in range(min(concurrency, rpm)):  # all places are there again
            self.come(0, math.inf)
        assert self.waiting == []


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestEveryOrder = Machine.TestCase


# --- cancelling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [int(os.environ.get("LLMSDK_TEST_CANCELLATIONS", "20000"))])
def test_cancelling_at_random_moments_loses_no_place(tasks: int) -> None:
    """Over a pool of ten; a third of the callers hold on to a place, the others are cancelled somewhere on the way."""
    gate, dice = slots(10), random.Random(7)  # noqa: S311 - a schedule, not a secret
    served, most, inside = 0, 0, 0

    async def caller(io: VirtualIO, patience: float, work: float) -> None:
        nonlocal served, most, inside
        with trio.move_on_after(patience):
            ticket = await gate.turn(ONE, io)
            inside += 1
            most = max(most, inside)
            try:
                await io.sleep(work)
                served += 1
            finally:
                inside -= 1
                gate.leave(ticket, io.now())

    async def main(io: VirtualIO) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(caller, io, dice.expovariate(1 / 0.02), dice.expovariate(1 / 0.01))
                await io.sleep(dice.expovariate(1 / 0.001))
        for ticket in [await gate.turn(ONE, io, io.now() + 0.1) for _ in range(10)]:
            gate.leave(ticket, io.now())

    virtually(main)
    assert tasks * 0.2 < served < tasks * 0.9
    assert (most, inside) == (10, 0)


# --- order ------------------------------------------------------------------------------------------------------


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    gate, order = Gate("test", Window("tokens", 100)), dict[int, str]()

    async def caller(io: VirtualIO, name: str, tokens: int, after: float) -> None:
        await io.sleep(after)
        ticket = await gate.turn(Cost(1, tokens), io)
        gate.leave(ticket, io.now())
        order[ticket.number] = name

    async def main(io: VirtualIO) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller, io, "first", 60, 0)
            nursery.start_soon(caller, io, "large", 90, 1)
            for number in range(50):
                nursery.start_soon(caller, io, f"small{number}", 2, 2 + number / 10)

    virtually(main)
    assert [order[number] for number in sorted(order)] == [
        "first",
        "large",
        *(f"small{number}" for number in range(50)),
    ]


def test_what_was_not_used_lets_the_next_go_at_once() -> None:
    gate, at = Gate("test", Window("tokens", 100)), list[float]()

    async def caller(io: VirtualIO) -> None:
        await gate.turn(Cost(1, 50), io)
        at.append(io.now())

    async def main(io: VirtualIO) -> None:
        ticket = await gate.turn(Cost(1, 100), io)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller, io)
            await io.sleep(3)
            gate.leave(ticket, io.now(), 50)

    virtually(main)
    assert at == [3]


# --- the deadline -----------------------------------------------------------------------------------------------


def test_a_wait_past_the_deadline_is_refused_at_once_with_figures() -> None:
    io, gate = FakeIO(), a_minute(5)

    async def scenario() -> None:
        for _ in range(5):
            gate.leave(await gate.turn(ONE, io), io.now())
        with pytest.raises(DeadlineExceeded) as caught:
            await gate.turn(ONE, io, io.now() + 20)
        assert (caught.value.phase, caught.value.sent) == ("queue", False)
        assert caught.value.message == "the queue for test needs 60.2 s and the deadline leaves 20 s"
        assert caught.value.hint.startswith("0 waited before it (5 requests a minute).")
        with pytest.raises(DeadlineExceeded, match="needs"):
            await gate.turn(ONE, io, io.now() + 60.2)
        assert io.slept == []
        await gate.turn(ONE, io, io.now() + 60.3)
        assert io.slept == [60.25]

    drive(scenario())


def test_the_queue_ahead_counts() -> None:
    gate = a_minute(2)

    async def waits(io: VirtualIO) -> None:
        await gate.turn(ONE, io)

    async def main(io: VirtualIO) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(waits, io)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(DeadlineExceeded, match="needs 180 s and the deadline leaves 100 s"):
                await gate.turn(ONE, io, io.now() + 100)
            assert io.now() == 0

    virtually(main)


def test_a_wait_of_which_nobody_knows_the_end_lasts_until_the_deadline() -> None:
    gate = slots(1)

    async def main(io: VirtualIO) -> None:
        held = await gate.turn(ONE, io)
        with pytest.raises(DeadlineExceeded, match="took longer") as caught:
            await gate.turn(ONE, io, 5.0)
        assert io.now() == 5
        assert "1 at a time" in caught.value.hint
        gate.leave(held, io.now())
        await gate.turn(ONE, io, io.now())

    virtually(main)


# --- threads and loops ------------------------------------------------------------------------------------------


def test_threads_asyncio_and_trio_share_a_gate() -> None:
    gate, lock = slots(3), threading.Lock()
    inside = itertools.count()
    state = {"inside": 0, "most": 0, "served": 0}
    each = 40

    def enter() -> None:
        with lock:
            state["inside"] += 1
            state["most"] = max(state["most"], state["inside"])
            state["served"] += 1
        next(inside)

    def out() -> None:
        with lock:
            state["inside"] -= 1

    async def caller(io: SyncIO | LoopIO) -> None:
        ticket = await gate.turn(ONE, cast("IO", io))
        enter()
        await io.sleep(0.0005)
        out()
        gate.leave(ticket, io.now())

    def blocking() -> None:
        for _ in range(each):
            drive(caller(SyncIO()))

    async def many() -> None:
        io = LoopIO()
        async with anyio.create_task_group() as group:
            for _ in range(each):
                group.start_soon(caller, io)

    works = [blocking, blocking, lambda: anyio.run(many, backend="asyncio"), lambda: anyio.run(many, backend="trio")]
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert state == {"inside": 0, "most": 3, "served": 4 * each}


def test_a_thread_that_waits_is_woken_by_one_that_leaves() -> None:
    gate, io = slots(1), SyncIO()
    held = drive(gate.turn(ONE, io))
    timer = threading.Timer(0.05, lambda: gate.leave(held, io.now()))
    timer.start()
    began = time.monotonic()
    drive(gate.turn(ONE, io, began + 20))
    assert 0.04 < time.monotonic() - began < 10
    timer.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_places_of_its_own() -> None:
    gate, io = slots(1), SyncIO()
    held = drive(gate.turn(ONE, io))
    with gate._lock:  # another thread may be in the middle of something
        child = os.fork()
        if child == 0:
            try:
                ticket = drive(gate.turn(ONE, io, io.now() + 5))
                gate.leave(held, io.now())  # the parent's; it counts for nothing here
                with pytest.raises(DeadlineExceeded):
                    drive(gate.turn(ONE, io, io.now() + 0.01))
                gate.leave(ticket, io.now())
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.leave(held, io.now())
