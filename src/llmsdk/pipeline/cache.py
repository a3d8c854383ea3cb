"""Replies that were given before, to the very same question. Outside of retry: a hit asks nobody and waits for nothing.

A reply is kept once it is whole; what failed, was cut or was left early never is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from llmsdk.cache import Asked, Cache
from llmsdk.io import closing
from llmsdk.pipeline import Call, Handler, is_content
from llmsdk.reply import Reply
from llmsdk.types import Event, Usage

GOOD = frozenset({"stop", "length", "tool_call"})
"""How a reply that is worth keeping ends."""


def cache(handler: Handler) -> Handler:
    """Look for the reply before asking, where the call wants that."""

    def cached(call: Call) -> AsyncIterator[Event]:
        if call.cache is None or call.given is None or not _wanted(call):
            return handler(call)
        others = call.choice.members.hosts[1:] if call.choice is not None else ()
        asked = Asked(call.operation, call.request, call.provider, call.given, call.settings.cache.namespace, others)
        return _cached(handler, call, call.cache, asked)

    return cached


def _wanted(call: Call) -> bool:
    policy, request = call.settings.cache, call.request
    return policy.on and (policy.sampled or request.temperature == 0 or request.seed is not None)


async def _cached(handler: Handler, call: Call, kept: Cache, asked: Asked) -> AsyncIterator[Event]:
    found = await kept.find(asked, call.settings.cache.ttl, call.io)
    if found is not None:
        reply = call.reply = Reply()
        _note(call, found)
        for event in found:
            reply.add(event)
            call.delivered = call.delivered or is_content(event)
            yield event
        return
    events: list[Event] = []
    reply = call.reply
    async with closing(handler(call)) as coming:
        async for event in coming:
            if call.reply is not reply:  # another attempt, which begins anew
                reply = call.reply
                events.clear()
            events.append(event)
            yield event
    if _good(call.reply):
        await kept.keep(asked, events, call.io)


def _good(reply: Reply) -> bool:
    """Whether a whole reply is what was asked for."""
    choices = reply.choices
    return all(choice.finish_reason in GOOD for choice in choices) and bool(choices or reply.output is not None)


def _note(call: Call, found: Sequence[Event]) -> None:
    """A row for what was not asked, which says what the reply took when it was made."""
    saved = next((event for event in reversed(found) if isinstance(event, Usage)), None)
    tariff, tags = getattr(call.provider, "tariff", None), call.settings.tags
    name, model = call.provider.name, call.request.model
    call.attempts.append(call.ledger.hit(name, model, call.operation, saved=saved, tags=tags, tariff=tariff))
