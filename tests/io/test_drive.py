"""Running coroutines that never suspend."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from typing import Any

import anyio
import pytest

from llmsdk.io.drive import Steps, drive, iterate
from llmsdk.io.sync import SyncIO


async def three(ended: list[str]) -> AsyncIterator[int]:
    try:
        for number in range(3):
            yield number
    finally:
        ended.append("ended")


def test_a_coroutine_gives_its_result_or_its_error() -> None:
    async def value() -> int:
        await SyncIO().sleep(0)
        return 7

    async def fails() -> None:
        raise ValueError("mine")

    assert drive(value()) == 7
    with pytest.raises(ValueError, match="mine"):
        drive(fails())


@pytest.mark.parametrize("wait", [asyncio.sleep, anyio.sleep])
def test_a_foreign_wait_is_refused(wait: Any) -> None:
    unwound = []

    async def foreign() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            unwound.append(True)

    with pytest.raises(RuntimeError, match="not its io") as caught:
        drive(foreign())
    assert unwound == [True]
    assert "loop_bound" in str(caught.value)
    places = [entry.name for entry in caught.traceback]
    assert "foreign" in places  # the traceback shows who waited


def test_a_foreign_wait_is_refused_even_by_one_who_will_not_hear() -> None:
    async def deaf() -> str:
        for _ in range(2):
            with suppress(RuntimeError):
                await asyncio.sleep(0)
        return "went on"

    async def stumbles() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            raise KeyError("clean-up")

    async def quiet() -> str:
        with suppress(RuntimeError):
            await asyncio.sleep(0)
        return "went on"

    for work in (deaf, stumbles, quiet):
        with pytest.raises(RuntimeError, match="not its io"):
            drive(work())


def test_a_foreign_wait_in_a_stream_is_refused_and_the_stream_ends() -> None:
    ended = []

    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(0)
            yield 2
        finally:
            ended.append(True)

    steps = Steps(stream())
    assert next(steps) == 1
    with pytest.raises(RuntimeError, match="not its io"):
        next(steps)
    assert ended == [True]
    with pytest.raises(StopIteration):
        next(steps)


def test_steps_are_an_iterator() -> None:
    ended: list[str] = []
    assert list(iterate(three(ended))) == [0, 1, 2]
    assert ended == ["ended"]


def test_close_ends_a_stream_at_once_and_twice_is_fine() -> None:
    ended: list[str] = []
    steps = Steps(three(ended))
    with steps:
        assert next(steps) == 0
    assert ended == ["ended"]
    steps.close()
    assert list(steps) == []


def test_an_iterator_without_close_can_be_stepped() -> None:
    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    with closing(Steps(Plain())) as steps:
        assert list(steps) == []


def _in_loop(backend: str, work: Any) -> Any:
    async def main() -> Any:
        return work()

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_running_loop_does_not_adopt_the_generators(backend: str) -> None:
    """Dropped inside a loop, a stream ends there and then, as it does outside."""
    ended: list[str] = []

    def work() -> list[str]:
        hooks = sys.get_asyncgen_hooks()
        assert hooks.finalizer is not None
        steps = Steps(three(ended))
        next(steps)
        assert sys.get_asyncgen_hooks() == hooks
        steps.close()
        return list(ended)

    assert _in_loop(backend, work) == ["ended"]
    gc.collect()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_hooks_come_back_after_an_error(backend: str) -> None:
    async def fails() -> None:
        raise ValueError

    async def foreign() -> None:
        await asyncio.sleep(0)

    def work() -> None:
        hooks = sys.get_asyncgen_hooks()
        with pytest.raises(ValueError):  # noqa: PT011 - the one above
            drive(fails())
        assert sys.get_asyncgen_hooks() == hooks
        with pytest.raises(RuntimeError):
            drive(foreign())
        assert sys.get_asyncgen_hooks() == hooks

    _in_loop(backend, work)


def test_drives_nest() -> None:
    """A tool that the core calls may itself use the sync client."""

    async def inner() -> int:
        return 1

    async def outer() -> int:
        return drive(inner()) + 1

    assert _in_loop("asyncio", lambda: drive(outer())) == 2
