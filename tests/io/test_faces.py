"""What the faces do besides sending: sleeping, waiting for workers, many jobs at once."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import anyio
import pytest
from wire import timed

from llmsdk.errors import DeadlineExceeded, InputError, TimedOut
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO


def later(work: Callable[[], Any], seconds: float = 0.02) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def test_waiting_for_a_worker(face: Any) -> None:
    async def scenario(io: Any) -> None:
        ready: Future[int] = Future()
        ready.set_result(1)
        assert await io.wait(ready) == 1
        slow: Future[int] = Future()
        later(lambda: slow.set_result(2))
        assert await io.wait(slow) == 2
        bounded: Future[int] = Future()
        later(lambda: bounded.set_result(3))
        assert await io.within(timed(5)).wait(bounded) == 3

    face(scenario)


@pytest.mark.parametrize("error", [InputError("bad"), TimeoutError("its own"), ValueError("v")])
@pytest.mark.parametrize("limited", [False, True])
def test_the_workers_error_is_raised(face: Any, error: Exception, limited: bool) -> None:
    async def scenario(io: Any) -> None:
        io = io.within(timed(5)) if limited else io
        future: Future[int] = Future()
        later(lambda: future.set_exception(error))
        with pytest.raises(type(error)) as caught:
            await io.wait(future)
        assert caught.value is error
        done: Future[int] = Future()
        done.set_exception(error)
        with pytest.raises(type(error)):
            await io.wait(done)

    face(scenario)


def test_a_wait_that_runs_out_cancels_the_work(face: Any) -> None:
    async def scenario(io: Any) -> None:
        future: Future[int] = Future()
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await io.within(timed(0.1)).wait(future)
        assert time.monotonic() - began < 3
        assert future.cancelled()
        future = Future()
        with pytest.raises(TimedOut) as caught:
            await io.within(timed(9, stream=True, first_token=0.05)).wait(future)
        assert caught.value.phase == "first_token"
        assert future.cancelled()
        future = Future()
        with pytest.raises(DeadlineExceeded):
            await io.within(timed(-1)).wait(future)
        assert future.cancelled()

    face(scenario)


def test_a_worker_may_cancel(face: Any) -> None:
    async def scenario(io: Any) -> None:
        future: Future[int] = Future()
        later(future.cancel)
        with pytest.raises(CancelledError):
            await io.wait(future)

    face(scenario)


@pytest.mark.anyio
async def test_cancelling_the_waiter_cancels_the_work() -> None:
    future: Future[int] = Future()
    with anyio.move_on_after(0.05):
        await LoopIO().wait(future)
    assert future.cancelled()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_worker_that_outlives_the_loop(backend: str) -> None:
    future: Future[int] = Future()
    future.set_running_or_notify_cancel()  # as an engine does; it cannot be cancelled any more

    async def main() -> None:
        with anyio.move_on_after(0.02):
            await LoopIO().wait(future)

    anyio.run(main, backend=backend)
    future.set_result(1)


def test_ctrl_c_while_waiting_cancels_the_work() -> None:
    class Interrupted(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            raise KeyboardInterrupt

    future = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        drive(SyncIO().wait(future))
    assert future.cancelled()


def test_sleeping(face: Any) -> None:
    async def scenario(io: Any) -> float:
        began = io.now()
        await io.sleep(0.05)
        await io.sleep(0)
        await io.sleep(-1)
        return float(io.now() - began)

    assert 0.04 < face(scenario) < 3


def test_blocking_work(face: Any) -> None:
    async def scenario(io: Any) -> bool:
        return bool(await io.run(threading.get_ident) == threading.get_ident())

    assert face(scenario) == (face.name == "sync")


# --- many jobs --------------------------------------------------------------------------------------------------


class Crowd:
    """Jobs that see how many of them run at once."""

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        self.lock = threading.Lock()
        self.running = self.most = 0
        self.begun: list[int] = []

    async def job(self, io: Any, number: int, seconds: float = 0.01) -> int:
        with self.lock:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            await io.sleep(seconds)
            for _ in range(500):  # a busy machine may take its time to begin the others
                if self.most >= self.expected:
                    break
                await io.sleep(0.01)
        finally:
            with self.lock:
                self.running -= 1
        return number * number


@pytest.mark.parametrize(
    ("count", "limit", "most"), [(0, 4, 0), (1, 4, 1), (9, 1, 1), (9, 4, 4), (3, 100, 3), (3, 0, 1)]
)
def test_jobs_run_at_once_and_come_in_order(face: Any, count: int, limit: int, most: int) -> None:
    crowd = Crowd(most)

    async def scenario(io: Any) -> list[int]:
        jobs = [partial(crowd.job, io, number) for number in range(count)]
        return await io.gather(jobs, limit)  # type: ignore[no-any-return]

    assert face(scenario) == [number * number for number in range(count)]
    assert crowd.most == most


@pytest.mark.parametrize("limit", [1, 3])
def test_the_first_error_stops_the_rest(face: Any, limit: int) -> None:
    crowd = Crowd()

    async def fails(io: Any) -> int:
        raise InputError("the third")

    async def scenario(io: Any) -> None:
        jobs: list[Callable[[], Coroutine[Any, Any, int]]] = [partial(crowd.job, io, number) for number in range(20)]
        jobs[3] = partial(fails, io)
        await io.gather(jobs, limit)

    with pytest.raises(InputError, match="the third"):
        face(scenario)
    assert len(crowd.begun) < 10
    assert crowd.running == 0


def test_gathers_nest(face: Any) -> None:
    crowd = Crowd()

    async def scenario(io: Any) -> list[list[int]]:
        inner = [partial(crowd.job, io, number) for number in range(3)]
        return await io.gather([partial(io.gather, inner, 2)] * 3, 3)  # type: ignore[no-any-return]

    assert face(scenario) == [[0, 1, 4]] * 3


def test_jobs_see_the_callers_context(face: Any) -> None:
    span = contextvars.ContextVar("span", default="none")

    async def job(number: int) -> str:
        seen = span.get()
        span.set(f"job {number}")
        return seen

    async def scenario(io: Any) -> list[str]:
        span.set("caller")
        seen = await io.gather([partial(job, number) for number in range(4)], 4)
        return [*seen, span.get()]

    assert face(scenario) == ["caller"] * 5


@pytest.mark.anyio
async def test_cancelling_a_gather_cancels_its_jobs() -> None:
    crowd = Crowd()
    io = LoopIO()
    with anyio.move_on_after(0.2) as scope:
        await io.gather([partial(crowd.job, io, number, 30) for number in range(9)], 3)
    assert scope.cancelled_caught
    assert (crowd.most, crowd.running, len(crowd.begun)) == (3, 0, 3)


def test_ctrl_c_in_a_gather_does_not_wait_for_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    begun: list[int] = []

    async def job() -> None:
        begun.append(1)
        release.wait(5)

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", join)
        with pytest.raises(KeyboardInterrupt):
            drive(SyncIO().gather([job] * 9, 2))
    release.set()
    for thread in threading.enumerate():
        if thread.name == "llmsdk-job":
            thread.join(5)
    assert len(begun) == 2  # no further one began
