"""From one model to the next: a task, or a streamed question, on the first of some lines that answers.

It stands above the tasks, since another model may need another prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Generic, TypeVar

from llmsdk.errors import (
    CircuitOpen,
    LLMError,
    QuotaExhausted,
    RuntimeFault,
    StreamInterrupted,
    Transient,
    Unsupported,
)
from llmsdk.io import closing
from llmsdk.pipeline import Call
from llmsdk.pipeline.line import Line
from llmsdk.results import Result
from llmsdk.tasks import Question, Show, Task, follow
from llmsdk.types import Event, Reset, TextDelta

R = TypeVar("R", bound=Result)


async def first(lines: Sequence[Callable[[], Line]], task: Task[R]) -> R:
    """The result of a task on the first model that can."""
    if len(lines) == 1:
        return await _on(lines[0](), task)
    turns = _in_turn(lines)
    for line in islice(turns, len(lines) - 1):
        try:
            return await _on(line, task)
        except LLMError as error:
            if not (may_fall_back(error) or _may_restart(error, line)):
                raise
    return await _on(next(turns), task)


def _in_turn(lines: Sequence[Callable[[], Line]]) -> Iterator[Line]:
    """The lines, each made when it is its turn. Deadline and times are the call's, which began with the first."""
    begun = lines[0]()
    yield begun
    for make in lines[1:]:
        line = make()
        line.started, line.asked, line.deadline = begun.started, begun.asked, begun.deadline
        yield line


async def _on(line: Line, task: Task[R]) -> R:
    try:
        return await task.run(line)
    except LLMError as error:
        raise line.attach(error) from error.__cause__


def may_fall_back(error: LLMError) -> bool:
    """Whether another model may do better: this one is out of reach, not the request at fault."""
    return isinstance(error, Transient | QuotaExhausted | RuntimeFault | Unsupported | CircuitOpen)


def _may_restart(error: LLMError, line: Line) -> bool:
    """Whether the caller wants another model's reply though some of this one's had come."""
    return bool(line.settings.restart) and (isinstance(error, StreamInterrupted) or may_fall_back(error))


@dataclass(slots=True)
class Flow(Generic[R]):
    """One streamed question: its events, and its result when they have ended."""

    verb: str
    lines: Sequence[Callable[[], Line]] = field(repr=False)
    question: Question[R] = field(repr=False)
    result: R | None = None

    async def events(self) -> AsyncIterator[Event]:
        """The events of the first model that answers. After its first content another is asked only by option."""
        for number, line in enumerate(_in_turn(self.lines), start=1):
            question: Question[R] | None = self.question
            call: Call | None = None
            told = False
            try:
                while question is not None:
                    asked = question
                    call, stream = line.stream(replace(asked.ask(line), stream=True))
                    show = asked.show(line)
                    async with closing(stream), closing(_shown(stream, show) if show else stream) as shown:
                        async for event in shown:
                            told = told or call.delivered
                            yield event
                    question = await follow(asked, call.reply, line)
                    if question is None:
                        self.result = asked.read(call.reply, line)
                        return
            except LLMError as error:
                told = told or (call is not None and call.delivered)
                goes_on = _may_restart(error, line) if told else may_fall_back(error)
                if number == len(self.lines) or not goes_on:
                    raise line.attach(error) from error.__cause__
            if told:
                yield Reset()


async def _shown(stream: AsyncIterator[Event], show: Show) -> AsyncIterator[Event]:
    """The stream with its text as the caller is to see it."""
    async for event in stream:
        if type(event) is not TextDelta:
            yield event
        elif text := show(event.text):
            yield TextDelta(text, event.index, event.logprobs)
    if text := show(""):
        yield TextDelta(text)
