"""What a provider is, what a model of it can do, and the small protocols for whatever more it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from llmsdk.io import IO
from llmsdk.types import Event, Request, TokenCount

Native = Literal["translate", "answer", "classify"]
"""The verbs that a model may be made for."""
Schema = Literal["none", "json", "strict"]
SCHEMAS: tuple[Schema, ...] = get_args(Schema)
"""From the loosest to the best."""
CONTRACT = 1
"""Version of this contract. The registry refuses a provider that was written for another."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model of a provider can do. The verbs choose their route by it, before any I/O."""

    complete: bool = False
    """Continues a raw prompt."""
    suffix: bool = False
    """Fills in between a prompt and a suffix."""
    chat: bool = True
    schema: Schema = "none"
    """``strict`` holds the reply to a JSON schema, ``json`` only to some JSON object."""
    logprobs: int = 0
    """How many alternatives a token may report; 0 is none."""
    tools: bool = False
    options: frozenset[str] = frozenset({"max_tokens", "temperature", "top_p", "stop"})
    """The fields of ``Request`` that are honoured beyond model, input and stream."""
    context: int | None = None
    """The window in tokens, where known."""
    output: int | None = None
    """Tokens of one reply at most where the caller sets no ``max_tokens``, where known: what a budget reserves."""
    native: frozenset[Native] = frozenset()
    """The verbs that this very model is made for. They are then not asked in words, but by ``Translates``, ``Answers``
    and ``Classifies``, which are the provider's. Many such models have neither ``chat`` nor ``complete``."""

    def __and__(self, other: Capabilities) -> Capabilities:
        """What both can. Of windows and replies the smaller and the larger, as far as they are known: what surely fits,
        and what may have to be paid for."""
        return Capabilities(
            complete=self.complete and other.complete,
            suffix=self.suffix and other.suffix,
            chat=self.chat and other.chat,
            schema=SCHEMAS[min(SCHEMAS.index(self.schema), SCHEMAS.index(other.schema))],
            logprobs=min(self.logprobs, other.logprobs),
            tools=self.tools and other.tools,
            options=self.options & other.options,
            context=min((n for n in (self.context, other.context) if n is not None), default=None),
            output=None if self.output is None or other.output is None else max(self.output, other.output),
            native=self.native & other.native,
        )


class Provider(Protocol):
    """A backend. One instance serves every thread and loop of a client.

    Constructed as ``Provider(name, settings)`` with ``settings`` an instance of its own ``Settings``; construction
    checks the settings, opens nothing, and raises ``ConfigError`` for what cannot work.
    """

    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[Any]]
    """A class of ``Settings``, or a pydantic model that refuses unknown keys."""
    key_variables: ClassVar[tuple[str, ...]] = ()
    """The vendor's own environment variables for ``api_key``, tried in order."""
    loop_bound: ClassVar[bool] = False
    """It awaits an event loop of its own choice; the sync client then runs it on a portal thread."""
    name: str

    def capabilities(self, model: str) -> Capabilities: ...

    def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """The reply as events: text as it comes, usage, and ``Finish`` for each choice if and only if it is whole."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Scores(Protocol):
    """Says how probable each candidate is as the whole reply to ``request``, in one go."""

    def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output(tuple[Score, ...])``, one score a candidate, in order."""
        ...


@runtime_checkable
class Embeds(Protocol):
    def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output(tuple[tuple[float, ...], ...])``, one vector a text, in order."""
        ...


@runtime_checkable
class Counts(Protocol):
    def count(self, request: Request) -> TokenCount | None:
        """Count the input tokens of a request without a network. May block on disk the first time.

        ``None``: there is no tokenizer to count with; the caller estimates.
        """
        ...


@runtime_checkable
class Lists(Protocol):
    def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output(tuple[Model, ...])``."""
        ...


@runtime_checkable
class CountsExactly(Protocol):
    def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Ask the host how many input tokens a request has: yield ``Output(TokenCount(..., "exact"))``."""
        ...


@runtime_checkable
class Describes(Protocol):
    def describe(self, model: str) -> str | None:
        """How a model would run here, in a few words for people; ``None`` where that is not known yet.

        Nothing is loaded or sent. Raises the error that keeps the model from running, where that is known.
        """
        ...


@runtime_checkable
class Translates(Protocol):
    def translate(self, request: Request, to: str, source: str | None, io: IO) -> AsyncIterator[Event]:
        """Yield the translation of ``request.input`` as text, ``Usage`` where known, and ``Finish`` when it is whole.

        ``to`` and ``source`` are BCP-47 tags; without ``source`` the model has to find out.

        Raises:
            InputError: a language that the model does not translate to or from, or ``source`` missing where it needs
                one; before anything is sent.
        """
        ...


@runtime_checkable
class Answers(Protocol):
    def answer(self, request: Request, documents: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` where known, and ``Output(tuple[Span, ...])``: where in the documents the answer to the
        question in ``request.input`` stands, the best first; none where it does not.
        """
        ...


@runtime_checkable
class Classifies(Protocol):
    def classify(self, request: Request, labels: Sequence[str], multi: bool, io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` where known, and ``Output(dict[str, float])``: the probability of each label for the text in
        ``request.input``, each by itself if ``multi``, else adding up to 1.

        A model whose labels are fixed gives all that it has, whatever ``labels`` says; the caller compares.
        """
        ...
