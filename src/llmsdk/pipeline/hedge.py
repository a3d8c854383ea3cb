"""The same question a second time, where the first is slow. Whichever brings something first goes on alone.

Stands inside of retry, so that one attempt of it is one race, and outside of limits, so that each of the two has its
place, its row and its share of the budgets. The two are raced only until the first content; what follows is passed on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from llmsdk.errors import LLMError
from llmsdk.health import FULL, RETRY, Health
from llmsdk.io import Racing, closing
from llmsdk.pipeline import Call, Handler, is_content
from llmsdk.provider import Provider
from llmsdk.types import Event

KEPT = FULL // 2
"""Of the quota of retries, what is left to them."""


def hedge(handler: Handler) -> Handler:
    """Ask a second time what brings nothing for so many seconds. A call without that passes by a comparison.

    Where no account is asked, as of a model that runs here, a second question would only be in the way of the first.
    """

    def hedged(call: Call) -> AsyncIterator[Event]:
        if not call.settings.hedge or call.health.circuit is None:
            return handler(call)
        return call.io.racing(partial(_raced, handler, call))

    return hedged


async def _raced(handler: Handler, call: Call, io: Racing) -> AsyncIterator[Event]:
    async with closing(_Race(handler, replace(call, io=io), io)) as race:
        try:
            winner = await race.run()
        finally:
            call.provider, call.health = race.asked
        call.reply, call.delivered = winner.call.reply, winner.call.delivered
        for event in winner.early:
            yield event
        async for event in winner.events:
            yield event


class _Leg:
    """One of the two: a call of its own, and what came of it until it was decided."""

    __slots__ = ("call", "early", "error", "events")

    def __init__(self, handler: Handler, call: Call) -> None:
        self.call = call
        self.events = handler(call)
        self.early: list[Event] = []
        self.error: LLMError | None = None

    async def run(self) -> bool:
        """Go on to the first content, or to a good end. Whether it got there."""
        try:
            async for event in self.events:
                self.early.append(event)
                if is_content(event):
                    break
        except LLMError as error:
            self.error = error
        return self.error is None

    async def aclose(self) -> None:
        async with closing(self.events):
            pass


class _Race:
    def __init__(self, handler: Handler, call: Call, io: Racing) -> None:
        self._handler, self._call, self._io = handler, call, io
        self._after = call.settings.hedge or 0.0
        self._first = _Leg(handler, replace(call))
        self._second: _Leg | None = None
        self._winner: _Leg | None = None

    @property
    def asked(self) -> tuple[Provider, Health]:
        """Whose quota and promises hold for what follows: where there is a choice, each may have asked another."""
        call = (self._winner or self._first).call
        return call.provider, call.health

    async def run(self) -> _Leg:
        """The one that was first to bring something. The other is closed by then, and its row settled.

        Raises:
            LLMError: that of the first, if neither brought anything.
        """
        await self._io.race([self._lead, self._follow])
        first, second, winner = self._first, self._second, self._winner
        if winner is None:
            assert first.error is not None
            raise first.error
        if second is not None:
            await (second if winner is first else first).aclose()
        return winner

    async def _lead(self) -> bool:
        """The first; whether all is decided with its end."""
        first = self._first
        if await first.run():
            self._winner = first  # also where both bring something at the same moment
            return True
        assert first.error is not None
        return self._second is None or not first.error.retryable

    async def _follow(self) -> bool:
        """The second, when it is time and there is room for it; whether all is decided with its end."""
        await self._due()
        quota = self._first.call.health.quota
        if not quota.take(RETRY, leave=KEPT):
            return False
        second = self._second = _Leg(self._handler, self._again())
        try:
            won = await second.run()
        finally:
            if second.call.began is None:
                quota.give(RETRY)  # nothing was sent
        self._winner = self._winner or (second if won else None)
        return won

    async def _due(self) -> None:
        """Wait until the first has been under way for long enough. What it waits for its turn does not count."""
        left = self._after
        while left > 0:
            await self._io.sleep(left)
            began = self._first.call.began
            left = self._after if began is None else began + self._after - self._io.now()

    def _again(self) -> Call:
        """The second call. A key of its own, since a host that heeds keys would give it the first one's reply."""
        request = self._call.request
        if request.idempotency_key is not None:
            request = replace(request, idempotency_key=f"{request.idempotency_key}-hedge")
        return replace(self._call, request=request, patient=False)

    async def aclose(self) -> None:
        """End what is left of both."""
        async with closing(self._first):
            if self._second is not None:
                await self._second.aclose()
