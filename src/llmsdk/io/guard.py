"""Connections of the HTTP library that never get lost in a pool.

The library forgets to close one that fails between two of its steps: cancelled on trio after the connecting and
before the sending, or failing to start TLS inside a proxy's tunnel. Such a connection would keep its place in the
pool for good. A guard closes it.
"""

from __future__ import annotations

from typing import Any

import anyio


class SyncGuard:
    """A blocking connection. ``busy`` is the library's error for one that somebody else has taken meanwhile."""

    def __init__(self, connection: Any, busy: type[Exception]) -> None:
        self._connection = connection
        self._busy = busy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def handle_request(self, request: Any) -> Any:
        try:
            return self._connection.handle_request(request)
        except self._busy:
            raise
        except BaseException:
            if _lost(self._connection):
                self._connection.close()
            raise


class LoopGuard:
    """A connection on a loop."""

    def __init__(self, connection: Any, busy: type[Exception]) -> None:
        self._connection = connection
        self._busy = busy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def handle_async_request(self, request: Any) -> Any:
        try:
            return await self._connection.handle_async_request(request)
        except self._busy:
            raise
        except BaseException:
            if _lost(self._connection):
                with anyio.CancelScope(shield=True):
                    await self._connection.aclose()
            raise


def _lost(connection: Any) -> bool:
    """Whether nobody will ever use it again, though the pool believes that somebody does."""
    return not (connection.is_closed() or connection.is_idle() or connection.is_available())


__all__ = ["LoopGuard", "SyncGuard"]
