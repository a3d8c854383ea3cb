"""One client in a process of its own, which measures what it is told: ``worker.py CLIENT URL``.

Reads lines ``MODE COUNT``, and answers each with a line of JSON: CPU microseconds of this process for each unit (a
call, or a chunk of a stream), how many were finished in time, how many were not. Every answer is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from clients import CLIENTS
from pin import pin
from server import ANSWER, CHUNKS, LARGE, PACED, pieces

PROMPT = "What is the weather like in Rome today?"
BURST, SLOW = "".join(pieces(CHUNKS)), "".join(pieces(PACED))
LONG_PROMPT = "What is the weather like? " * 40_000
WARM_UP = 3
PATIENCE = 8.0
"""Seconds for a wave of calls in flight; what has not come by then is unfinished."""
Run = Callable[[], Awaitable[str]]


class Worker:
    def __init__(self, name: str, url: str) -> None:
        self.make = CLIENTS[name]
        self.url = url
        self.client = self.make(url)
        self.runner = asyncio.Runner()

    def has(self, method: str) -> bool:
        return hasattr(self.client, method)

    def measure(self, mode: str, count: int) -> dict[str, Any] | None:
        kind, _, width = mode.partition("-")
        match kind:
            case "sync" if self.has("call"):
                return self.blocking(lambda: self.client.call("now", PROMPT), ANSWER, count, 1)
            case "syncstream" if self.has("stream"):
                return self.blocking(lambda: self.client.stream("burst", PROMPT), BURST, count, CHUNKS)
            case "async":
                return self.awaited(lambda: self.client.acall("now", PROMPT), ANSWER, count, 1)
            case "flight":
                return self.awaited(lambda: self.client.acall("wait", PROMPT), ANSWER, count, 1, int(width))
            case "prompt":
                return self.awaited(lambda: self.client.acall("now", LONG_PROMPT), ANSWER, count, 1)
            case "reply":
                return self.awaited(lambda: self.client.acall("large", PROMPT), LARGE, count, 1)
            case "stream" if self.has("astream"):
                return self.awaited(lambda: self.client.astream("burst", PROMPT), BURST, count, CHUNKS, int(width or 1))
            case "paced" if self.has("astream"):
                return self.awaited(lambda: self.client.astream("paced", PROMPT), SLOW, count, PACED)
            case "construct":
                return self.constructed(count)
        return None

    def blocking(self, call: Callable[[], str], expected: str, count: int, units: int) -> dict[str, Any]:
        for _ in range(WARM_UP):
            assert call() == expected
        began = time.process_time()
        right = sum(call() == expected for _ in range(count))
        return told(time.process_time() - began, right, count, units)

    def constructed(self, count: int) -> dict[str, Any]:
        began = time.process_time()
        kept = [self.make(self.url) for _ in range(count)]
        return told(time.process_time() - began, len(kept), count, 1)

    def awaited(self, call: Run, expected: str, count: int, units: int, width: int = 1) -> dict[str, Any]:
        return self.runner.run(self.wave(call, expected, count, units, width))

    async def wave(self, call: Run, expected: str, count: int, units: int, width: int) -> dict[str, Any]:
        """``count`` calls, ``width`` of them in flight, after one wave that opens the connections."""
        await self.calls(call, expected, max(WARM_UP, width), width)
        began = time.process_time()
        right = await self.calls(call, expected, count, width)
        return told(time.process_time() - began, right, count, units)

    async def calls(self, call: Run, expected: str, count: int, width: int) -> int:
        left, right = iter(range(count)), 0

        async def work() -> None:
            nonlocal right
            for _ in left:
                answer = await call()
                right += answer == expected

        if width == 1:
            await work()
            return right
        tasks = [asyncio.create_task(work()) for _ in range(width)]
        _, late = await asyncio.wait(tasks, timeout=PATIENCE)
        for task in late:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        return right


def told(seconds: float, right: int, count: int, units: int) -> dict[str, Any]:
    return {"us": seconds / max(right * units, 1) * 1e6, "done": right, "missing": count - right}


def main(name: str, url: str) -> None:
    pin(0)
    worker = Worker(name, url)
    for line in sys.stdin:
        mode, count = line.split()
        told = None
        try:
            told = worker.measure(mode, int(count))
        except Exception:  # a client that fails in one mode has its figures in the others
            traceback.print_exc()
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
