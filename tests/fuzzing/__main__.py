"""Fuzz what reads bytes and arguments of strangers. See ``scripts/fuzz --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build/fuzz"


def shared_data() -> Path | None:
    """The recorded traffic, found as the tests find it."""
    named = os.environ.get("LLMSDK_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "wire").is_dir() else None


def guided(log: Any, inputs: int, seed: int, shared: Path | None, done: Callable[[Any], None]) -> None:
    """Inputs that libFuzzer chooses by the branches they reach. It never returns, so ``done`` is called at the last."""
    import atheris

    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        if count == 0:
            from fuzzing.engine import peak

            log.begin = peak()
        count += 1
        log.tried(data)
        if count == inputs:
            done(log)

    def changed(data: bytes, size: int, seed: int) -> bytes:
        chance = Random(seed)  # noqa: S311 - no secret
        made = atheris.Mutate(data, size) if chance.random() < 0.2 else log.target.changed(data, chance)
        return bytes(made[:size])

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(log.target.seeds(shared)):
            Path(folder, f"{number}").write_bytes(data)
            log.target(data)
        given = [
            f"-runs={inputs}",
            f"-seed={seed}",
            "-max_len=16000",
            "-len_control=0",
            "-rss_limit_mb=0",
            "-timeout=60",
        ]
        atheris.Setup([sys.argv[0], *given, "-verbosity=0", folder], one, custom_mutator=changed)
        atheris.Fuzz()


def one(name: str, inputs: int, seed: int, *, guide: bool) -> None:
    """Fuzz one target in this process, and print what came of it as JSON."""
    with _instrumented() if guide else nullcontext():
        from fuzzing import engine
        from fuzzing.targets import MAKERS

        target = MAKERS[name]()
    began = time.monotonic()

    def tell(log: Any) -> None:
        print(json.dumps(told(name, log, time.monotonic() - began)), flush=True)

    if guide:
        guided(engine.Log(target), inputs, seed, shared_data(), tell)
    else:
        tell(engine.chance(target, inputs, seed, shared_data()))


def _instrumented() -> AbstractContextManager[Any]:
    """What is imported inside tells atheris its branches."""
    import atheris

    hook: AbstractContextManager[Any] = atheris.instrument_imports(
        include=["llmsdk", "llmsdk_providers"], enable_loader_override=False
    )
    return hook


def told(name: str, log: Any, seconds: float) -> dict[str, Any]:
    """A report, with the inputs that found something in files."""
    FOUND.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(log.findings.values()):
        (FOUND / f"{name}-{number}").write_bytes(data)
    return {
        "target": name,
        "inputs": sum(log.outcomes.values()),
        "seconds": round(seconds),
        "MiB more": round(log.grown, 1),
        "findings": list(log.findings),
        "outcomes": dict(log.outcomes.most_common()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all, see tests/fuzzing/targets.py")
    parser.add_argument("--inputs", type=int, help="for each target, instead of its share of 11 million")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="choose inputs by the branches they reach, with atheris")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--again", type=Path, help="run one TARGET on the input in this file")
    given = parser.parse_args()
    if given.only:
        one(given.only, given.inputs, given.seed, guide=given.guided)
        return 0
    from fuzzing.targets import MAKERS

    if given.again:
        print(MAKERS[given.targets[0]]()(given.again.read_bytes()))
        return 0
    return together(given.targets or list(MAKERS), given)


def together(names: list[str], given: argparse.Namespace) -> int:
    """Each target in a process of its own."""
    from concurrent.futures import ThreadPoolExecutor

    from fuzzing.targets import SHARES

    def run(name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "fuzzing", "--only", name, "--inputs", str(given.inputs or SHARES[name])]
        command += ["--seed", str(given.seed), *(["--guided"] if given.guided else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"target"')]
        if not lines:
            return {
                "target": name,
                "inputs": 0,
                "seconds": 0,
                "MiB more": 0,
                "findings": [done.stderr[-3000:]],
                "outcomes": {},
            }
        report: dict[str, Any] = json.loads(lines[-1])
        return report

    bad = total = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for report in pool.map(run, names):
            print(line(report), flush=True)
            for finding in report["findings"]:
                print(f"  FOUND {finding}", flush=True)
            bad += len(report["findings"]) + (report["MiB more"] > 64)
            total += report["inputs"]
    print(f"{total:,} inputs, {bad} findings (in {FOUND})" if bad else f"{total:,} inputs, no findings")
    return int(bad > 0)


def line(report: dict[str, Any]) -> str:
    outcomes = ", ".join(f"{name} {count:,}" for name, count in [*report["outcomes"].items()][:6])
    figures = f"{report['inputs']:,} inputs, {report['seconds']} s, {report['MiB more']} MiB more"
    return f"{report['target']}: {figures}; {outcomes}"


if __name__ == "__main__":
    sys.exit(main())
