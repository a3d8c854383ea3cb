"""Many calls to a host with faults: the ledger must say what the host knows, and nothing may be left behind.

.venv/bin/python scripts/soak/calls.py books --calls 100000
.venv/bin/python scripts/soak/calls.py cancels --calls 20000 --loop trio
.venv/bin/python scripts/soak/calls.py cancels --calls 20000 --hedge 0.005
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from llmsdk import AsyncClient
from llmsdk.errors import LLMError
from llmsdk.health import FULL
from llmsdk.results import Attempt
from llmsdk.testing import FaultServer, faults
from llmsdk.testing.faults import Fault
from llmsdk.testing.server import Received

FAULTY = 0.05
"""Share of the requests that meet a fault."""
LEFT = 0.02
"""Share of the streams that the caller leaves."""
BATCH = 2_000
"""Calls between two looks at the books; the ledger keeps 10,000 rows."""
AT_ONCE = 32
MOST = 64
"""``max_tokens`` of each call."""


class Chancy(FaultServer):
    """A host with faults by chance."""

    def __init__(self, faulty: float, delay: float = 0.0) -> None:
        super().__init__(lambda request: "word " * random.Random(request.body).randint(1, 40))
        self.faulty = faulty
        self.delay = delay
        self.chance = random.Random(0)

    def _next_fault(self, request: Received) -> Fault:
        if self.chance.random() >= self.faulty:
            return faults.slow(self.chance.random() * self.delay) if self.delay else Fault()
        after = self.chance.randint(1, 900)
        kinds = (
            faults.reset(after=after), faults.close(after=after), faults.cut(after), faults.status(500),
            faults.garbage(), faults.says(b"<html>"), faults.close(), faults.reset(),
        )  # fmt: skip
        return self.chance.choice(kinds)

    def truth(self) -> dict[str, list[tuple[int, int]]]:
        """What was run for each call, by its tag; then it is forgotten."""
        known: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in self.served:
            number = int(row.request.json["messages"][-1]["content"].split()[-1])
            known[str(number % BATCH)].append((row.input_tokens, row.output_tokens))
        self.clear()
        return dict(known)


def serve(pipe: Any, faulty: float, delay: float) -> None:
    with Chancy(faulty, delay) as host:
        pipe.send(host.config())
        while pipe.recv() == "truth":
            pipe.send((host.truth(), host.open_connections))


@contextmanager
def host(faulty: float, delay: float = 0.0) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A host in a process of its own: the pipe to it, and the configuration of a client."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, faulty, delay), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours, {**ours.recv(), "circuit": {"failures": 0}}
    finally:
        ours.send("end")
        process.join()


# --- the books --------------------------------------------------------------------------------------------------


async def call(client: AsyncClient, number: int) -> None:
    chance = random.Random(number)
    # The ledger sums up by tags for good, so there are no more of them than calls in a batch.
    options: dict[str, Any] = {"tags": [str(number % BATCH)], "max_tokens": MOST, "retry": 1}
    prompt = f"tell me about number {number}"
    try:
        if chance.random() < 0.5:
            await client.chat(prompt, **options)
            return
        leave = chance.random() < LEFT
        async with client.chat(prompt, stream=True, **options) as stream:
            async for event in stream:
                if leave and event.text:
                    break
    except LLMError:
        pass


async def batch(client: AsyncClient, numbers: range) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await call(client, number)

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(work)


def compared(rows: tuple[Attempt, ...], truth: dict[str, list[tuple[int, int]]]) -> Counter[str]:
    """The rows of a batch, by how they were settled, and how many do not agree with what the host knows."""
    found: Counter[str] = Counter(row.settled or "open" for row in rows)
    ran: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows:
        if row.settled != "none":
            ran[row.tags[0]].append(row)
    for number in ran.keys() | truth.keys():
        told, runs = ran[number], truth.get(number, [])
        # A row of "none" is true if the host knows of no run beside those of the other rows.
        if len(told) > 1 or len(runs) > len(told) or (told and not agrees(told[0], runs)):
            found["wrong"] += 1
            print("wrong:", told, runs)
    return found


def agrees(row: Attempt, runs: list[tuple[int, int]]) -> bool:
    if not runs or row.usage is None:
        return row.settled == "upper_bound" and not runs  # it may have run, and did not
    (read, written), used = runs[0], (row.usage.input_tokens or 0, row.usage.output_tokens or 0)
    if row.settled == "exact":
        return used == (read, written)
    if row.settled == "estimated":  # of a broken stream: not more than went out
        return used[1] <= written
    return used[0] >= read and used[1] >= written


def resident() -> float:
    """MiB of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def files() -> int:
    """Open files and sockets of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def books(calls: int, show: bool = True) -> Counter[str]:
    """Compare the ledger with the host's own books, batch by batch."""
    total: Counter[str] = Counter()
    with host(FAULTY) as (pipe, config):
        async with AsyncClient("openai:any", config=config) as client:
            for start in range(0, calls, BATCH):
                numbers = range(start, min(start + BATCH, calls))
                began = time.time()
                await batch(client, numbers)
                await anyio.sleep(0.2)  # what was left goes on being sent for a moment
                pipe.send("truth")
                truth, _ = pipe.recv()
                rows = tuple(row for row in client.ledger.rows if row.at >= began)
                total += compared(rows, truth)
                total["calls"] += len(numbers)
                if show and start % (10 * BATCH) == 0:
                    print(total["calls"], f"{resident():.1f} MiB", f"{files()} files", flush=True)
            assert client.ledger.open == ()
    return total


# --- cancelling -------------------------------------------------------------------------------------------------


async def cancels(calls: int, hedge: float | None = None, connections: int = 10) -> Counter[str]:
    """Cancel calls at random moments, and see that the pool of connections is whole."""
    found: Counter[str] = Counter()
    longest = 0.03 if hedge is None else 0.2  # so that some of the hedged end as well
    with host(0.0, delay=0.01) as (pipe, config):
        config["providers"]["openai"]["max_connections"] = connections
        async with AsyncClient("openai:any", config=config, hedge=hedge) as client:
            quota = client._core.shared.health(client._core.shared.registry.provider("openai")).quota

            async def cancelled(number: int) -> None:
                with anyio.move_on_after(random.Random(number).random() * longest):
                    await call(client, number)
                    found["ended"] += 1
                found["calls"] += 1

            for start in range(0, calls, 64):
                quota.give(FULL)  # as many hedges as there can be
                async with anyio.create_task_group() as group:
                    for number in range(start, min(start + 64, calls)):
                        group.start_soon(cancelled, number)
            with anyio.fail_after(30):
                async with anyio.create_task_group() as group:
                    for number in range(connections * 4):
                        group.start_soon(partial(client.chat, f"still there {number}"))
            found["afterwards"] = connections * 4
            found["open rows"] = len(client.ledger.open)
            found["attempts"] = sum(client.ledger.counts.values())
        await anyio.sleep(0.2)
        pipe.send("truth")
        found["connections left"] = pipe.recv()[1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["books", "cancels"])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--hedge", type=float, help="seconds, for cancels")
    given = parser.parse_args()
    work = books if given.what == "books" else partial(cancels, hedge=given.hedge)
    print(dict(anyio.run(work, given.calls, backend=given.loop)))


if __name__ == "__main__":
    main()
