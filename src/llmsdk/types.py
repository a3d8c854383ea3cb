"""What travels through the library: messages, a request, the events of a reply, and usage.

Everything here is frozen data without behaviour that waits. A provider turns a ``Request`` into a stream of
``Event``; ``llmsdk.reply`` folds that stream, and the tasks read ``llmsdk.results`` out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from llmsdk.direct import direct

T = TypeVar("T")
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_call", "content_filter", "refusal", "pause", "error", "other"]
Operation = Literal["generate", "score", "embed", "count", "translate", "answer", "classify", "models"]
Source = Literal["provider", "local", "estimate", "mixed"]


# --- messages ---------------------------------------------------------------------------------------------------


@direct
@dataclass(frozen=True, slots=True)
class Text:
    """A run of text. ``provider_state`` is opaque and goes back untouched to the provider that made it."""

    text: str
    provider_state: Any = field(default=None, repr=False)
    type: Literal["text"] = field(default="text", repr=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it answered, where the provider shows it."""

    text: str
    provider_state: Any = field(default=None, repr=False)
    type: Literal["reasoning"] = field(default="reasoning", repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for. ``arguments_json`` is the model's own text; ``arguments`` parses it."""

    id: str
    name: str
    arguments_json: str
    provider_state: Any = field(default=None, repr=False)
    type: Literal["tool_call"] = field(default="tool_call", repr=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as a mapping.

        Raises:
            InvalidToolArguments: the model's text is not a JSON object.
        """
        from pydantic_core import from_json

        from llmsdk.errors import InvalidToolArguments

        try:
            value = from_json(self.arguments_json or "{}", allow_inf_nan=False)
        except ValueError as error:
            raise InvalidToolArguments(f"the arguments of {self.name!r} are not JSON: {error}") from error
        if not isinstance(value, dict):
            raise InvalidToolArguments(f"the arguments of {self.name!r} are a {type(value).__name__}, not an object")
        return value


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned, to be sent back under the ``id`` of its call."""

    id: str
    content: str
    name: str | None = None
    is_error: bool = False
    type: Literal["tool_result"] = field(default="tool_result", repr=False)


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a PDF or a recording that the model is to look at or listen to.

    ``media_type`` is such as ``image/png``, ``application/pdf`` or ``audio/wav``. Exactly one of ``data`` and ``url``
    is given; a URL is fetched by the provider, never by this library. One that does not lead to the public internet is
    refused, unless ``private`` says that the provider may read there, such as a server on one's own network.
    """

    media_type: str
    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    name: str | None = None
    private: bool = False
    type: Literal["media"] = field(default="media", repr=False)


Part = Text | Reasoning | ToolCall | ToolResult | Media


@direct
@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str | tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Text(self.content),) if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """The text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


# --- request ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. ``parameters`` is a JSON schema."""

    name: str
    parameters: Mapping[str, Any]
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True)  # without slots, so that it can be filled at once
class Request:
    """One question to one model. ``None`` leaves a choice to the provider.

    ``input`` is a raw prompt (a ``str``, continued as it is) or a conversation. ``stream`` is a hint for the wire
    and never a second meaning: a streamed and a buffered reply fold to the same response.
    """

    model: str
    input: str | tuple[Message, ...]
    stream: bool = False
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    echo: bool = False
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: Mapping[int, float] | None = None
    logprobs: int | None = None
    """How many alternatives to report for each token; 0 is the chosen token's own logprob alone."""
    schema: Mapping[str, Any] | None = None
    """A JSON schema that the reply must satisfy."""
    schema_name: str = "reply"
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    """``auto``, ``none``, ``required`` or the name of a tool."""
    parallel_tool_calls: bool | None = None
    reasoning: Literal["low", "medium", "high"] | int | bool | None = None
    idempotency_key: str | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def messages(self) -> tuple[Message, ...]:
        return (Message("user", self.input),) if isinstance(self.input, str) else self.input


def filled(kind: type[T], fields: dict[str, Any]) -> T:
    """``kind(**fields)`` of a frozen dataclass without slots, of which all fields without a plain default are given.

    It would set each of its fields by a call of its own, which takes five times as long. It keeps ``fields``.
    """
    made = object.__new__(kind)
    object.__setattr__(made, "__dict__", fields)
    return made


# --- usage ------------------------------------------------------------------------------------------------------


class _Wordless:
    """An event that adds nothing to the answer."""

    __slots__ = ()

    @property
    def text(self) -> str:
        return ""


@direct
@dataclass(frozen=True, slots=True)
class Usage(_Wordless):
    """Tokens of one attempt, or of a whole call. ``None`` means not reported, never zero.

    ``input_tokens`` includes cached ones and cache writes, ``output_tokens`` includes reasoning. A later ``Usage``
    event of the same attempt replaces an earlier one: figures in a stream are cumulative.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: Source = "provider"

    @property
    def total_tokens(self) -> int | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage.total((self, other))

    @classmethod
    def total(cls, usages: Sequence[Usage]) -> Usage:
        """All of them added up: in one step, since a new object for each of many costs more than the sum."""
        sources: set[Source] = {usage.source for usage in usages}
        return cls(
            _sum([usage.input_tokens for usage in usages]),
            _sum([usage.output_tokens for usage in usages]),
            _sum([usage.cached_input_tokens for usage in usages]),
            _sum([usage.cache_write_tokens for usage in usages]),
            _sum([usage.reasoning_tokens for usage in usages]),
            "provider" if not sources else sources.pop() if len(sources) == 1 else "mixed",
        )


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many input tokens a request has.

    ``method`` is ``exact`` (the provider counted), ``local`` (the model's own tokenizer) or ``estimate``; an
    estimate is right to within ``margin`` (a fraction: 0.25 is a quarter) for ordinary text.
    """

    value: int
    method: Literal["exact", "local", "estimate"]
    margin: float = 0.0


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, the natural logarithm of its probability, and its best alternatives (most probable first)."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@direct
@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of text of choice ``index``."""

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@direct
@dataclass(frozen=True, slots=True)
class ReasoningDelta(_Wordless):
    """The next piece of the reasoning in ``slot``. Not part of the answer, so ``text`` is empty.

    A provider that thinks in several blocks, or that has other blocks to be sent back as they came, numbers them; a
    block without words for the reader is a ``provider_state`` alone. The last state of a slot holds.
    """

    reasoning: str
    index: int = 0
    provider_state: Any = None
    slot: int = 0


@direct
@dataclass(frozen=True, slots=True)
class ToolCallDelta(_Wordless):
    """A piece of the tool call in ``slot``. An empty ``id`` or ``name`` adds nothing to what came before."""

    slot: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0
    provider_state: Any = None


@direct
@dataclass(frozen=True, slots=True)
class Info(_Wordless):
    """What the provider said about the reply: its id, the model that really answered, how it was reached."""

    id: str | None = None
    model: str | None = None
    warning: str | None = None
    raw: bytes | tuple[bytes, ...] | None = field(default=None, repr=False)
    """The body as received; one item per event for a stream."""


@direct
@dataclass(frozen=True, slots=True)
class Finish(_Wordless):
    """The provider's own word that choice ``index`` is complete. Without it a stream was cut."""

    reason: FinishReason
    raw_reason: str | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class Output(_Wordless):
    """The whole result of an operation that yields no text: scores, vectors, spans, a list of models."""

    value: Any


@dataclass(frozen=True, slots=True)
class Reset(_Wordless):
    """All that has come so far is void: it broke off, and the next model begins anew. Only with ``restart=True``."""


Event = TextDelta | ReasoningDelta | ToolCallDelta | Usage | Info | Finish | Output | Reset


@dataclass(frozen=True, slots=True)
class Score:
    """log P(candidate | prompt), summed over its tokens (natural logarithm), and how many tokens that was."""

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where an answer stands: ``documents[source][start:end]``, in characters."""

    source: int
    """Index of the document, from 0."""
    start: int
    end: int
    score: float | None = None
    """How probable the model finds it, against every other passage of the document and against there being none."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a provider offers."""

    id: str
    provider: str
    context: int | None = None
    """The window in tokens, where known."""
