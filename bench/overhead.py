"""CPU time of one buffered call and of one streamed chunk: bare httpx2, openai, and ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from environments import environment, purelib, with_us
from report import Report, table
from server import CHUNKS, streamed

HERE = Path(__file__).parent
CLIENTS = ("httpx2", "openai", "llmsdk")
KINDS = [("sync", "call"), ("async", "call"), ("sync", "stream"), ("async", "stream")]
COUNT = {"call": 150, "stream": 2}
NOTE = """\
Microseconds of the client process's CPU for one buffered chat call, and for one chunk of a streamed one (2000 chunks of
about {size} bytes in one burst), one at a time over plain HTTP kept alive on loopback: the least of {rounds} rounds (in
brackets the median), interleaved, each in a fresh process, client and server on a core each, every answer checked. The
ratio is to bare httpx2 in the same round (the median again), which posts a dict and reads `choices[0]`, or splits lines
and parses JSON, and does nothing else: no types, no retries, no usage, no ledger, no deadline."""


@contextmanager
def server() -> Iterator[str]:
    """The canned server; its base URL."""
    command = [sys.executable, str(HERE / "server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.stdin.close()


def measure(rounds: int) -> Report:
    """``rounds`` times every client and kind of call, in turn."""
    python = with_us(environment("overhead", ["openai"]))
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with server() as url:
        for _, (face, kind), client in product(range(rounds), KINDS, CLIENTS):
            seconds[client, face, kind].append(once(python, client, face, kind, url))
    figures = {
        client: {f"{face} {kind}": summary(seconds[client, face, kind], seconds["httpx2", face, kind])
                 for face, kind in KINDS}
        for client in CLIENTS
    }  # fmt: skip
    heads = ["client", "sync call", "async call", "sync chunk", "async chunk"]
    rows = [[f"{client} {version(python, client)}", *map(cell, figures[client].values())] for client in CLIENTS]
    return Report(table(heads, rows, NOTE.format(rounds=rounds, size=len(streamed()) // CHUNKS)), figures)


def once(python: Path, client: str, face: str, kind: str, url: str) -> float:
    command = [str(python), str(HERE / "worker.py"), client, face, kind, url, str(COUNT[kind])]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def summary(seconds: list[float], bare: list[float]) -> dict[str, Any]:
    """Least and median, and the median of the ratios within a round: what else the machine does moves both alike."""
    ratio = median(ours / theirs for ours, theirs in zip(seconds, bare, strict=True))
    microseconds = [value * 1e6 for value in seconds]
    return {"min_us": min(microseconds), "median_us": median(microseconds), "ratio": ratio, "us": microseconds}


def cell(figures: dict[str, Any]) -> str:
    digits = 0 if figures["min_us"] >= 100 else 1
    return f"{figures['min_us']:.{digits}f} ({figures['median_us']:.{digits}f}) {figures['ratio']:.2f}x"


def version(python: Path, name: str) -> str:
    found = {item.name: item.version for item in distributions(path=[str(purelib(python))])}
    return found[name]
