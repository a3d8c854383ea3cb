"""A reply as it grows: the fold over the events of one attempt, streamed and buffered alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmsdk.results import Choice
from llmsdk.types import (
    Event,
    Finish,
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
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    state: object = None


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    state: object = None
    calls: dict[int, _ToolCall] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: Finish | None = None


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
                choice = self._choice(event.index)
                choice.reasoning.append(event.reasoning)
                choice.state = event.provider_state or choice.state
            case ToolCallDelta():
                call = self._choice(event.index).calls.setdefault(event.slot, _ToolCall())
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

    def complete(self, n: int) -> bool:
        """Whether each of ``n`` choices has its ``Finish``."""
        return sum(choice.finish is not None for choice in self._choices.values()) >= n

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
            pieces += [*choice.text, *choice.reasoning]
            pieces += [piece for call in choice.calls.values() for piece in (call.name, *call.arguments)]
        return "".join(pieces)

    @property
    def reasoning(self) -> str:
        return "".join(self._choices[0].reasoning) if 0 in self._choices else ""

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(_read(self._choices[index]) for index in sorted(self._choices))


def _read(choice: _Choice) -> Choice:
    text = "".join(choice.text)
    parts: list[Part] = []
    if choice.reasoning or choice.state is not None:
        parts.append(Reasoning("".join(choice.reasoning), choice.state))
    if text:
        parts.append(Text(text))
    parts += [
        ToolCall(call.id, call.name, "".join(call.arguments), call.state) for _, call in sorted(choice.calls.items())
    ]
    message = Message("assistant", text if parts == [Text(text)] or not parts else tuple(parts))
    return Choice(text, choice.finish.reason if choice.finish else "other", message, tuple(choice.logprobs) or None)
