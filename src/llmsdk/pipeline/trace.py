"""The tracing hook: a span around a call, outermost. Without a tracer it costs one comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from llmsdk.io import closing
from llmsdk.pipeline import Call, Handler
from llmsdk.types import Event


def trace(handler: Handler) -> Handler:
    """Open a span for the call and close it with what came of it. No content enters a span."""

    def traced(call: Call) -> AsyncIterator[Event]:
        return handler(call) if call.tracer is None else _spanned(handler, call)

    return traced


async def _spanned(handler: Handler, call: Call) -> AsyncIterator[Event]:
    assert call.tracer is not None
    name, model = call.provider.name, call.request.model
    close = call.tracer.start(call.operation, {"provider": name, "model": model})
    outcome: dict[str, Any] = {"error": None}
    try:
        async with closing(handler(call)) as events:
            async for event in events:
                yield event
    except BaseException as error:
        outcome["error"] = type(error).__name__
        raise
    finally:
        finish = call.reply.finish
        close(outcome | {"attempts": len(call.attempts), "finish_reason": finish.reason if finish else None})
