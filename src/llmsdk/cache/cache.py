"""The cache of one client: a store, and what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from llmsdk.cache.codec import decode, encode
from llmsdk.cache.key import Asked, key
from llmsdk.io import IO
from llmsdk.types import Event

T = TypeVar("T")


class Store(Protocol):
    """Where entries are. Every method may be called from any thread."""

    blocks: bool
    """Its methods wait for a disk."""

    @property
    def secret(self) -> bytes: ...
    def get(self, key: bytes) -> tuple[float, bytes] | None: ...
    def put(self, key: bytes, entry: bytes, at: float) -> None: ...
    def remove(self, key: bytes) -> None: ...
    def close(self) -> None: ...


class Cache:
    """Finds and keeps replies. No disk is waited for on a loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, asked: Asked, ttl: float | None, io: IO) -> list[Event] | None:
        """The events of the reply to the same question, unless there is none, it is older than ``ttl`` or damaged."""
        return await self._run(partial(self._find, asked, ttl), io)

    async def keep(self, asked: Asked, events: Sequence[Event], io: IO) -> None:
        """Keep a reply that is whole."""
        await self._run(partial(self._keep, asked, events), io)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    async def _run(self, work: Callable[[], T], io: IO) -> T:
        return await io.run(work) if self._store.blocks else work()

    def _find(self, asked: Asked, ttl: float | None) -> list[Event] | None:
        secret = self._store.secret
        name = key(asked, secret) if secret else None
        found = self._store.get(name) if name else None
        if name is None or found is None:
            return None
        at, entry = found
        if ttl is not None and not 0 <= time.time() - at <= ttl:
            return None
        events = decode(entry, name, secret)
        if events is None:
            self._store.remove(name)
        return events

    def _keep(self, asked: Asked, events: Sequence[Event]) -> None:
        secret = self._store.secret
        name = key(asked, secret) if secret else None
        entry = encode(events, name, secret) if name else None
        if name is not None and entry is not None:
            self._store.put(name, entry, time.time())


__all__ = ["Cache", "Store"]
