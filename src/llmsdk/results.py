"""What the verbs return: frozen, typed, and honest about how it was obtained and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any, Generic, Literal, Self, overload

from typing_extensions import TypeVar

from llmsdk.direct import direct
from llmsdk.errors import LLMError
from llmsdk.types import FinishReason, Message, Operation, TokenLogprob, ToolCall, Usage

T = TypeVar("T", default=None)
L = TypeVar("L", default=str)
R = TypeVar("R", bound="Result")
Settled = Literal["exact", "estimated", "upper_bound", "none"]


@dataclass(frozen=True)  # without slots, so that the ledger can fill it in at once
class Attempt:
    """One row of the ledger: a request that went out, or tried to.

    ``settled`` says how far ``usage`` can be trusted: ``exact`` (the provider's figure, or counted by the model's own
    tokenizer), ``estimated`` (our count over what was seen), ``upper_bound`` (sent, fate unknown: the reservation
    stands) or ``none`` (surely not run). While it is under way ``settled`` is ``None`` and ``reserved`` counts.
    """

    id: str
    provider: str
    """Its name; with several keys also which of them, such as ``openai#2``."""
    model: str
    operation: Operation
    at: float
    """Wall clock, seconds since the epoch."""
    reserved: int | None = None
    """Tokens set aside before sending: the prompt by our count, plus ``max_tokens``."""
    settled: Settled | None = None
    usage: Usage | None = None
    seconds: float | None = None
    first_token: float | None = None
    """Seconds from sending to the first content."""
    error: str | None = None
    """The class of the error that ended it."""
    tags: tuple[str, ...] = ()
    tariff: str | None = None
    """Whose prices hold: the address that was asked, or a name, where that is not the provider's."""
    queued: float = 0.0
    """Seconds that it waited for its turn before it was sent, by the limits of the account."""
    cached: bool = False
    """It was answered out of the cache: nobody was asked, and nothing used."""
    saved: Usage | None = None
    """What a reply out of the cache took when it was made."""
    idempotency_key: str | None = None
    """What the request was known by to its host; the attempts of one question share it."""

    @property
    def cost(self) -> Decimal | None:
        """US dollars, or ``None`` where usage or price are unknown."""
        from llmsdk.accounting.prices import price

        return price(self)


@direct
@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: before the first attempt went out, and in queues; to the first content; and in all."""

    queued: float = 0.0
    first_token: float | None = None
    total: float = 0.0


@direct
@dataclass(frozen=True, slots=True)
class Record:
    """How a result came about. Every result has one and shows its fields as its own."""

    provider: str
    model: str
    route: str
    attempts: tuple[Attempt, ...] = ()
    timing: Timing = Timing()
    finish_reason: FinishReason = "stop"
    raw_finish_reason: str | None = None
    warnings: tuple[str, ...] = ()
    raw_body: bytes | tuple[bytes, ...] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What all results have."""

    record: Record = field(repr=False)

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts and steps of the call."""
        return total_usage(self.record.attempts)

    @property
    def cost(self) -> Decimal | None:
        """US dollars of all attempts, or ``None`` if the price of any is unknown."""
        return total_cost(self.record.attempts)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self.record.attempts

    @property
    def timing(self) -> Timing:
        return self.record.timing

    @property
    def provider(self) -> str:
        return self.record.provider

    @property
    def model(self) -> str:
        """The model that answered, by the provider's own word where it gave one."""
        return self.record.model

    @property
    def route(self) -> str:
        """How the task was put to the provider, such as ``chat``, ``score``, ``chat+logprobs`` or ``native``."""
        return self.record.route

    @property
    def finish_reason(self) -> FinishReason:
        return self.record.finish_reason

    @property
    def raw_finish_reason(self) -> str | None:
        """The provider's own word."""
        return self.record.raw_finish_reason

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.record.warnings

    @property
    def raw(self) -> Any:
        """The body as the provider sent it, parsed; a list of event bodies for a stream. Not kept in JSON."""
        body = self.record.raw_body
        if isinstance(body, tuple):
            return [_parsed(item) for item in body if item[:1] in (b"{", b"[") and item != b"[DONE]"]
        return None if body is None else _parsed(body)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the fields, the sums ``usage`` and ``cost`` (``None`` where unknown), not ``raw``.

        A cost is a ``Decimal`` and a label what was passed; for JSON there is ``to_json``.
        """
        return {**_plain(self), "usage": _plain(self.usage), "cost": self.cost}

    def to_json(self) -> str:
        """``to_dict`` as JSON. ``cost`` is a string, so that it stays exact."""
        return _json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The result that ``to_json`` wrote; its sums are computed anew.

        Raises:
            pydantic.ValidationError: the text is not such a result.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)


def _json(data: dict[str, Any]) -> str:
    from pydantic_core import to_json

    return to_json(data).decode()


def _parsed(body: bytes) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(body)
    except ValueError:
        from llmsdk.mending import mended

        if (text := mended(body)) is None:
            raise
        return from_json(text)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "raw_body"}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def total_usage(attempts: Sequence[Attempt]) -> Usage:
    """The sum over attempts. One that surely did not run adds nothing."""
    known = [attempt.usage for attempt in attempts if attempt.usage is not None and attempt.settled != "none"]
    return known[0] if len(known) == 1 else Usage.total(known)


def total_cost(attempts: Sequence[Attempt]) -> Decimal | None:
    """The sum over attempts, ``None`` as soon as one that may have run has no known price."""
    total = Decimal(0)
    for attempt in attempts:
        if attempt.settled == "none":
            continue
        cost = attempt.cost
        if cost is None:
            return None
        total += cost
    return total


@direct
@dataclass(frozen=True, slots=True)
class Choice:
    """One of several replies (``n > 1``)."""

    text: str
    finish_reason: FinishReason
    message: Message = field(repr=False)
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)


@direct
@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Result):
    """The continuation of a prompt."""

    text: str
    choices: tuple[Choice, ...] = field(default=(), repr=False)
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)


@direct
@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Result, Generic[T]):
    """The next turn of a conversation. ``message`` appends straight back to it."""

    text: str
    value: T = field(default=None, repr=False)  # type: ignore[assignment]
    """The reply as the type given by ``output=``."""
    message: Message = field(repr=False)
    messages: tuple[Message, ...] = field(default=(), repr=False)
    """All turns that the call added, functions' results included; extends the conversation."""
    reasoning: str = field(default="", repr=False)
    choices: tuple[Choice, ...] = field(default=(), repr=False)
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.message.tool_calls


@direct
@dataclass(frozen=True, slots=True, kw_only=True)
class Translation(Result):
    """A translation. ``to`` and ``source`` are tags in their usual spelling."""

    text: str
    to: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage that proves an answer: ``documents[source][start:end] == quote``, checked."""

    quote: str
    source: int
    """Index of the document, from 0."""
    start: int
    end: int
    score: float | None = field(default=None, repr=False)
    """How probable the model finds this passage, where it finds passages itself (the route ``native``)."""


@direct
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Result):
    """An answer to a question.

    With documents, ``answerable`` says whether they hold the answer (``text`` is empty if not) and ``evidence`` has
    the passages that the model gave for it and that really stand there. Without documents ``answerable`` is ``None``.
    """

    text: str
    answerable: bool | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Result, Generic[L]):
    """The label of a text.

    ``scores`` are probabilities: over the labels (adding up to 1), or for each label by itself when ``multi``.
    ``probability`` says where they come from: ``exact`` (the model's own probability of each label, scored or put out
    by a classifier), ``logprob`` (from the logprobs of its first token) or ``stated`` (the model was asked to say).
    """

    label: L
    labels: tuple[L, ...]
    """All labels that fit, the most probable first; exactly one unless ``multi``."""
    scores: dict[L, float]
    probability: Literal["exact", "logprob", "stated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings(Result):
    """One vector for each text, in order."""

    vectors: tuple[tuple[float, ...], ...] = field(repr=False)


Item = TypeVar("Item", bound=Result, covariant=True)
SHOWN = 3
"""Items of a batch that its repr shows."""


@dataclass(frozen=True, slots=True)
class Batch(Sequence[Item]):
    """Results of a list of inputs, in order. With ``errors="return"`` a failed one is its error."""

    items: tuple[Item, ...]

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.items[:SHOWN]))
        more = f", ... {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return f"Batch([{shown}{more}])"

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @property
    def errors(self) -> dict[int, LLMError]:
        """The inputs that failed, by index."""
        items: tuple[object, ...] = self.items
        return {index: item for index, item in enumerate(items) if isinstance(item, LLMError)}

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(attempt for item in self.items for attempt in item.attempts)  # an error has its attempts too

    @property
    def usage(self) -> Usage:
        return total_usage(self.attempts)

    @property
    def cost(self) -> Decimal | None:
        return total_cost(self.attempts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: ``items`` as their own ``to_dict``, and the sums ``usage`` and ``cost`` (``None`` where unknown).

        One that failed has its class as ``error``, its ``message`` and its ``attempts``. For JSON there is ``to_json``.
        """
        items: tuple[Result | LLMError, ...] = self.items
        plain = [_failed(item) if isinstance(item, LLMError) else item.to_dict() for item in items]
        return {"items": plain, "usage": _plain(self.usage), "cost": self.cost}

    def to_json(self) -> str:
        """``to_dict`` as JSON. ``cost`` is a string, so that it stays exact."""
        return _json(self.to_dict())


def _failed(error: LLMError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": error.message, "attempts": _plain(error.attempts)}


Progress = Callable[[int, int], None]
"""Called with how many inputs are done and how many there are."""
