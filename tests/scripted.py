"""A provider that says what a test scripted: for the pipeline and the tasks, without a wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

from llmsdk.io import IO
from llmsdk.provider import Capabilities, Settings
from llmsdk.types import Event, Finish, Output, Request, Score, TextDelta, Usage

Script = Sequence[Event | BaseException]
FULL = Capabilities(
    complete=True,
    schema="strict",
    tools=True,
    options=frozenset({"max_tokens", "temperature", "stop", "seed", "n"}),
)
USED = Usage(7, 3)


def says(text: str, *, reason: Any = "stop", usage: Usage | None = USED) -> list[Event]:
    """A whole reply, a piece a character."""
    return [*(TextDelta(char) for char in text), *([usage] if usage else []), Finish(reason, reason)]


class Scripted:
    """Answers each request with the next script; an exception in one is raised there. Keeps the requests."""

    contract: ClassVar[int] = 1
    Settings: ClassVar[type[Settings]] = Settings
    key_variables: ClassVar[tuple[str, ...]] = ()
    loop_bound: ClassVar[bool] = False

    def __init__(
        self, *scripts: Script | Callable[[Request], Script], name: str = "scripted", can: Capabilities = FULL
    ):
        self.name = name
        self.can = can
        self.scripts = list(scripts)
        self.requests: list[Request] = []
        self.closed = 0
        """Replies whose iteration has ended, one way or another."""
        self.sent = True
        """Whether an attempt counts as sent before its first event."""

    def capabilities(self, model: str) -> Capabilities:
        return self.can

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        self.requests.append(request)
        script = self.scripts.pop(0)
        events = script(request) if callable(script) else script
        if io.clock is not None:
            io.clock.sent = self.sent
        try:
            for event in events:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


class Scoring(Scripted):
    """A scripted provider that also scores: a candidate is as probable as its place in ``ranking``."""

    def __init__(self, ranking: Callable[[Request, str], float], **options: Any):
        super().__init__(**options)
        self.ranking = ranking

    async def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        self.requests.append(request)
        yield Usage(10, 0, source="local")
        yield Output(tuple(Score(self.ranking(request, candidate), 1) for candidate in candidates))
