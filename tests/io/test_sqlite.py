"""A file of SQLite: private, opened anew when it has to be, never across a fork, and written whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmsdk.io import sqlite as module
from llmsdk.io.sqlite import Database


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(path, prepare, patience=0.05)
    yield made
    made.close()


def put(database: Database, value: int, then: Callable[[], object] = bool) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        then()


def values(database: Database) -> list[int]:
    with database.connection() as connection:
        return [value for (value,) in connection.execute("SELECT a FROM t ORDER BY rowid")]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_it_is_made_when_it_is_needed_for_its_owner_alone(path: Path, database: Database) -> None:
    assert not path.exists()
    put(database, 1)
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    path.chmod(0o640)
    database.close()
    put(database, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "who has opened it to others has meant it"
    assert values(database) == [1, 2]


def test_one_that_is_only_read_is_not_made(path: Path) -> None:
    reader = Database(path, prepare, patience=0.05, make=False)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        values(reader)
    assert not path.exists()


def test_readers_are_not_held_up_by_who_writes(path: Path, database: Database) -> None:
    put(database, 1)
    other = Database(path, prepare, patience=0.05)
    with other.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        assert values(database) == [1]
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            put(database, 3)
    assert values(database) == [1, 2]
    other.close()


def test_all_or_nothing(database: Database) -> None:
    put(database, 1)
    with pytest.raises(ZeroDivisionError):
        put(database, 2, lambda: 1 / 0)
    assert values(database) == [1]


def test_one_that_was_replaced_is_opened_anew(path: Path, database: Database) -> None:
    put(database, 1)
    before = database.identity
    path.rename(path.with_name("old.db"))
    put(database, 2)
    assert values(database) == [2]
    assert database.identity != before


def test_what_was_written_into_a_file_that_is_gone_is_told(path: Path, database: Database) -> None:
    put(database, 1)
    with pytest.raises(FileNotFoundError):
        put(database, 2, path.unlink)
    put(database, 3)
    assert values(database) == [3]


def test_it_rests_after_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    database = Database(path, prepare, patience=0.05, rest=10.0)
    with pytest.raises(sqlite3.OperationalError), database.connection() as connection:
        connection.execute("SELECT nothing")
    now = 1009.0
    with pytest.raises(OSError, match="left alone"):
        put(database, 1)
    now = 1010.0
    put(database, 1)
    assert values(database) == [1]
    database.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir() or not hasattr(os, "fork"), reason="looks at open files")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_it_is_not_open_across_a_fork(path: Path, database: Database) -> None:
    put(database, 1)
    if (pid := os.fork()) == 0:
        held = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}
        closed = not any(place.startswith(str(path)) for place in held)
        put(database, 2)
        database.close()
        os._exit(0 if closed else 1)
    assert os.waitpid(pid, 0)[1] == 0
    put(database, 3)
    assert values(database) == [1, 2, 3]
