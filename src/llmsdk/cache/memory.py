"""Entries in memory: those that were used last, as many as there is room for."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict


class Memory:
    """A store for one client and its copies. ``room`` is in bytes."""

    blocks = False

    def __init__(self, room: int) -> None:
        self.secret: bytes = os.urandom(32)
        self._room = room
        self._size = 0
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> tuple[float, bytes] | None:
        """When it was written, by the wall clock, and the entry."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, entry: bytes, at: float) -> None:
        """Keep an entry, at the cost of those that were not used for the longest time."""
        with self._lock:
            self._drop(key)
            if len(entry) <= self._room:
                self._entries[key] = at, entry
                self._size += len(entry)
            while self._size > self._room:
                self._drop(next(iter(self._entries)))

    def remove(self, key: bytes) -> None:
        """Forget an entry."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        gone = self._entries.pop(key, None)
        self._size -= len(gone[1]) if gone else 0

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._size = 0


__all__ = ["Memory"]
