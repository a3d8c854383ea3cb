"""``scripts/bench``: runs the benchmarks that are asked for, all of them by default, and prints their tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import call
import gpu
import imports
import install
import layers
import local
import overhead
from report import Report, machine, write

ALL: dict[str, Callable[..., Report]] = {
    "import": imports.measure,
    "overhead": overhead.measure,
    "call": call.measure,
    "layers": layers.measure,
    "install": install.measure,
    "local": local.measure,
    "gpu": gpu.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("names", nargs="*", metavar="import|overhead|call|layers|install|local|gpu", default=[])
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each measurement (9, of quick ones 1)")
    parser.add_argument("--quick", action="store_true", help="overhead in short rounds, to see where one is")
    parser.add_argument("--json", type=Path, help="also keep the figures in this file")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    rounds = options.rounds or (1 if options.quick else 9)
    setting = machine()
    print(setting, end="\n\n", flush=True)
    figures: dict[str, object] = {"machine": setting}
    for name in options.names or ALL:
        report = overhead.measure(rounds, quick=options.quick) if name == "overhead" else ALL[name](rounds)
        figures[name] = report.figures
        print(report.markdown, flush=True)
        if options.write:
            write(name, f"{setting}\n\n{report.markdown}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


main()
