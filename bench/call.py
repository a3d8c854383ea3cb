"""A call beside httpx2 alone, in many short turns: what the machine does meanwhile then falls on both alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles

from overhead import BASE, Mode, Told, alternated, found, paired, titled
from report import Report, table

CLIENTS = (BASE, "llmsdk.io", "llmsdk")
MODES = (
    Mode("sync", "blocking", 100),
    Mode("async", "asyncio", 100),
    Mode("prompt", "1 MB prompt", 5),
)
TURNS = 25
"""Of each client in each mode, for each round that is asked for: ten seconds."""
NOTE = """\
Microseconds of the client process's CPU for a call, the least of {turns} turns of {counts} calls that
go through the clients one after the other; and of the ratios to httpx2's turn beside it the median, and in brackets the
quarters between which half of them lie. All else is as in the table of all clients."""


def measure(rounds: int) -> Report:
    """``TURNS`` turns of each, ``rounds`` times."""
    pythons = found(CLIENTS)
    figures = alternated(pythons, MODES, rounds * TURNS)
    rows = [[title, *(cell(figures[name][mode.name], figures[BASE][mode.name]) for mode in MODES)]
            for name, title in titled(pythons).items()]  # fmt: skip
    note = NOTE.format(turns=rounds * TURNS, counts=", ".join(str(mode.count) for mode in MODES))
    return Report(table(["client", *(mode.title for mode in MODES)], rows, note), figures)


def cell(told: Sequence[Told], base: Sequence[Told]) -> str:
    pairs = paired(told, base)
    low, middle, high = quantiles((mine / other for mine, other in pairs), n=4)
    return f"{min(pairs)[0]:,.0f} {middle:.2f}x ({low:.2f} to {high:.2f})"
