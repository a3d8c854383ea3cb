"""Mutation testing, by mutmut, of the parts where a mistake costs money or a secret. Run it by ``scripts/mutate``.

Each part has its files and the tests that belong to them. Survivors are printed with what was changed; those that
change nothing that anybody can see are described in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build/mutation"
KILLED = {1: "killed", 3: "killed", 36: "timed out", -24: "timed out", 24: "timed out", 152: "timed out"}
NO_TESTS = 33
MUTMUT = Path(sys.executable).with_name("mutmut")
SAME = r"\b(PRAGMA|SELECT|INSERT|UPDATE|DELETE|VALUES|WHERE|CREATE|SET|AND|FROM|utf-8)\b"


class Part(NamedTuple):
    """What is changed, and the tests that should see it."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    """Functions that are called at import, when mutmut has not chosen a mutant yet."""


LEDGER, BUDGET, FILE, TABLES = (
    f"tests/accounting/test_{name}.py" for name in ("ledger", "budget", "ledger_file", "ledger_tables")
)
SLOW = (
    f"{FILE}::test_no_word_of_a_prompt_or_reply_comes_in",
    f"{FILE}::test_tasks_of_a_loop_write_without_holding_it_up",
    f"{FILE}::test_killed_writers_lose_and_double_nothing",
    f"{FILE}::test_processes_that_race_for_a_budget_do_not_overspend_it",
    f"{BUDGET}::test_no_budget_costs_no_look_at_prices",
)
"""Tests that take long or need the local runtime, and see nothing here that others do not."""
PARTS = {
    "retry": Part(
        ("pipeline/retry.py", "io/retry_after.py", "health.py"),
        (
            "tests/pipeline/test_retry.py", "tests/pipeline/test_circuit.py", "tests/pipeline/test_idempotency.py",
            "tests/pipeline/test_spread.py", "tests/io/test_retry_after.py",
        ),
        built=("x_retry__",),
    ),
    "sse": Part(
        ("io/sse.py", "io/ndjson.py", "io/eventstream.py"),
        ("tests/io/test_sse.py", "tests/io/test_ndjson.py", "tests/io/test_eventstream.py"),
        ("tests/io/test_sse.py::test_an_event_of_many_short_lines_takes_no_more_memory_than_a_long_line",),
    ),
    "redact": Part(("io/redact.py",), ("tests/io/test_redact.py",)),
    "ledger": Part(("accounting/ledger.py", "accounting/sums.py"), (LEDGER, FILE, BUDGET), SLOW),
    "budget": Part(("accounting/budget.py",), (BUDGET, LEDGER), SLOW),
    "book": Part(("accounting/book.py", "accounting/tables.py"), (FILE, TABLES), SLOW),
}  # fmt: skip


def prepare(name: str) -> Path:
    """A folder with the tree as mutmut wants to find it, and nothing of earlier runs."""
    part, folder = PARTS[name], WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    for each in ("src", "providers", "tests", "scripts"):
        shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/llmsdk/{file}" for file in part.files],
        "also_copy": ["scripts"],
        "pytest_add_cli_args_test_selection": list(part.tests),
        "pytest_add_cli_args": ["--hypothesis-profile=ci", *(f"--deselect={test}" for test in part.without)],
        "timeout_multiplier": 3.0,
        "timeout_constant": 3.0,
    }
    pytest = (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.pytest.ini_options]")[2]
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = "\n".join(["[tool.mutmut]", *lines, f"[tool.pytest.ini_options]{pytest}"])
    (folder / "pyproject.toml").write_text(text, "utf-8")
    (folder / "mutants/src").mkdir(parents=True)  # what is not there when Python starts is not looked at again
    return folder


def surroundings(folder: Path) -> dict[str, str]:
    """The environment in which the copy is imported, and not the checkout."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "mutants/src"), str(folder / "providers")])}


def verdicts(folder: Path) -> Iterator[tuple[str, str | None]]:
    """What became of each mutant; ``None`` where it was not tried."""
    for found in sorted((folder / "mutants").rglob("*.meta")):
        for mutant, code in json.loads(found.read_text("utf-8"))["exit_code_by_key"].items():
            yield (
                mutant,
                None if code is None else "survived" if code in (0, NO_TESTS) else KILLED.get(code, f"exit {code}"),
            )


def shown(mutant: str, folder: Path) -> list[str]:
    """The lines that a mutant changes."""
    done = subprocess.run([MUTMUT, "show", mutant], cwd=folder, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def is_the_same(lines: list[str]) -> bool:
    """Whether only the case of SQL changed, or of the name of an encoding."""
    before, after = ("".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
    return before != after and before.lower() == after.lower() and re.search(SAME, before) is not None


def notices(mutant: str, part: Part, folder: Path) -> bool:
    """Whether the tests fail in a process of its own, where also that is changed which is built at import."""
    environment = surroundings(folder) | {"MUTANT_UNDER_TEST": mutant}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]
    command += [*part.tests, *(f"--deselect={test}" for test in part.without)]
    try:
        done = subprocess.run(
            command, cwd=folder / "mutants", env=environment, capture_output=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def run(name: str, jobs: int) -> bool:
    """Whether enough was seen."""
    part, folder = PARTS[name], prepare(name)
    environment = surroundings(folder)
    with (folder / "log").open("w") as log:
        command = [MUTMUT, "run", "--max-children", str(jobs)]
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    found = dict(verdicts(folder))
    if not found or None in found.values():
        sys.exit(f"{name}: mutmut did not get to the end, see {folder / 'log'}")
    for mutant in [mutant for mutant, verdict in found.items() if verdict == "survived"]:
        lines = shown(mutant, folder)
        if is_the_same(lines):
            del found[mutant]
        elif any(built in mutant for built in part.built) and notices(mutant, part, folder):
            found[mutant] = "killed in a process of its own"
        else:
            print("\n".join([f"# {mutant}", *lines]))
    counts = Counter(found.values())
    share = 1 - counts["survived"] / len(found)
    print(f"{name}: {len(found)} mutants, {share:.1%} noticed; {dict(counts)}", flush=True)
    return share >= 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    arguments = parser.parse_args()
    enough = [run(part, arguments.jobs) for part in arguments.parts]
    sys.exit(not all(enough))


if __name__ == "__main__":
    main()
