"""Blocking work of others, on a thread of its own that nobody has to wait for.

``IO.run`` waits for its work however long that takes. Work that asks somebody else's network, such as a look-up of
credentials, may never come back: ``IO.wait`` for what stands here ends with the deadline, and when it is cancelled. The
thread goes on by itself and its result is dropped; it keeps no program from ending.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> Future[T]:
    """Begin ``work``, in the caller's context."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on cancelling it changes nothing, so that a late result is none

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits
            future.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="llmsdk-apart", daemon=True).start()
    return future


__all__ = ["apart"]
