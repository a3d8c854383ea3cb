"""``llmsdk usage`` says what a ledger's file holds, to readers and to programs."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmsdk.accounting.ledger import Ledger
from llmsdk.cli import main
from llmsdk.errors import InputError
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.types import Usage

pytest.importorskip("typer", reason="the extra [cli] is not installed")
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A known price on one day; none, on the next."""
    path = tmp_path / "usage.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    book = Ledger(path)
    for model, tags, day in (("gpt-4o-mini", ("night",), 0), ("mystery", (), 1), ("gpt-4o-mini", (), 1)):
        monkeypatch.setattr("time.time", lambda day=day: NOON.timestamp() - day * 86400)
        row = drive(book.reserve("openai", model, "generate", bound=Usage(9, 9), io=SyncIO(), tags=tags))
        book.settle(row, "exact", Usage(1_000_000, 2000), seconds=1.0)
    book.close()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(["usage", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_page_for_readers_fits_80_columns(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "--ledger", ledger)
    assert max(map(len, page.splitlines())) <= 80
    assert "3 requests · 3,006,000 tokens · $0.3024 + ? · 1 of unknown price" in page
    for line in ("2026-11-29", "openai:gpt-4o-mini", "openai:mystery", "night", "(no tag)", "█"):
        assert line in page
    (unknown,) = [line for line in page.splitlines() if "mystery" in line]
    assert unknown.rstrip().endswith("?"), "an unknown price is not zero"


def test_programs_get_json_and_csv(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = json.loads(said(capsys, "--ledger", ledger, "--json", "--by", "model"))
    assert lines[0] == {
        "model": "openai:gpt-4o-mini",
        "requests": 2,
        "input_tokens": 2_000_000,
        "output_tokens": 4000,
        "cost_usd": "0.3024",
        "unpriced_requests": 0,
    }
    assert lines[1]["unpriced_requests"] == 1
    rows = list(csv.DictReader(io.StringIO(said(capsys, "--ledger", ledger, "--csv"))))
    assert [(row["day"], row["model"]) for row in rows] == [
        ("2026-11-28", "openai:gpt-4o-mini"),
        ("2026-11-28", "openai:mystery"),
        ("2026-11-29", "openai:gpt-4o-mini"),
    ]


def test_since_leaves_out_what_was_before(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 requests" in said(capsys, "--ledger", ledger, "--since", "2026-11-29")
    assert "nothing since 2027-01-01" in said(capsys, "--ledger", ledger, "--since", "2027-01-01")


def test_the_configured_file_is_read(
    ledger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMSDK_LEDGER_PATH", str(ledger))
    assert "3 requests" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "[ledger]"),
        (["--ledger", "nowhere.db"], "--ledger FILE"),
        (["--ledger", "usage.db", "--since", "soon"], "7d, today or"),
        (["--ledger", "usage.db", "--by", "week"], "day, model"),
        (["--ledger", "usage.db", "--csv", "--json"], "Choose one"),
    ],
)
def test_what_cannot_be_shown_is_told(
    ledger: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert main(["usage", *arguments]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("since", "day"), [(None, ""), ("today", "2026-11-29"), ("1d", "2026-11-29"), ("7d", "2026-11-23")]
)
def test_since_is_a_day(since: str | None, day: str) -> None:
    from llmsdk.cli.usage import first_day

    assert first_day(since, NOON) == day
    with pytest.raises(InputError):
        first_day("2026-13-01")


def test_what_is_no_ledger_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("buy milk" * 100)
    assert main(["usage", "--ledger", str(notes)]) == 2
    assert "is not a ledger" in capsys.readouterr().err
    assert notes.read_text() == "buy milk" * 100
