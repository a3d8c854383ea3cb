"""A streamed reply in the caller's hands: an iterable of events, a context manager, and the result at the end."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from llmsdk.errors import InputError
from llmsdk.fallback import Flow
from llmsdk.io.drive import Steps
from llmsdk.io.pools import current_loop, later
from llmsdk.results import Result
from llmsdk.types import Event

R = TypeVar("R", bound=Result)

State = Literal["not begun", "open", "closed"]
"""``open``: events have come, and more may."""

_UNFINISHED = "the stream was dropped before its end; read it to the end, or leave it by `with` or `break`"
_UNFINISHED_ASYNC = "the stream was dropped before its end; read it to the end, or leave it by `async with` or `break`"


class Stream(Generic[R]):
    """Events as they come. Leaving the loop or the ``with`` block closes the connection at once.

    After the end ``result`` is what the same call would have returned unstreamed.
    """

    def __init__(self, flow: Flow[R]) -> None:
        self._flow = flow
        self._events = Steps(flow.events())
        self._state: State = "not begun"

    def __iter__(self) -> Iterator[Event]:
        try:
            while True:
                try:
                    event = self.__next__()
                except StopIteration:
                    return
                yield event
        finally:
            self.close()

    def __next__(self) -> Event:
        _check_whole(self._state, self._flow)
        self._state = "closed"  # unless an event comes
        event = next(self._events)
        self._state = "open"
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close the connection. Safe to call again."""
        self._state = "closed"
        self._events.close()

    @property
    def result(self) -> R:
        """The whole result; reads the rest of the stream first.

        Raises:
            InputError: the stream was left before its end, so there is none.
        """
        if self._flow.result is None:
            for _ in self:
                pass
        return _result(self._flow)

    def __repr__(self) -> str:
        return _shown(self, self._flow, self._state)

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "open" and self._flow.result is None and not sys.is_finalizing():
            warnings.warn(_UNFINISHED, ResourceWarning, source=self, stacklevel=2)
            self.close()


class AsyncStream(Generic[R]):
    """Events as they come, on asyncio or trio. Leaving the ``async with`` block closes the connection at once; leaving
    the loop by ``break``, or dropping the stream, as soon as the event loop turns.

    After the end ``result`` is what the same call would have returned unstreamed.
    """

    def __init__(self, flow: Flow[R]) -> None:
        self._flow = flow
        self._events = flow.events()
        self._state: State = "not begun"
        self._loop: Any = None
        self._leaving = False

    def __aiter__(self) -> AsyncIterator[Event]:
        return _Loop(self)

    async def __anext__(self) -> Event:
        if self._loop is None:
            self._loop = current_loop()
        _check_whole(self._state, self._flow)
        self._state = "closed"  # unless an event comes
        event = await anext(self._events)
        self._state = "open"
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop, and close the connection. Safe to call again."""
        self._state = "closed"
        if not self._leaving:
            await self._events.aclose()  # type: ignore[attr-defined]

    def _leave(self) -> None:
        """Close it soon, from where nothing can be awaited."""

        async def close() -> None:
            self._leaving = True  # unless somebody has closed it by then
            with contextlib.suppress(Exception):
                await self._events.aclose()  # type: ignore[attr-defined]
            self._leaving = False

        self._state = "closed"
        later(self._loop, close)

    @property
    def result(self) -> R:
        """The whole result, once the stream has been read to its end.

        Raises:
            InputError: it has not.
        """
        return _result(self._flow)

    def __repr__(self) -> str:
        return _shown(self, self._flow, self._state)

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "open" and self._flow.result is None and not sys.is_finalizing():
            warnings.warn(_UNFINISHED_ASYNC, ResourceWarning, source=self, stacklevel=2)
            self._leave()


class _Loop(Generic[R]):
    """One ``async for`` over a stream. Python lets go of it as soon as the loop is left, and it says so."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream[R]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Event]:
        return self._stream.__anext__()

    def __del__(self) -> None:
        if self._stream._state == "open" and not sys.is_finalizing():
            self._stream._leave()


def _shown(stream: object, flow: Flow[R], state: State) -> str:
    return f"<{type(stream).__name__} of {flow.verb}(): {'complete' if flow.result else state}>"


def _check_whole(state: State, flow: Flow[R]) -> None:
    """Refuse to go on with a stream that was left: no more events would look like its end.

    Raises:
        InputError: it is closed, and there is no result.
    """
    if state == "closed" and flow.result is None:
        raise InputError("the stream was left before its end", hint="Read it in one loop, or ask again.")


def _result(flow: Flow[R]) -> R:
    if flow.result is None:
        raise InputError("the stream has not been read to its end", hint="Iterate over it first, then take .result.")
    return flow.result
