"""Figures as a Markdown table, and where they were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Report:
    markdown: str
    figures: Any


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> str:
    """A table whose first column is text and whose others are numbers, and a note below it."""
    rule = "|".join(["---", *("---:" for _ in heads[1:])])
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{rule}|", *lines, "", note, ""])


def machine() -> str:
    """The date and the machine, in one line."""
    when = datetime.now(UTC).date().isoformat()
    system = f"{platform.system()} {platform.machine()}"
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{when}, {platform.python_implementation()} {platform.python_version()}, {system}, {_cpu()}{load}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    model = names[0].partition(":")[2].strip() if names else platform.processor() or "unknown processor"
    return f"{os.cpu_count()} cores of {model}"


def write(name: str, text: str) -> None:
    """Put ``text`` between the marks of ``name`` in docs/performance.md, or at its end where it has none yet."""
    begin, end = f"<!-- bench {name} -->", f"<!-- /bench {name} -->"
    old = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else "# Performance\n"
    before, _, rest = old.partition(begin)
    after = rest.partition(end)[2] if rest else "\n"
    before = before if rest else f"{before.rstrip()}\n\n"
    DOCUMENT.write_text(f"{before}{begin}\n{text}{end}{after}", "utf-8")
