"""The tracing hook: a span around a call, outermost. Without a tracer it costs one comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from llmsdk.io import close
from llmsdk.pipeline import Call, Handler
from llmsdk.pipeline.hooks import quietly
from llmsdk.results import Attempt, total_usage
from llmsdk.types import Event

OPTIONS = frozenset({
    "max_tokens", "temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty",
})  # fmt: skip
"""Fields of a request that are numbers, and no content."""


def trace(handler: Handler) -> Handler:
    """Open a span for the call and close it with what came of it. No content enters a span that did not ask for it."""

    def traced(call: Call) -> AsyncIterator[Event]:
        return handler(call) if call.tracer is None else _spanned(handler, call)

    return traced


async def _spanned(handler: Handler, call: Call) -> AsyncIterator[Event]:
    assert call.tracer is not None
    before, began, first = len(call.attempts), call.io.now(), None
    content = bool(getattr(call.tracer, "content", False))
    end = call.span = quietly("tracer.start", call.tracer.start, call.operation, _asked(call, content))
    failure: BaseException | None = None
    events = handler(call)
    try:
        async for event in events:
            if first is None and call.delivered:
                first = call.io.now() - began
            yield event
    except BaseException as error:
        failure = error
        await close(events)
        raise
    finally:
        times = {"first_token": first, "seconds": call.io.now() - began}
        if end:
            quietly("a span of tracer", end, _answered(call, before, failure, content) | times)


def _asked(call: Call, content: bool) -> dict[str, Any]:
    request = call.request
    options = {name: value for name, value in vars(request).items() if name in OPTIONS and value is not None}
    told: dict[str, Any] = {
        "provider": call.provider.name,
        "model": request.model,
        "address": _address(call.provider) if _alone(call) else None,
        "raw": isinstance(request.input, str),
        "stream": request.stream,
        "n": request.n,
        "schema": request.schema is not None,
        "options": options,
    }
    return told | {"input": request.messages} if content else told


def _alone(call: Call) -> bool:
    """Whether it is settled from the start who is asked."""
    return call.choice is None or len(call.choice.members.hosts) == 1


def _address(provider: Any) -> str | None:
    return getattr(getattr(provider, "host", None), "url", None)


def _who(call: Call, rows: Sequence[Attempt]) -> dict[str, Any]:
    """Who gave the latest reply, where that was open at the start."""
    if call.choice is None or _alone(call) or not rows or rows[-1].cached:
        return {}
    member = call.choice.members.called(rows[-1].provider)
    return {"provider": member.provider.name, "asked": member.model, "address": _address(member.provider)}


def _answered(call: Call, before: int, failure: BaseException | None, content: bool) -> dict[str, Any]:
    reply, rows = call.reply, call.attempts[before:]
    reasons = reply.reasons
    told: dict[str, Any] = {
        "error": type(failure).__name__ if failure else None,
        "attempts": len(rows),
        "finish_reason": reasons[0] if reasons else None,
        "finish_reasons": reasons,
        "id": reply.id,
        "model": reply.model,
        "usage": total_usage(rows),
        "cached": bool(rows) and rows[-1].cached,
    }
    told |= _who(call, rows)
    return told | {"output": tuple(choice.message for choice in reply.choices)} if content else told
