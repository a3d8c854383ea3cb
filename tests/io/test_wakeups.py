"""Waking loops from other threads: once for all that came at the same time, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import anyio
import pytest
import trio

from llmsdk.io import wakeups
from llmsdk.io.loop import LoopIO


@pytest.fixture
def woken(anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes by which thread a loop is woken."""
    kind: Any = asyncio.BaseEventLoop if anyio_backend_name == "asyncio" else trio.lowlevel.TrioToken
    name = "call_soon_threadsafe" if anyio_backend_name == "asyncio" else "run_sync_soon"
    original, found = getattr(kind, name), []

    def noting(self: Any, *given: Any, **named: Any) -> Any:
        found.append(threading.current_thread().name)
        return original(self, *given, **named)

    monkeypatch.setattr(kind, name, noting)
    return found


async def fulfilled(count: int, fulfil: Callable[[list[Future[int]]], None]) -> list[int]:
    """What ``count`` tasks got that wait for a future each, which another thread fulfils."""
    futures = [Future[int]() for _ in range(count)]
    results: list[int] = []

    async def wait(future: Future[int]) -> None:
        results.append(await LoopIO().wait(future))

    async with anyio.create_task_group() as group:
        for future in futures:
            group.start_soon(wait, future)
        await anyio.wait_all_tasks_blocked()
        threading.Thread(target=fulfil, args=(futures,), name="worker").start()
    return sorted(results)


@pytest.mark.anyio
async def test_a_loop_is_woken_once_for_all_that_is_gathered(woken: list[str]) -> None:
    def fulfil(futures: list[Future[int]]) -> None:
        with wakeups.gathered():
            for n, future in enumerate(futures):
                future.set_result(n)

    assert await fulfilled(20, fulfil) == list(range(20))
    assert woken.count("worker") == 1


@pytest.mark.anyio
async def test_without_gathering_each_wakes_it(woken: list[str]) -> None:
    def fulfil(futures: list[Future[int]]) -> None:
        for n, future in enumerate(futures):
            future.set_result(n)

    assert await fulfilled(5, fulfil) == list(range(5))
    assert woken.count("worker") == 5


@pytest.mark.anyio
async def test_a_fault_while_gathering_leaves_nobody_asleep(woken: list[str]) -> None:
    def fulfil(futures: list[Future[int]]) -> None:
        try:
            with wakeups.gathered():
                futures[0].set_result(0)
                raise ValueError
        except ValueError:
            futures[1].set_result(1)

    assert await fulfilled(2, fulfil) == [0, 1]
    assert woken.count("worker") == 2


def test_each_loop_is_told_what_is_its_own_and_a_loop_that_is_gone_hinders_nobody() -> None:
    told: dict[str, list[str]] = {"one": [], "other": []}
    done: list[str] = []

    def one(call: Callable[[], object]) -> None:
        told["one"].append("woken")
        call()

    def other(call: Callable[[], object]) -> None:
        told["other"].append("woken")
        call()

    def gone(call: Callable[[], object]) -> None:
        raise RuntimeError("Event loop is closed")

    with wakeups.gathered():
        for soon, name in ((one, "a"), (gone, "b"), (other, "c"), (one, "d")):
            wakeups.call(soon, lambda name=name: done.append(name))  # type: ignore[misc]
        assert done == []
    assert told == {"one": ["woken"], "other": ["woken"]}
    assert done == ["a", "d", "c"]
