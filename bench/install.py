"""How much an installation brings along: distributions, and megabytes without bytecode."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

from environments import peers, purelib
from report import Report, table

NOTE = """\
A clean environment for each, and what `pip install NAME` puts there (any-llm-sdk with its `openai` extra, without which
it can talk to nobody): distributions, and MB (10^6 bytes) of files without bytecode, the package's own and in all."""


def measure(rounds: int) -> Report:
    """Count; ``rounds`` makes no difference to it."""
    del rounds
    figures = {name: count(purelib(python), name) for name, python in peers().items()}
    rows = [(f"`{name}` {f['version']}", f["distributions"], f"{f['own_mb']:.1f}", f"{f['mb']:.1f}")
            for name, f in figures.items()]  # fmt: skip
    return Report(table(["installed", "distributions", "own MB", "MB in all"], rows, NOTE), figures)


def count(site: Path, name: str) -> dict[str, object]:
    found = {item.name: item for item in distributions(path=[str(site)])}
    sizes = {item.name: sum(size(site / file) for file in item.files or ()) for item in found.values()}
    return {
        "version": found[name].version,
        "distributions": len(found),
        "own_mb": sizes[name] / 1e6,
        "mb": sum(sizes.values()) / 1e6,
    }


def size(file: Path) -> int:
    return file.stat().st_size if file.suffix != ".pyc" and file.is_file() else 0
