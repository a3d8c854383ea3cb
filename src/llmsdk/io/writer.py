"""One thread that does disk work in order, so that no loop waits for a disk and no two threads share a file."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
AT_EXIT = 5.0
"""Seconds that the end of the process waits for what is left."""

Begin = Callable[[], AbstractContextManager[Callable[[Sequence[T]], float | None]]]
"""Opens what the work needs, on the thread that does it, and gives the work. That takes what there is, which may be
nothing, and says in how many seconds it wants to be called again even if nothing comes."""


class Writer(Generic[T]):
    """Hands items to ``work`` on a thread of its own, in order, all together that wait.

    What ``begin`` opens is never used by another thread, nor by the child of a fork, which begins anew. The work must
    not raise. What has been put is worked off before the process ends.
    """

    def __init__(self, name: str, begin: Begin[T]) -> None:
        self._name = name
        self._begin = begin
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Any] | None = None
        self._pid = 0
        self._end: weakref.finalize[..., Any] | None = None

    def put(self, item: T) -> None:
        """Have an item worked off. Returns at once."""
        self._running().put(item)

    def flush(self) -> None:
        """Wait until everything that has been put is done."""
        if self._queue is not None and self._pid == os.getpid():
            done: Future[None] = Future()
            self._queue.put(done)
            done.result()

    def close(self) -> None:
        """Work off what has been put, however long that takes, and end the thread. The next ``put`` begins another."""
        with self._lock:
            end, self._end, self._queue = self._end, None, None
        if end is not None and (found := end.detach()) is not None:
            _, stop, at_exit, _ = found
            stop(*at_exit[:-1], None)

    def _running(self) -> SimpleQueue[Any]:
        queue = self._queue
        if queue is not None and self._pid == os.getpid():
            return queue
        with self._lock:
            if self._queue is None or self._pid != os.getpid():
                self._start()
            assert self._queue is not None
            return self._queue

    def _start(self) -> None:
        if self._end is not None:  # of the parent of a fork, whose thread is not here
            self._end.detach()
        queue: SimpleQueue[Any] = SimpleQueue()
        # Neither thread nor finalizer refers to the writer, so that one that is dropped ends its thread.
        thread = threading.Thread(target=_run, args=(queue, self._begin), name=self._name, daemon=True)
        self._queue, self._pid = queue, os.getpid()
        self._end = weakref.finalize(self, _stop, queue, thread, self._pid, AT_EXIT)
        thread.start()


def _run(queue: SimpleQueue[Any], begin: Begin[Any]) -> None:
    with begin() as work:
        ended, again = False, None
        while not ended:
            items, done = _waiting(queue, again)
            ended = None in items
            again = work([item for item in items if item is not None])
            for future in done:
                future.set_result(None)


def _waiting(queue: SimpleQueue[Any], patience: float | None) -> tuple[list[Any], Sequence[Future[None]]]:
    """Everything that waits now, up to the first flush; nothing only if nothing came for so long."""
    items: list[Any] = []
    try:
        item = queue.get(timeout=patience)
    except Empty:
        return items, ()
    for _ in range(queue.qsize()):  # what comes meanwhile has its turn, or there might be no end
        if isinstance(item, Future):
            break
        items.append(item)
        item = queue.get_nowait()
    if isinstance(item, Future):
        return items, (item,)
    return [*items, item], ()


def _stop(queue: SimpleQueue[Any], thread: threading.Thread, pid: int, patience: float | None) -> None:
    if pid == os.getpid():
        queue.put(None)
        if thread is not threading.current_thread():
            thread.join(patience)
            if thread.is_alive():
                warnings.warn(f"{thread.name} could not write all that was left in {patience:g} s", stacklevel=2)


__all__ = ["Begin", "Writer"]
