"""Tokens a second of the local runtime and of transformers on the same random model and the same requests."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from report import Report, table

HERE = Path(__file__).parent
ENGINES = {
    "llmsdk": "llmsdk, together",
    "alone": "llmsdk, one by one",
    "generate": "`generate`, one by one",
    "static": "`generate`, in batches of 8",
    "continuous": "transformers' continuous batching",
}
NOTE = """\
32 requests of 20 to 180 tokens for replies of 16 to 96 tokens, greedy, float32, on a random Qwen3-shaped model of 5
million parameters: output tokens for each second of CPU time of a process on one core, after a warm-up request; the
best of {rounds} rounds (in brackets the median), interleaved, each in a fresh process. The ratio is to `generate` one
by one in the same round, the median again. The last column counts requests whose tokens are those of `generate`."""


def measure(rounds: int) -> Report:
    """``rounds`` times every engine, in turn."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        once("make", folder)
        for _, engine in product(range(rounds), ENGINES):
            found[engine].append(once(engine, folder))
    figures = {engine: summary(found[engine], found["generate"]) for engine in ENGINES}
    heads = ["engine", "tokens/s", "ratio", "the same"]
    rows = [[ENGINES[engine], *cells(figures[engine])] for engine in ENGINES]
    return Report(table(heads, rows, NOTE.format(rounds=rounds)), figures)


def once(engine: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "local_worker.py"), engine, folder]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def summary(runs: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [sum(map(len, run["tokens"])) / run["seconds"] for run in runs]
    ratio = median(theirs["seconds"] / ours["seconds"] for ours, theirs in zip(runs, reference, strict=True))
    pairs = zip(runs[0]["tokens"], reference[0]["tokens"], strict=True)
    same = sum(ours == theirs for ours, theirs in pairs)
    return {"best": max(rates), "median": median(rates), "ratio": ratio, "same": same, "of": len(runs[0]["tokens"])}


def cells(figures: dict[str, Any]) -> list[str]:
    rate = f"{figures['best']:.0f} ({figures['median']:.0f})"
    return [rate, f"{figures['ratio']:.2f}x", f"{figures['same']}/{figures['of']}"]
