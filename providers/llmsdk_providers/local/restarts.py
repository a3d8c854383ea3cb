"""When a model may be loaded anew whose engine has died, so that one that dies at once is not loaded for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST, MOST = 1.0, 60.0
"""Seconds to wait after the second death in a row, and at most; each further one doubles it."""


class Restarts:
    """Deaths in a row, of engines that had finished nothing. The first one costs no wait: it may have been chance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths = 0
        self._until = 0.0

    def died(self, served: bool) -> None:
        """An engine has ended by a fault of its thread; it had ``served`` or not, that is, finished some work."""
        self._deaths = 1 if served else self._deaths + 1
        wait = min(MOST, FIRST * 2.0 ** min(self._deaths - 2, 30)) if self._deaths > 1 else 0.0
        self._until = self._clock() + wait

    @property
    def deaths(self) -> int:
        """Since some work was last finished."""
        return self._deaths

    def left(self) -> float:
        """Seconds until the next may be started."""
        return max(0.0, self._until - self._clock())
