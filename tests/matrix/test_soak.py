"""Short forms of ``scripts/soak``: the ledger says what the host knows, and calls that are held or cancelled end."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "scripts" / "soak" / "calls.py"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FILE.parent))  # the process of the host imports it too
    return importlib.import_module(FILE.stem)


def test_F053_every_drip_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an error, and settled. How late is what the script measures."""
    monkeypatch.syspath_prepend(str(FILE.parent))
    drips = importlib.import_module("drips")
    monkeypatch.setattr(drips, "DEADLINE", 0.05)
    assert all(seconds < 30 for seconds in drips.measure(1).values())


@pytest.mark.anyio
async def test_the_ledger_says_what_the_host_knows(soak: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "BATCH", 600)
    found = await soak.books(600, show=False)
    assert found["wrong"] == 0
    assert found["exact"] > 500
    assert found["estimated"] > 0
    assert found["upper_bound"] > 0


@pytest.mark.anyio
@pytest.mark.parametrize("hedge", [None, 0.005])
async def test_cancelled_calls_leave_the_pool_whole(soak: Any, hedge: float | None) -> None:
    found = await soak.cancels(600, hedge)
    assert (found["calls"], found["afterwards"]) == (600, 40)
    assert found["open rows"] == found["connections left"] == 0
