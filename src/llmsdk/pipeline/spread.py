"""Several keys or hosts for the same: each attempt goes to the one with the fewest questions under way.

Stands inside of retry, which decides whether something is asked again; who is asked then is decided here. A refusal
that is the key's, and not the question's, goes on to the next key at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from llmsdk.errors import CircuitOpen, LLMError, RateLimited
from llmsdk.io import closing
from llmsdk.pipeline import Call, Handler
from llmsdk.pipeline.members import KEYED, Choice, Member
from llmsdk.types import Event

NEXT = (*KEYED, RateLimited, CircuitOpen)
"""Nothing ran, and another key or host may do better at once."""


def spread(handler: Handler) -> Handler:
    """Choose who is asked, where there is a choice. A call without one passes at the cost of a comparison."""

    def spreading(call: Call) -> AsyncIterator[Event]:
        return handler(call) if call.choice is None else _spread(handler, call, call.choice)

    return spreading


async def _spread(handler: Handler, call: Call, choice: Choice) -> AsyncIterator[Event]:
    while True:
        member, flight = choice.make(call.io.now())
        _put(call, member)
        try:
            async with closing(handler(call)) as events:
                async for event in events:
                    flight.answered()
                    yield event
            return
        except LLMError as error:
            error.locate(member.provider.name, member.model)
            if not _goes_on(error, member, call, choice):
                raise
        finally:
            choice.end(member, flight)


def _put(call: Call, member: Member) -> None:
    """Let this one be asked."""
    call.provider, call.health, call.limiter, call.label = member.provider, member.health, member.limiter, member.label
    if call.request.model != member.model:
        call.request = replace(call.request, model=member.model)


def _goes_on(error: LLMError, member: Member, call: Call, choice: Choice) -> bool:
    """Whether another is asked at once after this error."""
    now = call.io.now()
    choice.failed(member, error, now, twice=call.settings.retry.unknown)
    if not isinstance(error, NEXT) or call.delivered:
        return False
    if not choice.goes_on(now):
        error.hint = f"{choice.told(error)} {error.hint}".strip()
        return False
    if isinstance(error, KEYED):
        call.warnings.append(f"{member.label} was refused ({type(error).__name__}), and another one was asked")
    return True
