"""Waiting for leave to ask: by the limits of the configuration, and by those that the host lets be known.

Stands inside of retry, so that each attempt waits anew, and outside of attempt, so that a row is opened only for what
is about to be sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from llmsdk.accounting.tokens import bound
from llmsdk.io import close
from llmsdk.limits import Cost, Limiter, Size
from llmsdk.pipeline import Call, Handler
from llmsdk.results import Attempt
from llmsdk.types import Event, Request

BYTES = 4
"""Of a prompt that hosts take for a token, when they count before they have read it."""


def limits(handler: Handler) -> Handler:
    """Let a call wait for its turn. One without a limiter passes at the cost of a comparison."""

    def limited(call: Call) -> AsyncIterator[Event]:
        return handler(call) if call.limiter is None else _limited(handler, call, call.limiter)

    return limited


async def _limited(handler: Handler, call: Call, limiter: Limiter) -> AsyncIterator[Event]:
    began = call.io.now()
    until = call.deadline if call.patient else began
    leave = await limiter.enter(call.request.model, partial(size, call.request), call.io, until)
    call.queued, call.heard, call.row = call.io.now() - began, leave.hear, None
    failure: BaseException | None = None
    events = handler(call)
    try:
        async for event in events:
            yield event
    except BaseException as error:
        failure = error
        await close(events)
        raise
    finally:
        leave.give_back(failure, partial(_used, call.row))


def size(request: Request) -> Size:
    """What a request takes of the limits: as much as its row sets aside, and as much as a host will likely count."""
    most = bound(request, 0)
    prompt, reply = most.input_tokens or 0, most.output_tokens or 0
    return Size(Cost.one(prompt, reply), Cost.one(prompt // BYTES, reply))


def _used(row: Attempt | None) -> int | None:
    """Tokens that an attempt took, where it is known."""
    if row is None or row.settled == "none":
        return 0
    return row.usage.total_tokens if row.usage is not None and row.settled != "upper_bound" else None
