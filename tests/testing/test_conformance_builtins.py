"""Every built-in provider keeps the contract, and the matrix of docs/providers/index.md is what came out.

``LLMSDK_TEST_UPDATE_DOCS=1`` writes the rows anew, to be read before they are committed.
"""

from __future__ import annotations

import importlib.util
import os
import re
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from servers.backends import BACKENDS, HostBackend

from llmsdk.registry import BUILT_IN
from llmsdk.testing import conformance
from llmsdk_providers.openai.hosts import HOSTS

PAGE = Path(__file__).parents[2] / "docs/providers/index.md"
DIALECTS = sorted({*BUILT_IN} - {*HOSTS})
FEW = ("deepseek", "groq", "vllm")
"""Hosts that speak a dialect which is tried anyway; all of them with ``LLMSDK_TEST_ALL_HOSTS=1``, 10 seconds each."""
TRIED = sorted(HOSTS) if os.environ.get("LLMSDK_TEST_ALL_HOSTS") else FEW
COLUMNS = {
    "`complete`": r"verb\.complete\.", "`chat`": r"verb\.chat\.", "`translate`": r"verb\.translate\.",
    "`answer`": r"verb\.answer\.", "`classify`": r"verb\.classify\.", "streams": r"stream\.\w+\.|leaving\.",
    "tools": r"reply\.tool", "`output=`": r"verb\.output", "reasoning": r"reply\.reasoning",
    "logprobs": r"reply\.logprobs", "`embed`": r"more\.embeds", "`models`": r"more\.lists",
    "`count_tokens`": r"more\.counts",
}  # fmt: skip
"""The columns of the matrix, each with the rules that it sums up."""
IN_PROCESS = {"local": "pocket"}


@cache
def report(name: str) -> conformance.Report:
    """What the suite says of a built-in provider."""
    if name in IN_PROCESS and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch (extra [local])")
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    backend = None if name in IN_PROCESS else BACKENDS.get(name, HostBackend)
    return conformance.run(kind, backend, model=IN_PROCESS.get(name))


def test_every_dialect_is_tried() -> None:
    assert [*DIALECTS] == sorted({*BACKENDS, *IN_PROCESS})


@pytest.mark.parametrize("name", [*DIALECTS, *TRIED])
def test_it_keeps_the_contract(name: str) -> None:
    found = report(name)
    assert found.ok, str(found)
    assert len(found.of("passed")) > (30 if name in IN_PROCESS else 60)


# --- the matrix -----------------------------------------------------------------------------------------------------


def cell(found: conformance.Report, pattern: str) -> str:
    """``passed`` if a rule passed and none failed; else why not."""
    results = [result for result in found.results if re.match(pattern, result.case.name)]
    outcomes = {result.outcome for result in results}
    if "failed" in outcomes:
        return "failed"
    if "passed" in outcomes:
        return "passed"
    return "not tried" if any(result.reason.startswith("needs a host") for result in results) else "not offered"


def row(name: str) -> str:
    found = report(name)
    return f"| `{name}` | {' | '.join(cell(found, pattern) for pattern in COLUMNS.values())} |"


def written() -> dict[str, str]:
    """The matrix on the page, a line a name."""
    page = PAGE.read_text(encoding="utf-8")
    block = page[page.index("<!-- conformance -->\n") : page.index("<!-- /conformance -->")]
    return {line.split("`")[1]: line for line in block.splitlines() if line.startswith("| `")}


def write(rows: dict[str, str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index("<!-- conformance -->\n"), page.index("<!-- /conformance -->")
    lines = [
        "<!-- conformance -->",
        head(),
        "|" + " --- |" * (len(COLUMNS) + 1),
        *(rows[name] for name in sorted(rows)),
    ]
    PAGE.write_text(page[:begin] + "\n".join([*lines, ""]) + page[end:], encoding="utf-8")


def head() -> str:
    return f"| | {' | '.join(COLUMNS)} |"


@pytest.mark.parametrize("name", DIALECTS)
def test_its_row_of_the_matrix_is_what_came_out(name: str) -> None:
    expected = row(name)
    if os.environ.get("LLMSDK_TEST_UPDATE_DOCS"):
        write({**{key: line for key, line in written().items() if key in DIALECTS}, name: expected})
        return
    assert written().get(name) == expected, "LLMSDK_TEST_UPDATE_DOCS=1 writes it anew; read it before it is committed"


def test_the_matrix_has_a_row_for_each_dialect_and_no_other() -> None:
    assert [*written()] == DIALECTS
    assert head() in PAGE.read_text(encoding="utf-8")
