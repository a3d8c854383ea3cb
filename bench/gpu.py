"""What a GPU does with the local engine: where there is one. Seconds on its clock, as ratios."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from report import Report, table

HERE = Path(__file__).parent
WORKS = (
    ("token", "0.6b", "a token of one reply, 0.6B", {"generate": "`generate`", "plain": "", "ours": "llmsdk"}),
    ("token", "8b", "a token of one reply, 8B", {"generate": "`generate`", "plain": "", "ours": "llmsdk"}),
    (
        "mixed",
        "0.6b",
        "a token of 256 mixed replies, 0.6B",
        {
            "generate": "`generate`, one by one",
            "continuous": "transformers' continuous batching",
            "plain": "",
            "ours": "llmsdk",
        },
    ),
)
PLAIN = "llmsdk, no graphs, nothing ahead"
NOTE = """\
{name}, bfloat16, random untied Qwen3-shaped models. Milliseconds on the clock, the least of {rounds} rounds, each in a
fresh process; how many times faster than the first line of each work; and the weights read for it, as a share of the
{bandwidth:,.0f} GB/s that the GPU reads when it only reads. Mixed requests have 64 to 512 tokens and replies of 64 to
256; one by one they are only the first 8."""


def measure(rounds: int) -> Report:
    """Every engine of every work in turn; nothing where there is no GPU."""
    here = once("machine", "-", "-")
    if here["name"] is None:
        return Report("There is no CUDA device here: nothing was measured.\n", None)
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"machine": here}
    for work, size, what, engines in WORKS:
        runs = {engine: [once(work, engine, size) for _ in range(min(rounds, 3))] for engine in engines}
        best = {engine: min(found, key=lambda run: run["value"]) for engine, found in runs.items()}
        first = next(iter(best.values()))["value"]
        for n, (engine, found) in enumerate(best.items()):
            share = f"{found['rate'] / here['bandwidth']:.0%}" if "rate" in found else ""
            shown = [f"{found['value']:.3g}", f"{first / found['value']:.2f}x", share]
            rows.append(["" if n else what, engines[engine] or PLAIN, *shown])
        figures[f"{work} {size}"] = runs
    note = NOTE.format(name=here["name"], rounds=min(rounds, 3), bandwidth=here["bandwidth"] / 1e9)
    return Report(table(["work", "engine", "ms", "ratio", "of the bandwidth"], rows, note), figures)


def once(work: str, engine: str, size: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "gpu_worker.py"), work, engine, size]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result
