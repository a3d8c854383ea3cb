"""The tasks: what to ask a model, and how to read its reply. Nothing here waits but through a ``Line``.

A task is a frozen value that holds its checked arguments. A task of one question has three pure parts: ``ask``
builds the request, ``show`` says which text of a stream the caller sees, ``read`` makes the result. A task of several
steps has one coroutine, ``run``. The module of a task is imported when its verb is first used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llmsdk.pipeline.line import Line
from llmsdk.reply import Reply
from llmsdk.results import Result
from llmsdk.types import Request

if TYPE_CHECKING:
    from llmsdk.tasks import answer as answer
    from llmsdk.tasks import chat as chat
    from llmsdk.tasks import classify as classify
    from llmsdk.tasks import complete as complete
    from llmsdk.tasks import translate as translate

R_co = TypeVar("R_co", bound=Result, covariant=True)

Show = Callable[[str], str]
"""Takes the next piece of text and returns what may be shown now; ``""`` at the end asks for what was held back."""


class Task(Protocol[R_co]):
    """What the client runs."""

    def route(self, line: Line) -> str:
        """How it is asked down this line, as ``Result.route`` tells."""
        ...

    async def run(self, line: Line) -> R_co: ...


class Question(Task[R_co], Protocol):
    """A task of one question, whose answer is text: it can be streamed."""

    def ask(self, line: Line) -> Request: ...

    def show(self, line: Line) -> Show | None:
        """A fresh filter for the text of one stream down ``line``; ``None`` shows everything as it comes."""
        ...

    def read(self, reply: Reply, line: Line) -> R_co: ...


class Leads(Protocol):
    """A question whose reply may lead to another one, on the same line."""

    async def follow(self, reply: Reply, line: Line) -> Question[Any] | None: ...


async def follow(question: Question[Any] | Leads, reply: Reply, line: Line) -> Question[Any] | None:
    """The question that a reply leads to; ``None`` where it is the last."""
    # asked by name: isinstance() of a protocol costs more than the rest of a task
    leads: Callable[[Reply, Line], Awaitable[Question[Any] | None]] | None = getattr(question, "follow", None)
    return None if leads is None else await leads(reply, line)


async def last(question: Question[R_co], line: Line) -> tuple[Question[R_co], Reply]:
    """Ask, and follow where the replies lead: the last question and its reply."""
    reply = await line.ask(question.ask(line))
    while (more := await follow(question, reply, line)) is not None:
        question, reply = more, await line.ask(more.ask(line))
    return question, reply


async def run(question: Question[Any], line: Line) -> Any:
    """Ask, follow where the replies lead, and read the last one."""
    question, reply = await last(question, line)
    return question.read(reply, line)


def _load(name: str) -> Any:
    if name in ("answer", "chat", "classify", "complete", "translate"):
        return import_module(f"llmsdk.tasks.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not TYPE_CHECKING:  # a checker that sees __getattr__ takes every name for one of ours
    __getattr__ = _load
