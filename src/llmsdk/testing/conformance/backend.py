"""What the author of a provider over HTTP brings: a host in a few lines, that says what it is told to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    LLMError,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Unauthorized,
)
from llmsdk.testing.faults import HTTPAnswer
from llmsdk.testing.server import Received
from llmsdk.types import FinishReason, ToolCall, Usage

RETRY_AFTER = 7
"""Seconds that a host with too many requests asks to wait."""


class NotOffered(Exception):
    """Raised by a backend for what its dialect has no words for. The case is skipped, with this as the reason."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the host is to say, in terms that every dialect has words for. The dialect adds ids and wrapping."""

    text: str = ""
    reasoning: str = ""
    """What the model thought first."""
    calls: tuple[ToolCall, ...] = ()
    """Calls of tools; ``text`` is empty then. A dialect without ids makes up its own."""
    finish: FinishReason = "stop"
    """``stop``, ``length`` or ``tool_call``."""
    usage: Usage = Usage(11, 7)
    """In llmsdk's terms: cached input is a part of the input, reasoning a part of the output."""
    first: Mapping[str, float] = field(default_factory=dict)
    """Probabilities of the first token, where the request asked for logprobs."""


class Fault(StrEnum):
    """Why a host refuses a request."""

    WRONG_KEY = "wrong_key"
    UNKNOWN_MODEL = "unknown_model"
    TOO_LONG = "too_long"
    FILTERED = "filtered"
    RATE_LIMIT = "rate_limit"
    """Too many requests; asks to wait ``RETRY_AFTER`` seconds."""
    QUOTA = "quota"
    """The account is spent; waiting does not help."""
    OVERLOAD = "overload"


RAISED: Mapping[Fault, type[LLMError]] = {
    Fault.WRONG_KEY: Unauthorized,
    Fault.UNKNOWN_MODEL: NotFound,
    Fault.TOO_LONG: ContextTooLong,
    Fault.FILTERED: ContentFiltered,
    Fault.RATE_LIMIT: RateLimited,
    Fault.QUOTA: QuotaExhausted,
    Fault.OVERLOAD: Overloaded,
}
"""The class of each, on every provider."""


class Backend(ABC):
    """A host that speaks the provider's dialect. The suite owns the socket, and asks what is to be sent over it.

    Whatever the dialect has no words for raises ``NotOffered("why")``.
    """

    model: ClassVar[str] = "test-model"
    """The model that is asked."""
    embedding_model: ClassVar[str | None] = None
    """The model that embeds; ``None`` takes ``model``."""

    def settings(self, origin: str, key: str) -> Mapping[str, Any]:
        """The provider's settings for a host at ``origin`` (``http://127.0.0.1:PORT``) with ``key``."""
        return {"base_url": origin, "api_key": key}

    @abstractmethod
    def reply(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        """A reply that says ``said``, whole or as a stream of one event a piece of text."""

    @abstractmethod
    def refusal(self, fault: Fault, request: Received) -> HTTPAnswer:
        """How the host refuses."""

    def failure(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        """A reply with status 200 that turns out to be an error; in a stream, after the text of ``said``."""
        raise NotOffered("the backend has no error inside a reply")

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        """The host's list of models, or the page of it that was asked for."""
        raise NotOffered("the backend has no list of models")

    def embeddings(self, request: Received) -> HTTPAnswer:
        """A vector for each text of the request, in order; the same for the same text, whatever stands around it."""
        raise NotOffered("the backend has no embeddings")

    def count(self, tokens: int, request: Received) -> HTTPAnswer:
        """The host's own count of a request's input."""
        raise NotOffered("the backend does not count")


__all__ = ["RAISED", "RETRY_AFTER", "Backend", "Fault", "HTTPAnswer", "NotOffered", "Received", "Said"]
