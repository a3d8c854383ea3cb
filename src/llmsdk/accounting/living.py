"""Which writers of a shared file are still alive, told by locks that the system takes away from the dead.

Each writer locks the byte of its own number in a file beside. Unlike a process number, such a lock is never taken for
that of another process that came later, nor missed across containers that share the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock

_held: dict[Path, _Locks] = {}
"""One for each path: a second open file would take all locks of the first away when it is closed."""
_guard = Lock()


class Living:
    """A writer that counts as alive until it is closed or its process ends.

    Where the system has no such locks (Windows), nobody is ever taken for dead.
    """

    def __init__(self, path: Path, writer: int) -> None:
        self.writer: int = writer
        place = path.with_name(f"{path.name}-writers")
        with _guard:
            locks = _held.get(place)
            if locks is None or locks.is_of_another():
                locks = _held[place] = _Locks(place)
            locks.take(writer)
        self._locks = locks

    def is_dead(self, writer: int) -> bool:
        """Whether a writer has surely ended."""
        with _guard:
            return self._locks.is_free(writer)

    def close(self) -> None:
        """Count as dead from now on."""
        with _guard:
            self._locks.give_back(self.writer)
            if not self._locks.ours:
                self._locks.close()


class _Locks:
    """The locks of this process in one file."""

    def __init__(self, path: Path) -> None:
        self.ours: set[int] = set()
        self._path = path
        self._pid = os.getpid()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def is_of_another(self) -> bool:
        """Of the parent of a fork, which inherits the open file, but none of its locks; or the file is another one."""
        try:
            return self._pid != os.getpid() or not os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return True

    def take(self, writer: int) -> None:
        self.ours.add(writer)
        _lock(self._file, writer)

    def is_free(self, writer: int) -> bool:
        free = writer not in self.ours and _lock(self._file, writer)
        if free:
            _unlock(self._file, writer)
        return free

    def give_back(self, writer: int) -> None:
        self.ours.discard(writer)
        _unlock(self._file, writer)

    def close(self) -> None:
        os.close(self._file)
        if _held.get(self._path) is self:
            del _held[self._path]


try:
    import fcntl

    def _lock(file: int, byte: int) -> bool:
        """Lock a byte if nobody else has; whether that went well."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def _unlock(file: int, byte: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)

except ImportError:

    def _lock(file: int, byte: int) -> bool:
        return False

    def _unlock(file: int, byte: int) -> None:
        return None
