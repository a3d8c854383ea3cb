"""Where the engine's thread leaves deliveries and the caller waits for them, whatever the caller runs on."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue between one writing thread and one reader. Taking gives all there is, as one list.

    A take that is cancelled loses nothing: what comes stays for the next one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._items: list[T] = []
        self._taker: Future[list[T]] | None = None

    def put(self, *items: T) -> None:
        """Leave items, and wake the reader if one waits."""
        with self._lock:
            self._items.extend(items)
            taker, batch = self._claim()
        # Outside the lock: the callbacks of a future run here and may well take again.
        if taker is not None:
            taker.set_result(batch)

    def take(self) -> Future[list[T]]:
        """What has come since the last take, as soon as it is not empty."""
        future: Future[list[T]] = Future()
        with self._lock:
            self._taker = future
            taker, batch = self._claim()
        if taker is not None:
            taker.set_result(batch)
        return future

    def _claim(self) -> tuple[Future[list[T]] | None, list[T]]:
        taker = self._taker
        if taker is None or not self._items:
            return None, []
        self._taker = None
        if not taker.set_running_or_notify_cancel():
            return None, []
        batch, self._items = self._items, []
        return taker, batch
