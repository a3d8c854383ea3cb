"""What a hostile host can do to memory and to the event loop: bombs, pages and heads that are far too large.

.venv/bin/python scripts/soak/bombs.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from llmsdk import AsyncClient, Client
from llmsdk.errors import LLMError
from llmsdk.testing import FaultServer, faults
from llmsdk.testing.faults import Fault

MEGABYTE = 2**20
CASES: dict[str, Callable[[], Fault]] = {
    "gzip bomb of 400 MB": lambda: faults.gzip_bomb(400, b"{"),
    "plain body of 400 MB": lambda: Fault(body=[b"{"], forever=b" " * 2**16),
    "event without end": lambda: faults.endless(),
    "JSON 100,000 deep": lambda: faults.says("[" * 100_000),
    "error page of 5 MB": lambda: faults.status(500, "<html>" + "x" * 5_000_000),
    "header of 1 MB": lambda: faults.garbage(b"HTTP/1.1 200 OK\r\nx: " + b"a" * MEGABYTE + b"\r\n\r\n{}"),
    "10,000 headers": lambda: faults.garbage(b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 10_000 + b"\r\n{}"),
}
ONCE = {"retry": {"attempts": 1}, "circuit": {"failures": 0}}


def serve(case: str, ready: Any, done: Any) -> None:
    """A host in a process of its own, so that its memory is not counted."""
    with FaultServer() as host:
        ready.put(host.config(**ONCE))
        done.get()
        host.always = CASES[case]()
        ready.put(None)
        done.get()


@contextmanager
def hosting(case: str) -> Any:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Queue(), context.Queue()
    process = context.Process(target=serve, args=(case, ready, done))
    process.start()

    def arm() -> None:
        done.put(None)
        ready.get()

    try:
        yield ready.get(), arm
    finally:
        done.put(None)
        process.join()


def resident(what: str = "VmRSS") -> float:
    """MB of this process: now, or (``VmHWM``) at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def memory(case: str, streamed: bool) -> dict[str, Any]:
    """Meet a case once, and say what it took."""
    with hosting(case) as (config, arm), Client("openai:any", config=config) as client:
        client.chat("warm up")
        with client.chat("warm up", stream=True) as stream:
            stream.result  # noqa: B018
        arm()
        Path("/proc/self/clear_refs").write_text("5")
        before, error = resident(), None
        try:
            if streamed:
                with client.chat("x", stream=True) as stream:
                    stream.result  # noqa: B018
            else:
                client.chat("x")
        except LLMError as caught:
            error = caught
        more = resident("VmHWM") - before
    assert error is not None, "no error"
    return {"case": case, "error": type(error).__name__, "text": len(error.message), "mb": more} | lag(case)


def lag(case: str) -> dict[str, float]:
    """How long an async call takes, and how long at most it computes without letting the loop turn."""
    found = {"ms": 0.0, "lag_ms": 0.0}

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await anyio.lowlevel.checkpoint()
            found["lag_ms"] = max(found["lag_ms"], (time.perf_counter() - before) * 1000)

    async def main(config: Any, arm: Callable[[], None]) -> None:
        async with AsyncClient("openai:any", config=config) as client:
            await client.chat("warm up")
            arm()
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                began = time.perf_counter()
                try:
                    await client.chat("x")
                except LLMError:
                    found["ms"] = (time.perf_counter() - began) * 1000
                group.cancel_scope.cancel()

    with hosting(case) as (config, arm):
        anyio.run(main, config, arm)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--stream", action="store_true")
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(memory(chosen.case, chosen.stream)))
        return
    print(f"{'':24}{'':8}{'error':18}{'characters':>11}{'MB more':>9}{'ms':>8}{'loop held ms':>14}")
    for case in CASES:
        for flag in ((), ("--stream",)):  # each in a fresh process: memory that was had once is not asked for again
            line = [sys.executable, __file__, "--case", case, *flag]
            one = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
            way = "stream" if flag else "plain"
            figures = f"{one['text']:>11}{one['mb']:>9.1f}{one['ms']:>8.0f}{one['lag_ms']:>14.1f}"
            print(f"{case:24}{way:8}{one['error']:18}{figures}", flush=True)


if __name__ == "__main__":
    main()
