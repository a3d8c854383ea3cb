"""A file of SQLite that threads and processes share: for its owner alone, and never open across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

Prepare = Callable[[sqlite3.Connection], None]
"""Makes the tables, or sees that they are there; called whenever the file is opened."""


class Database:
    """One connection to a file, for one thread at a time.

    It is opened when it is first needed, and anew after a fork, after any error, and when the file has been deleted or
    replaced by another: what SQLite wrote into that would be gone.

    Args:
        path: the file.
        prepare: see ``Prepare``.
        patience: seconds to wait for other processes that are writing.
        rest: seconds in which nothing is tried after an error.
        make: whether to make the file where there is none.
    """

    def __init__(self, path: Path, prepare: Prepare, *, patience: float, rest: float = 0.0, make: bool = True) -> None:
        self.path = path
        self.identity: tuple[int, int] | None = None
        """Of the file that was opened last. Another one is another file of the same name."""
        self._prepare = prepare
        self._patience = patience
        self._rest = rest
        self._make = make
        self._until = 0.0
        self._connection: sqlite3.Connection | None = None
        self.busy: threading.Lock = threading.Lock()
        """Held while the file is in use; also by who forks, so that it is not open then."""
        _DATABASES.add(self)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The connection, for what each statement commits by itself.

        Raises:
            sqlite3.Error, OSError: the file cannot be used.
        """
        with self.busy:
            if monotonic() < self._until:
                raise OSError("it is left alone for a while")
            try:
                yield self._opened()
            except (sqlite3.Error, OSError):
                self.disconnect()
                self._until = monotonic() + self._rest
                raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, for what is written whole or not at all.

        Raises:
            sqlite3.Error, OSError: nothing was written, or into a file that is no longer there.
        """
        with self.connection() as connection:
            with transaction(connection):
                yield connection
            if self._is_gone():
                raise FileNotFoundError("the file was deleted or replaced")

    def close(self) -> None:
        """Let go of the file, until it is needed again."""
        with self.busy:
            self.disconnect()

    def disconnect(self) -> None:
        """The same, for who holds ``busy``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._is_gone():
            self.disconnect()
        if self._connection is None:
            connection = self._connect()
            self.identity = _identity(self.path)
            try:
                self._prepare(connection)
                # a process that dies loses nothing, a power cut what was written in the last moment
                connection.execute("PRAGMA synchronous = NORMAL")
                if self._make:
                    with suppress(sqlite3.OperationalError):  # read-only, or just being made by another process
                        connection.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _is_gone(self) -> bool:
        return self.identity is None or _identity(self.path) != self.identity

    def _connect(self) -> sqlite3.Connection:
        if self._make and not self.path.exists():
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        place = f"{self.path.absolute().as_uri()}?mode=rw"
        # closed by whichever thread forks, while the one that uses it is held up
        found = sqlite3.connect(place, uri=True, timeout=self._patience, isolation_level=None, check_same_thread=False)
        found.execute("PRAGMA trusted_schema = OFF")
        return found


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All statements or none, and nobody else writes in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


_DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()
_stopped: list[Database] = []


def _before_fork() -> None:
    """SQLite must not be open across a fork: the child would believe in locks that it does not have."""
    for database in list(_DATABASES):
        database.busy.acquire()
        _stopped.append(database)
        database.disconnect()


def _after_fork() -> None:
    while _stopped:
        _stopped.pop().busy.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


__all__ = ["Database", "Prepare", "transaction"]
