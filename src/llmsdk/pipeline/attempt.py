"""One attempt: bind its clock, open its row, fold its events, see that it is whole, settle the row.

This is the only place that writes the ledger, and the only one that says whether a stream was cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from llmsdk.accounting.tokens import OUTPUT, bound
from llmsdk.errors import (
    BadResponse,
    DeadlineExceeded,
    Disconnected,
    LLMError,
    Redirected,
    StreamInterrupted,
    Transient,
    forget,
)
from llmsdk.io import IO, Clock, close
from llmsdk.pipeline import Call, is_content
from llmsdk.pipeline.hooks import quietly
from llmsdk.reply import Reply
from llmsdk.results import Attempt, Settled
from llmsdk.types import Event, Info, Request, Usage

TEXT = frozenset({"generate", "translate"})
"""Operations whose reply is text, which may be cut off; the others end with their one value."""
UNDOUBTED = 100_000
"""Tokens that any model may use."""
ABSURD = 10
"""How many windows of its model no attempt fills. A host that searches by itself may fill more than one."""


async def attempt(call: Call) -> AsyncIterator[Event]:
    """Ask the provider once.

    Raises:
        BudgetExceeded: a budget does not allow it; nothing was sent.
        CircuitOpen: the host has only failed of late, so it is not asked. There is no row of that.
        Disconnected: it ended without being complete, and before any content.
        StreamInterrupted: it broke off after content; ``partial`` has the text so far.
    """
    clock = Clock(call.io.now, call.settings.timeouts, call.deadline, heard=call.heard)
    reply = call.reply = Reply()
    provider, model = call.provider.name, call.request.model
    io = call.io.within(clock)
    row = await _reserved(call, io)
    call.began = clock.started
    span = _span(call) if call.tracer else None
    first_token: float | None = None
    failure: BaseException | None = None
    events: AsyncIterator[Event] | None = None
    try:
        events = call.invoke(call.provider, call.request, io)
        async for event in events:
            reply.add(event)
            if not clock.content and is_content(event):
                clock.content = call.delivered = True
                first_token = clock.now() - clock.started
                call.health.settle(None, call.settings.circuit, clock.now)
            yield event
        for event in map(_warning, clock.notes):
            reply.add(event)
            yield event
        _check_whole(call, clock)
    except (Transient, BadResponse) as error:
        if _is_whole(call):
            return  # what breaks after the provider's last word is no loss
        failure = error.locate(provider, model)
        if clock.content:
            failure = StreamInterrupted(f"broke off: {error.message}", partial=reply.text).locate(provider, model)
            raise failure from error
        raise
    except LLMError as error:
        failure = error.locate(provider, model)
        if isinstance(error, DeadlineExceeded):
            error.partial = reply.text
        raise
    except BaseException as error:  # cancellation, GeneratorExit and bugs: the row is settled, the error passes
        failure = error
        await close(events)
        raise
    finally:
        _settle(call, row, clock, first_token, failure)
        _end(span, call.row)
        forget(failure)


async def _reserved(call: Call, io: IO) -> Attempt:
    """The row of an attempt that is about to be sent, which the circuit and the budgets allow."""
    name = call.label or call.provider.name
    entered = call.health.enter(name, call.settings.circuit, call.io.now)
    try:
        return await call.ledger.reserve(
            name,
            call.request.model,
            call.operation,
            bound=_bound(call),
            io=io,
            budgets=call.settings.budgets,
            tags=call.settings.tags,
            tariff=getattr(call.provider, "tariff", None) or (call.provider.name if call.label else None),
            key=call.request.idempotency_key,
        )
    except BaseException:  # nothing is sent, so it was not the one request that tries a host which has failed
        call.health.leave(entered)
        raise


def _is_whole(call: Call) -> bool:
    """Whether the provider has said of all text that it is complete."""
    return call.operation in TEXT and call.reply.complete(call.request.n)


def _check_whole(call: Call, clock: Clock) -> None:
    if call.operation in TEXT and not _is_whole(call):
        raise _cut(call.reply, clock)


def _cut(reply: Reply, clock: Clock) -> LLMError:
    if clock.content:
        return StreamInterrupted("the reply ended without the provider's word that it is complete", partial=reply.text)
    return Disconnected("the provider ended its reply before it said anything", sent=True)


def _bound(call: Call) -> Usage:
    """What the attempt may use at most. What a model writes at most is looked up only where a budget needs it."""
    if call.operation not in TEXT:
        return bound(call.request, 0)
    known = call.provider.capabilities(call.request.model).output if call.settings.budgets else None
    return bound(call.request, known or OUTPUT)


def _settle(call: Call, row: Attempt, clock: Clock, first: float | None, failure: BaseException | None) -> None:
    """The attempt is over: settle its row, and tell of the host's health what its content has not told already."""
    settled, usage = _outcome(call, clock, failure)
    error, seconds = type(failure).__name__ if failure else None, clock.now() - clock.started
    call.row = call.ledger.settle(
        row, settled, usage, seconds=seconds, first_token=first, error=error, queued=call.queued
    )
    call.attempts.append(call.row)
    if not clock.content:
        call.health.settle(failure, call.settings.circuit, clock.now)


def _outcome(call: Call, clock: Clock, failure: BaseException | None) -> tuple[Settled, Usage | None]:
    """How far the attempt's usage is known. What may have run is never written down as nothing."""
    reply, request = call.reply, call.request
    if (used := _trusted(call)) is not None and (failure is None or reply.complete(request.n)):
        return "exact", used
    if clock.content or failure is None:
        return "estimated", _estimate(reply, request)
    if clock.sent and _may_have_run(failure):
        most = bound(request, 0)
        return "upper_bound", most if request.max_tokens is not None else replace(most, output_tokens=None)
    return "none", None


def _trusted(call: Call) -> Usage | None:
    """The provider's figures, if all that count are there, and can be true."""
    reply, used = call.reply, call.reply.usage
    if used is None or used.input_tokens is None or (used.output_tokens is None and call.operation in TEXT):
        return None
    total = used.input_tokens + (used.output_tokens or 0)
    if total > UNDOUBTED:
        window = call.provider.capabilities(call.request.model).context
        if window is not None and total > ABSURD * window:
            reply.warnings.append(f"the provider reported {total} tokens for a window of {window}; it was not believed")
            reply.usage = None
    return reply.usage


def _may_have_run(failure: BaseException) -> bool:
    """Errors say so by ``sent``; an unreadable answer is an answer; what is no error of ours cut the attempt off."""
    if isinstance(failure, LLMError):
        unreadable = isinstance(failure, BadResponse) and not isinstance(failure, Redirected)
        return unreadable or (bool(getattr(failure, "sent", False)) and not getattr(failure, "stale", False))
    return True


def _estimate(reply: Reply, request: Request) -> Usage:
    from llmsdk.accounting.tokens import estimate

    known = reply.usage or Usage()
    prompt = known.input_tokens if known.input_tokens is not None else _prompt_tokens(request)
    return Usage(prompt, max(estimate(reply.seen), known.output_tokens or 0), source="estimate")


def _prompt_tokens(request: Request) -> int:
    from llmsdk.accounting.tokens import estimate

    return sum(estimate(message.text) + 4 for message in request.messages)


def _span(call: Call) -> Callable[[dict[str, Any]], None] | None:
    assert call.tracer is not None
    told = {"provider": call.provider.name, "model": call.request.model, "parent": call.span}
    if call.label:
        told["member"] = call.label
    return quietly("tracer.start", call.tracer.start, "attempt", told)


def _end(span: Callable[[dict[str, Any]], None] | None, row: Attempt | None) -> None:
    if span is None or row is None:
        return
    told = {"settled": row.settled, "usage": row.usage, "error": row.error}
    quietly("a span of tracer", span, told | {"seconds": row.seconds, "queued": row.queued})


def _warning(note: str) -> Info:
    return Info(warning=note)
