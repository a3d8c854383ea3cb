"""A loop whose time passes only when everybody sleeps, and the face on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import trio
import trio.testing

from llmsdk.io import Clock
from llmsdk.io.loop import LoopIO


class VirtualIO(LoopIO):
    """``LoopIO`` with the loop's own time."""

    __slots__ = ()

    def now(self) -> float:
        return anyio.current_time()

    def within(self, clock: Clock) -> VirtualIO:
        return VirtualIO(self.pools, clock)


def virtually(main: Callable[[VirtualIO], Awaitable[None]]) -> None:
    """Run to the end, however long that is, in no time."""
    trio.run(main, VirtualIO(), clock=trio.testing.MockClock(autojump_threshold=0))
