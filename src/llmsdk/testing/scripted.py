"""A provider that says what a test tells it to: no network, no model, no key.

    model = Scripted("Hello!", ["Once ", "upon ", RateLimited("slow down")], lambda request: request.model)
    client = Client("scripted:any", provider=model)

It takes the very road of a real provider, so that retries, budgets, streams and the ledger behave as they will.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from llmsdk.io import IO
from llmsdk.provider import Capabilities, Settings
from llmsdk.types import Event, Finish, Output, Request, Score, TextDelta, ToolCall, ToolCallDelta, Usage

Piece: TypeAlias = "str | Event | ToolCall | BaseException"
Said: TypeAlias = "Piece | Mapping[str, Any] | Sequence[Piece]"
Reply: TypeAlias = "Said | Callable[[Request], Said]"
CAN = Capabilities(
    complete=True,
    schema="strict",
    tools=True,
    options=frozenset({"max_tokens", "temperature", "stop", "seed", "n"}),
)
"""What a scripted model can do, unless it is told otherwise."""


class ScriptEnded(AssertionError):
    """More was asked than the script has replies for."""


class Scripted:
    """Answers each request with the next reply, and keeps the requests in ``requests``.

    A reply is a text, a mapping (sent as JSON: probabilities of labels, or what ``output=`` is to be), a ``ToolCall``,
    an exception, or a list of pieces, one event each: an exception in it breaks the stream there. A function gets the
    request and returns one of these. Usage and the end of the reply are added; a list of nothing but events and
    exceptions is sent as it is, so that a test can leave them out.

    Args:
        replies: in the order of the requests.
        default: what is said when they are used up.
        name: the provider's name, the first part of ``name:model``.
        can: what the model can do; the verbs choose their route by it.
        usage: the figures of every reply; without them tokens are estimated from the texts.
    """

    contract: ClassVar[int] = 1
    Settings: ClassVar[type[Settings]] = Settings
    key_variables: ClassVar[tuple[str, ...]] = ()
    loop_bound: ClassVar[bool] = False

    def __init__(
        self,
        *replies: Reply,
        default: Reply | None = None,
        name: str = "scripted",
        can: Capabilities = CAN,
        usage: Usage | None = None,
    ) -> None:
        self.name: str = name
        self.can: Capabilities = can
        self.replies: list[Reply] = list(replies)
        self.default: Reply | None = default
        self.usage: Usage | None = usage
        self.requests: list[Request] = []
        self.closed: int = 0
        """Replies whose iteration has ended, one way or another."""
        self.sent: bool = True
        """Whether an attempt counts as sent, and so as one that may have run, before its first event."""

    def capabilities(self, model: str) -> Capabilities:
        return self.can

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        pieces = self._next(request)
        if io.clock is not None:
            io.clock.sent = self.sent
        try:
            for piece in pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        """Nothing to close."""

    def _next(self, request: Request) -> Iterator[Event | BaseException]:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else self.default
        if reply is None:
            last = request.messages[-1].text[-200:]
            raise ScriptEnded(f"request {len(self.requests)} is one more than there are replies; it asks {last!r}")
        return self._said(reply(request) if callable(reply) else reply, request)

    def _said(self, said: Said, request: Request) -> Iterator[Event | BaseException]:
        if isinstance(said, Mapping):
            said = json.dumps(said, ensure_ascii=False)
        pieces: Sequence[Piece] = [said] if isinstance(said, _ONE) or not isinstance(said, Sequence) else said
        yield from (_event(number, piece) for number, piece in enumerate(pieces))
        if any(isinstance(piece, str | ToolCall) for piece in pieces):
            called = any(isinstance(piece, ToolCall) for piece in pieces)
            yield self.usage or _usage(request, pieces)
            yield from (Finish("tool_call" if called else "stop", None, index) for index in range(request.n))


class ScriptedScores(Scripted):
    """A scripted provider that scores as well, as a local model does: ``client.classify`` then is exact.

    ``ranking(request, candidate)`` is how probable a candidate is, as a natural logarithm.
    """

    def __init__(self, ranking: Callable[[Request, str], float], *replies: Reply, **options: Any) -> None:
        super().__init__(*replies, **options)
        self.ranking: Callable[[Request, str], float] = ranking

    async def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """The scores of ``ranking``."""
        self.requests.append(request)
        yield Usage(10, 0, source="local")
        yield Output(tuple(Score(self.ranking(request, candidate), 1) for candidate in candidates))


_ONE = (str, ToolCall, BaseException)


def _event(number: int, piece: Piece) -> Event | BaseException:
    match piece:
        case str():
            return TextDelta(piece)
        case ToolCall():
            return ToolCallDelta(number, piece.id or f"call_{number}", piece.name, piece.arguments_json)
        case _:
            return piece


def _usage(request: Request, pieces: Sequence[Piece]) -> Usage:
    from llmsdk.accounting.tokens import count, estimate

    said = "".join(piece if isinstance(piece, str) else getattr(piece, "arguments_json", "") for piece in pieces)
    return Usage(count(request).value, estimate(said))


__all__ = ["Piece", "Reply", "Said", "ScriptEnded", "Scripted", "ScriptedScores"]
