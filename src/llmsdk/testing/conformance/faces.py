"""The same call on the three faces: the sync client, and the async one on asyncio and on trio."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from llmsdk.testing.conformance.case import Skip
from llmsdk.testing.conformance.stage import Stage
from llmsdk.types import Event

FACES = ("sync", "asyncio", "trio")
Call = Callable[[Any], Any]
"""From a client to what its verb returns, which has the same name and arguments on both clients."""


def ask(stage: Stage, face: str, call: Call, **options: Any) -> Any:
    """The result of a verb."""
    if face == "sync":
        with stage.client(**options) as client:
            return call(client)

    async def main() -> Any:
        async with stage.async_client(**options) as client:
            return await call(client)

    return _run(main, face)


def stream(stage: Stage, face: str, call: Call) -> tuple[list[Event], Any]:
    """The events of a streamed verb, and its result."""
    if face == "sync":
        with stage.client() as client, call(client) as events:
            return list(events), events.result

    async def main() -> tuple[list[Event], Any]:
        async with stage.async_client() as client, call(client) as events:
            return [event async for event in events], events.result

    events, result = _run(main, face)
    return events, result


def leave(stage: Stage, face: str, call: Call, check: Callable[[], None]) -> None:
    """Leave a stream at its first text: by its block on the sync client, by being cancelled while waiting on a loop.

    ``check`` looks at what that leaves, before the client is closed.
    """
    if face == "sync":
        with stage.client() as client:
            with call(client) as events:
                next(event for event in events if event.text)
            check()
        return

    async def main() -> None:
        import anyio

        async with stage.async_client() as client:
            with anyio.CancelScope() as scope:
                async with call(client) as events:
                    async for event in events:
                        if event.text:
                            scope.deadline = anyio.current_time() + 0.05
            await anyio.to_thread.run_sync(check)  # the loop turns: only then is a connection closed

    _run(main, face)


def _run(main: Callable[[], Any], face: str) -> Any:
    import anyio

    if find_spec(face) is None:
        raise Skip(f"{face} is not installed")
    return anyio.run(main, backend=face)


__all__ = ["FACES", "Call", "ask", "leave", "stream"]
