"""Calls into event loops from other threads, gathered so that a loop on which many wait is woken once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

Call = Callable[[], object]
Soon = Callable[[Call], Any]
"""How a loop is told to call something, from any thread."""


class _Gathered(threading.local):
    calls: dict[Soon, list[Call]] | None = None


_HERE = _Gathered()


@contextlib.contextmanager
def gathered() -> Iterator[None]:
    """What this thread has loops call meanwhile, they are told at the end, each all of it at once."""
    calls: dict[Soon, list[Call]] = {}
    _HERE.calls = calls
    try:
        yield
    finally:
        _HERE.calls = None
        for soon, waiting in calls.items():
            _tell(soon, waiting)


def call(soon: Soon, what: Call) -> None:
    """Have a loop call something. One that is gone needs no telling."""
    if _HERE.calls is None:
        _tell(soon, [what])
    else:
        _HERE.calls.setdefault(soon, []).append(what)


def _tell(soon: Soon, calls: Sequence[Call]) -> None:
    with contextlib.suppress(RuntimeError):  # of a loop that is closed; trio.RunFinishedError is one
        soon(partial(_call_all, calls))


def _call_all(calls: Sequence[Call]) -> None:
    for each in calls:
        each()
