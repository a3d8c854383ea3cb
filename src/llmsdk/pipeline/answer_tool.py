"""A schema as a tool that must be called, for models that call tools but hold no reply to a schema.

The provider is asked for the call; everybody else sees the arguments of the call as the text of the reply.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from llmsdk.io import IO, closing
from llmsdk.pipeline import Invoke
from llmsdk.provider import Provider
from llmsdk.types import Event, Finish, Request, TextDelta, Tool, ToolCallDelta

WHAT_FOR = "Give the answer."


def as_tool(request: Request, *, one_call: bool) -> Request:
    """The request with its schema as its only tool. ``one_call``: the provider can be told not to call it twice."""
    tool = Tool(request.schema_name, request.schema or {}, WHAT_FOR)
    single = False if one_call else None
    return replace(request, schema=None, tools=(tool,), tool_choice=tool.name, parallel_tool_calls=single)


def as_text(invoke: Invoke) -> Invoke:
    """The same operation with the arguments of each choice's first call as its text."""

    async def invoked(provider: Provider, request: Request, io: IO) -> AsyncIterator[Event]:
        answer = Answer()
        async with closing(invoke(provider, request, io)) as events:
            async for event in events:
                for read in answer.read(event):
                    yield read

    return invoked


class Answer:
    """Reads the events of one reply.

    What a model says in words is kept back, since a call may follow that makes it a preface. Without a call it is the
    reply, as of a host that takes no notice of tools.
    """

    __slots__ = ("_called", "_said")

    def __init__(self) -> None:
        self._called: set[int] = set()
        self._said: dict[int, list[TextDelta]] = {}

    def read(self, event: Event) -> list[Event]:
        match event:
            case ToolCallDelta():
                self._called.add(event.index)
                return [TextDelta(event.arguments, event.index)] if event.slot == 0 and event.arguments else []
            case TextDelta():
                self._said.setdefault(event.index, []).append(event)
                return []
            case Finish():
                return self._end(event)
            case _:
                return [event]

    def _end(self, finish: Finish) -> list[Event]:
        if finish.index not in self._called:
            return [*self._said.pop(finish.index, ()), finish]
        return [replace(finish, reason="stop") if finish.reason == "tool_call" else finish]
