"""What is remembered of accounts (a host with a key), one for all clients of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
KEPT = 1000


class Accounts(Generic[T]):
    """Something for each account. Beyond ``kept`` the one that was longest not asked for is forgotten.

    Every method may be called from any thread.
    """

    __slots__ = ("_kept", "_known", "_lock")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: dict[str, T] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, account: str, make: Callable[[], T]) -> T:
        """The one of that account: the same for whoever asks, also for those that come later."""
        with self._lock:
            found = self._known.pop(account) if account in self._known else make()
            self._known[account] = found  # now the latest
            if len(self._known) > self._kept:
                del self._known[next(iter(self._known))]
        return found

    def forget(self) -> None:
        """Begin anew with all of them. Who has one already keeps it."""
        with self._lock:
            self._known.clear()


__all__ = ["Accounts"]
