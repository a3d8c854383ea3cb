"""A reply as it grows: the fold over the events of one attempt, streamed and buffered alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llmsdk.results import Choice
from llmsdk.types import (
    Event,
    Finish,
    FinishReason,
    Info,
    Message,
    Output,
    Part,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)


@dataclass(slots=True)
class _Reasoning:
    at: int
    """How many pieces of text came before it."""
    pieces: list[str] = field(default_factory=list)
    state: object = None

    def part(self) -> Part | None:
        text = "".join(self.pieces)
        return Reasoning(text, self.state) if text or self.state is not None else None


@dataclass(slots=True)
class _ToolCall:
    at: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    state: object = None

    def part(self) -> Part:
        return ToolCall(self.id, self.name, "".join(self.arguments), self.state)


@dataclass(slots=True)
class _Choice:
    """Text is nearly all of a stream, so it only grows: what stands between remembers where it does."""

    text: list[str] = field(default_factory=list)
    thoughts: dict[int, _Reasoning] = field(default_factory=dict)
    calls: dict[int, _ToolCall] = field(default_factory=dict)
    between: list[_Reasoning | _ToolCall] = field(default_factory=list)
    """Thoughts and calls, in the order in which they began."""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: Finish | None = None

    def thought(self, slot: int) -> _Reasoning:
        thought = self.thoughts.get(slot)
        if thought is None:
            thought = self.thoughts[slot] = _Reasoning(len(self.text))
            self.between.append(thought)
        return thought

    def call(self, slot: int) -> _ToolCall:
        call = self.calls.get(slot)
        if call is None:
            call = self.calls[slot] = _ToolCall(len(self.text))
            self.between.append(call)
        return call

    @property
    def reasoning(self) -> str:
        return "".join([piece for thought in self.thoughts.values() for piece in thought.pieces])

    def parts(self) -> Iterator[Part]:
        """Everything in the order in which it began; text that came in one go is one part."""
        done = 0
        for item in self.between:
            if text := "".join(self.text[done : item.at]):
                yield Text(text)
            done = item.at
            if (part := item.part()) is not None:
                yield part
        if text := "".join(self.text[done:]):
            yield Text(text)


@dataclass(slots=True)
class Reply:
    """What has come so far. ``complete(n)`` says whether the provider called all of it whole."""

    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    warnings: list[str] = field(default_factory=list)
    raw: bytes | tuple[bytes, ...] | None = None
    output: object = None
    _choices: dict[int, _Choice] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take in the next event. Text first: it is nearly all of a stream."""
        match event:
            case TextDelta():
                choice = self._choice(event.index)
                choice.text.append(event.text)
                choice.logprobs += event.logprobs
            case ReasoningDelta():
                thought = self._choice(event.index).thought(event.slot)
                thought.pieces.append(event.reasoning)
                thought.state = event.provider_state or thought.state
            case ToolCallDelta():
                call = self._choice(event.index).call(event.slot)
                call.id, call.name = event.id or call.id, event.name or call.name
                call.arguments.append(event.arguments)
                call.state = event.provider_state or call.state
            case Usage():
                self.usage = event
            case Finish():
                self._choice(event.index).finish = event
            case Info():
                self._note(event)
            case Output():
                self.output = event.value

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _note(self, info: Info) -> None:
        self.id, self.model, self.raw = info.id or self.id, info.model or self.model, info.raw or self.raw
        if info.warning:
            self.warnings.append(info.warning)

    @property
    def reasons(self) -> list[FinishReason]:
        """Why each choice ended, in order."""
        finishes = [self._choices[index].finish for index in sorted(self._choices)]
        return [finish.reason if finish else "other" for finish in finishes]

    def complete(self, n: int) -> bool:
        """Whether each of ``n`` choices has its ``Finish``."""
        return len([choice for choice in self._choices.values() if choice.finish]) >= n

    @property
    def finish(self) -> Finish | None:
        """The first choice's."""
        return self._choices[0].finish if 0 in self._choices else None

    @property
    def text(self) -> str:
        """The first choice's text."""
        return "".join(self._choices[0].text) if 0 in self._choices else ""

    @property
    def seen(self) -> str:
        """Everything that was generated, of all choices, reasoning and arguments included."""
        pieces: list[str] = []
        for choice in self._choices.values():
            pieces += [*choice.text, choice.reasoning]
            pieces += [piece for call in choice.calls.values() for piece in (call.name, *call.arguments)]
        return "".join(pieces)

    @property
    def reasoning(self) -> str:
        """The first choice's, of all its blocks."""
        return self._choices[0].reasoning if 0 in self._choices else ""

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple([_read(self._choices[index]) for index in sorted(self._choices)])


def _read(choice: _Choice) -> Choice:
    text = "".join(choice.text)
    parts = tuple(choice.parts()) if choice.between else ()
    message = Message("assistant", text if not parts or parts == (Text(text),) else parts)
    return Choice(text, choice.finish.reason if choice.finish else "other", message, tuple(choice.logprobs) or None)
