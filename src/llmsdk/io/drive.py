"""Running the async core without a loop: on ``SyncIO`` nothing ever suspends, so one ``send`` runs a coroutine whole.

asyncio and trio adopt the async generators that are first iterated in their thread, and would close them later on
their own terms. The sync client may run inside such a thread, so the hooks are cleared around every ``send``.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

FOREIGN = (
    "the core awaited something that is not its io: under the sync client nothing may suspend. "
    "A provider that needs an event loop of its own declares loop_bound = True."
)


def drive(awaitable: Awaitable[T]) -> T:
    """Run to its end what never suspends, and return its result.

    Raises:
        RuntimeError: it suspended after all. It is unwound first, at the place where it waits.
    """
    hooks = sys.get_asyncgen_hooks()
    foreign = hooks.firstiter is not None or hooks.finalizer is not None
    if foreign:
        sys.set_asyncgen_hooks(None, None)
    try:
        steps = awaitable.__await__()
        try:
            steps.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        raise _unwound(steps)
    finally:
        if foreign:
            sys.set_asyncgen_hooks(*hooks)


def _unwound(steps: Generator[Any, None, Any]) -> RuntimeError:
    """Throw the fault in where the core waits, so that its ``finally`` blocks run and the traceback shows the place."""
    fault = RuntimeError(FOREIGN)
    try:
        steps.throw(fault)
    except RuntimeError as error:
        if error is not fault:
            fault.__context__ = error
    except BaseException as error:  # noqa: BLE001 - whatever its clean-up raises, the fault is what happened
        fault.__context__ = error
    else:
        steps.close()
    return fault


class Steps(Generic[T]):
    """An async iterator as a plain one, a step at a time. ``close`` ends it at once."""

    __slots__ = ("_source",)

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return drive(self._source.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            drive(aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def iterate(source: AsyncIterator[T]) -> Steps[T]:
    """``source`` as a plain iterator that never suspends."""
    return Steps(source)


__all__ = ["Steps", "drive", "iterate"]
