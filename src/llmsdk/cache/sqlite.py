"""Entries in a file of SQLite, which several processes may share."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from llmsdk.io.sqlite import Database, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
  key BLOB PRIMARY KEY, at REAL NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL, entry BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON entries (used);
"""
_SECONDS = 2.0
"""How long another process may hold the file. Then the call goes on without its cache."""
_REST = 10.0
"""How long a file is left alone that could not be used."""
_USED = 60.0
"""Seconds between two notes that an entry is in use."""
_SLACK = 0.9
"""Of the room: how much stays when it is full."""


class SQLite:
    """A store on disk. ``room`` is in bytes.

    A file that cannot be used is no reason for a call to fail: then nothing is found and nothing kept, and one warning
    says so.
    """

    blocks = True

    def __init__(self, path: str | Path, room: int) -> None:
        self._path = Path(path).expanduser()
        self._room = room
        self._database = Database(self._path, self._prepare, patience=_SECONDS, rest=_REST)
        self._secret = b""
        self._size = 0
        self._told = False
        self._closed = False

    @property
    def secret(self) -> bytes:
        """The secret of the file, made with it; empty where there is none."""
        with self._guarded(), self._opened():
            return self._secret
        return b""

    def get(self, key: bytes) -> tuple[float, bytes] | None:
        """When it was written, by the wall clock, and the entry."""
        with self._guarded(), self._opened() as connection:
            row = connection.execute(
                "SELECT at, CAST(entry AS BLOB), used FROM entries WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return None
            if time.time() - row[2] > _USED:
                connection.execute("UPDATE entries SET used = ? WHERE key = ?", (time.time(), key))
            return float(row[0]), bytes(row[1])
        return None

    def put(self, key: bytes, entry: bytes, at: float) -> None:
        """Keep an entry, at the cost of those that were not used for the longest time."""
        if len(entry) > self._room:
            return
        with self._guarded(), self._opened() as connection:
            row = (key, at, time.time(), len(entry), entry)
            connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", row)
            self._size += len(entry)
            if self._size > self._room:
                self._shrink(connection)

    def remove(self, key: bytes) -> None:
        """Forget an entry."""
        with self._guarded(), self._opened() as connection:
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._database.close()

    # --- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever is wrong with the file is a miss, and so is all that is asked in the seconds after it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if not self._told:
                self._told = True
                # by its name: the text of an error of SQLite may quote a reply
                what = getattr(error, "sqlite_errorname", None) or getattr(error, "strerror", None) or "damaged"
                with suppress(Exception):  # warnings may be errors, stderr closed: the reply is there and paid for
                    warnings.warn(f"the cache {self._path} cannot be used: {what}", UserWarning, stacklevel=5)

    def _opened(self) -> AbstractContextManager[sqlite3.Connection]:
        if self._closed:
            raise OSError("it is closed")
        if self._database.identity is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._database.connection()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            row = connection.execute("SELECT value FROM secret").fetchone()
            if row is None:
                row = (os.urandom(32),)
                connection.execute("INSERT INTO secret VALUES (?)", row)
            self._size = self._sum(connection)
        self._secret = bytes(row[0])

    def _sum(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT coalesce(sum(size), 0) FROM entries").fetchone()[0])

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Other processes write too, so that it is looked up how much there is before anything goes."""
        self._size = self._sum(connection)
        while self._size > self._room * _SLACK:
            oldest = "SELECT key FROM entries ORDER BY used LIMIT 64"
            connection.execute(f"DELETE FROM entries WHERE key IN ({oldest})")  # noqa: S608 - no input in it
            before, self._size = self._size, self._sum(connection)
            if self._size == before:
                return


__all__ = ["SQLite"]
