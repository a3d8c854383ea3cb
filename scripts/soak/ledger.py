"""The ledger under fire: writers killed at any moment, a budget that many processes race for; and what a row costs.

.venv/bin/python scripts/soak/ledger.py kills --count 1000 --processes 16
.venv/bin/python scripts/soak/ledger.py race --processes 8 --tasks 64 --on asyncio  (or trio, or threads)
.venv/bin/python scripts/soak/ledger.py cost
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio

from llmsdk.accounting.budget import Budget
from llmsdk.accounting.ledger import Ledger
from llmsdk.accounting.prices import load
from llmsdk.errors import BudgetExceeded
from llmsdk.io import IO
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO
from llmsdk.results import Attempt
from llmsdk.types import Usage


def open_row(ledger: Ledger, bound: Usage, *tags: str) -> Attempt:
    """A row that stands in the file."""
    return drive(ledger.reserve("openai", "gpt-4.1-mini", "generate", bound=bound, io=SyncIO(), tags=tags))


def write(path: Path, seed: int) -> None:
    """Open and settle rows until killed, telling of each that stands: ``open ID`` once it may be sent, ``done ID``."""
    chance, ledger, rows = random.Random(seed), Ledger(path), []
    while True:
        row = open_row(ledger, Usage(10, 20), "soak")
        tell("open", row.id)
        rows.append(row)
        if chance.random() < 0.7:
            chosen = rows.pop(chance.randrange(len(rows)))
            ledger.settle(chosen, "exact", Usage(5, 6), seconds=0.1)
            if chance.random() < 0.2:
                assert ledger._book is not None
                ledger._book.flush()
                tell("done", chosen.id)


def tell(what: str, row: str) -> None:
    os.write(1, f"{what} {row}\n".encode())


def kills(count: int, processes: int, folder: Path) -> Counter[str]:
    """Kill ``count`` writers, ``processes`` at a time alive, and compare the file with what they had told."""
    path, chance = folder / "usage.db", random.Random(0)
    alive: list[tuple[subprocess.Popen[bytes], Path]] = []
    logs: list[Path] = []
    for number in range(count):
        while len(alive) < processes:
            log = folder / f"{number}-{len(logs)}.log"
            logs.append(log)
            with log.open("wb") as out:
                command = [sys.executable, __file__, "write", "--path", str(path), "--seed", str(len(logs))]
                alive.append((subprocess.Popen(command, stdout=out), log))
        victim, log = alive.pop(chance.randrange(len(alive)))
        while not log.stat().st_size and victim.poll() is None:  # it has begun to write
            time.sleep(0.01)
        time.sleep(chance.random() * 0.02)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    for victim, _ in alive:
        victim.kill()
        victim.wait()
    return verdict(path, logs)


def verdict(path: Path, logs: list[Path]) -> Counter[str]:
    """What of that which stood is lost, doubled or unreadable; and whether the sums are those of the rows."""
    with closing(sqlite3.connect(path)) as connection:
        before = {row for (row,) in connection.execute("SELECT id FROM attempts WHERE settled IS NULL")}
    heir = Ledger(path)  # whoever writes next buries the dead
    heir.settle(open_row(heir, Usage(1, 1)), "none", None, seconds=0)
    heir.close()
    with closing(sqlite3.connect(path)) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        rows = dict(connection.execute("SELECT id, settled FROM attempts"))
        (kept,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
        counted = connection.execute(
            "SELECT sum(CASE settled WHEN 'none' THEN 0 WHEN 'exact' THEN input + output ELSE held_tokens END)"
            " FROM attempts"
        ).fetchone()
        summed = connection.execute("SELECT sum(tokens) FROM sums WHERE tag = ''").fetchone()
    told = [line.split() for log in logs for line in log.read_text().splitlines() if line.count(" ") == 1]
    opened = {row for what, row in told if what == "open"}
    done = {row for what, row in told if what == "done"}
    return Counter(
        rows=kept,
        told=len(told),
        orphans=len(before),
        lost=len(opened - rows.keys()) + sum(rows.get(row) != "exact" for row in done),
        doubled=kept - len(rows),
        still_open=sum(settled is None for settled in rows.values()),
        buried_wrongly=sum(rows[row] != "upper_bound" for row in before),
        unreadable=int(sound != "ok"),
        sums_off=abs(counted[0] - summed[0]),
    )


# --- a race for one budget --------------------------------------------------------------------------------------


def spend(path: Path, tasks: int, usd: str, on: str) -> None:
    """``tasks`` tasks or threads spend as much of the budget as they get, all of what they set aside."""
    ledger = Ledger(path, (Budget(usd=usd),))
    print(_on_threads(ledger, tasks) if on == "threads" else anyio.run(_on_a_loop, ledger, tasks, backend=on))
    ledger.close()


def _on_threads(ledger: Ledger, tasks: int) -> int:
    with ThreadPoolExecutor(tasks) as pool:
        return sum(pool.map(lambda number: drive(_spender(ledger, SyncIO())), range(tasks)))


async def _on_a_loop(ledger: Ledger, tasks: int) -> int:
    io = LoopIO()
    return sum(await io.gather([partial(_spender, ledger, io)] * tasks, tasks))


async def _spender(ledger: Ledger, io: IO) -> int:
    got, bound = 0, Usage(10, 21)
    while True:
        try:
            row = await ledger.reserve("openai", "gpt-4.1-mini", "generate", bound=bound, io=io)
        except BudgetExceeded as error:
            if not error.unit:  # the file could not be written, which is another matter
                raise
            return got
        ledger.settle(row, "exact", bound, seconds=0)
        got += 1


def race(processes: int, tasks: int, usd: str, on: str, folder: Path) -> dict[str, object]:
    """All processes at once; what they got, and what the file says was spent."""
    path = folder / "usage.db"
    given = ["--path", str(path), "--tasks", str(tasks), "--usd", usd, "--on", on]
    command = [sys.executable, __file__, "spend", *given]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    got = sum(int(process.communicate()[0]) for process in running)
    ledger = Ledger(path)
    spent, rows = ledger.total.cost, ledger.total.requests
    ledger.close()
    over = max(spent - Decimal(usd), Decimal(0))
    return {"attempts": got, "rows": rows, "spent": str(spent), "budget": usd, "overspent": str(over)}


# --- what a row costs -------------------------------------------------------------------------------------------


def cost() -> dict[str, str]:
    """Microseconds of CPU for a row in memory, reserved and settled; and the milliseconds of sums over 11,000 rows."""
    load()
    ledgers = [Ledger() for _ in range(5)]
    young = min(_rows(ledger, 10_000) for ledger in ledgers)
    old = min(_rows(ledger, 10_000) for ledger in ledgers)
    dollars = min(_rows(Ledger(), 2_000, Budget(usd=10**6)) for _ in range(5))
    began = time.process_time()
    ledgers[0].by("model")
    sums = time.process_time() - began
    figures = {"row": young, "with a budget in dollars": dollars, "after 10,000 rows": old, "sums, ms": sums * 1e3}
    return {name: f"{figure:.1f}" for name, figure in figures.items()}


def _rows(ledger: Ledger, count: int, *budgets: Budget) -> float:
    async def work() -> None:
        for _ in range(count):
            row = await ledger.reserve("openai", "gpt-4.1-mini", "generate", bound=bound, io=io, budgets=budgets)
            ledger.settle(row, "exact", bound, seconds=0.1)

    bound, io = Usage(10, 20), SyncIO()
    began = time.process_time()
    drive(work())
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "race", "cost", "write", "spend"])
    parser.add_argument("--path", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--usd", default="0.05")
    parser.add_argument("--on", choices=["asyncio", "trio", "threads"], default="asyncio")
    given = parser.parse_args()
    if given.what == "write":
        write(given.path, given.seed)
    elif given.what == "spend":
        spend(given.path, given.tasks, given.usd, given.on)
    elif given.what == "cost":
        print(cost())
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = (
                kills(given.count, given.processes, Path(folder))
                if given.what == "kills"
                else race(given.processes, given.tasks, given.usd, given.on, Path(folder))
            )
        print(dict(found))


if __name__ == "__main__":
    main()
