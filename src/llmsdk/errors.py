"""Every error that llmsdk raises. Catch a branch to catch its leaves.

    LLMError                      .hint says what to do; .attempts and .usage say what it cost; .retryable
    ├ ConfigError                 before any I/O
    │ ├ UnknownProvider
    │ ├ UnknownModel
    │ ├ MissingExtra
    │ └ MissingKey
    ├ InputError                  the caller's argument, named (also a ValueError)
    ├ Unsupported                 a capability that the backend lacks, and who has it
    ├ RequestRejected             the provider said no; never retried
    │ ├ Unauthorized
    │ ├ PermissionDenied
    │ ├ NotFound
    │ ├ InvalidRequest
    │ ├ ContextTooLong            .limit .needed
    │ ├ ContentFiltered
    │ ├ QuotaExhausted
    │ └ PayloadTooLarge
    ├ Transient                   may pass; retried when it surely did not run, or where the caller allows it
    │ ├ RateLimited               .retry_after
    │ ├ Overloaded                .retry_after
    │ ├ ServerFault               .retry_after
    │ ├ ConnectFailed
    │ ├ Disconnected              .sent
    │ └ TimedOut                  .phase .sent
    ├ StreamInterrupted           .partial
    ├ BadResponse                 an answer, but not one we can read
    │ ├ InvalidBody
    │ ├ ResponseTooLarge
    │ └ Redirected
    ├ OutputError                 the model answered, but not what was asked
    │ ├ SchemaMismatch
    │ ├ InvalidToolArguments
    │ └ Refused
    ├ BudgetExceeded              .unit .limit .spent .reserved .needed
    ├ DeadlineExceeded            .phase .partial
    ├ CircuitOpen                 .retry_after
    ├ ClientClosed
    └ RuntimeFault                the built-in runtime
      ├ ModelFileError
      ├ UnsafeModel
      ├ TemplateError
      ├ OutOfMemory
      ├ NumericalFault
      └ EngineDead

Text is bounded, and whoever builds an error from a provider's words redacts the key first (``llmsdk.io.redact``).
``asyncio.CancelledError``, ``trio.Cancelled`` and ``KeyboardInterrupt`` are never wrapped.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from decimal import Decimal

    from llmsdk.types import Usage

MAX_TEXT = 2000
"""Characters of an error's text. A provider's page of HTML is not a message."""
MAX_VALUE = 200
"""Characters of a value that a message shows."""


class LLMError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: what happened.
        hint: what to do about it; empty where nothing sensible can be said.
        attempts: every attempt that the call made, each with its own usage and outcome.
        usage: the tokens those attempts are known to have used, or ``None``.
        provider, model: who was asked, where the call got that far.
        status, code, request_id: the provider's own figures, where it answered.
    """

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        self.message: str = _bounded(message)
        self.hint: str = _bounded(self.default_hint if hint is None else hint)
        self.attempts: tuple[Any, ...] = ()
        self.usage: Usage | None = None
        self.provider: str | None = None
        self.model: str | None = None
        self.status: int | None = None
        self.code: str | None = None
        self.request_id: str | None = None
        for name, value in details.items():
            setattr(self, name, value)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__)

    def locate(self, provider: str, model: str) -> Self:
        """Say who was asked, unless somebody nearer to the fault has said so already."""
        self.provider = self.provider or provider
        self.model = self.model or model
        return self


def brief(value: object) -> str:
    """A value as a message shows it: not at length, and never an error in place of the one that it is for."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a number of thousands of digits, or an object with a fault of its own
        return f"a {type(value).__name__}"
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def forget(error: BaseException | None) -> None:
    """Empty the frames of this library that an error has come through of their local variables.

    Replies, headers and settings are in them, with keys that a host has echoed: a reporter of errors that shows local
    variables finds none, and an error that is kept keeps no body alive. Frames that still run are left alone, so are
    those of others, and errors that were about before the call. What ``raise ... from None`` hides goes altogether.
    """
    link = error
    while link is not None:
        trace = link.__traceback__
        while trace is not None:
            if _is_ours(trace.tb_frame.f_globals):
                with suppress(RuntimeError):  # it still runs
                    trace.tb_frame.clear()
            trace = trace.tb_next
        if link.__suppress_context__ and link.__cause__ is None:
            link.__context__ = None
        link = link.__cause__ or link.__context__
        if link is not None and not (link.__traceback__ and _is_ours(link.__traceback__.tb_frame.f_globals)):
            return


def _is_ours(names: dict[str, Any]) -> bool:
    return str(names.get("__name__", "")).partition(".")[0] in ("llmsdk", "llmsdk_providers")


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 20]}... ({len(text)} chars)"


def _rebuild(kind: type[LLMError], message: str, state: dict[str, Any]) -> LLMError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


# --- before any I/O ---------------------------------------------------------------------------------------------


class ConfigError(LLMError):
    """The configuration is wrong or incomplete."""


class UnknownProvider(ConfigError):
    """No provider of that name is built in, installed or configured."""


class UnknownModel(ConfigError):
    """No such alias, or no such model folder."""


class MissingExtra(ConfigError):
    """An optional part of llmsdk is not installed."""

    def __init__(self, extra: str, *, needed_for: str, **details: Any) -> None:
        super().__init__(f"{needed_for} needs the extra {extra!r}", hint=f'pip install "llmsdk[{extra}]"', **details)
        self.extra = extra


class MissingKey(ConfigError):
    """The provider needs a key and none was found."""


class InputError(LLMError, ValueError):
    """An argument that cannot be sent. ``argument`` names it."""

    argument: str | None = None


class Unsupported(LLMError):
    """The backend lacks a capability. ``capability`` names it, the hint says who has it."""

    capability: str = ""


# --- the provider said no ---------------------------------------------------------------------------------------


class RequestRejected(LLMError):
    """The provider refused the request; asking again would not help."""


class Unauthorized(RequestRejected):
    """The key is missing, wrong or no longer valid."""

    default_hint = "Check the API key; `llmsdk doctor` shows where it is taken from."


class PermissionDenied(RequestRejected):
    """The key may not do this."""

    default_hint = "The key is valid but may not use this model or feature."


class NotFound(RequestRejected):
    """The host has no such model, or no such path."""

    default_hint = "Check the model's name and base_url; client.models() lists what the provider offers."


class InvalidRequest(RequestRejected):
    """The host does not take the request as it is."""


class ContextTooLong(RequestRejected):
    """The prompt and the reply do not fit the model's window (``limit`` and ``needed`` in tokens, where known)."""

    default_hint = "Shorten the prompt, lower max_tokens, or choose a model with a larger window."
    limit: int | None = None
    needed: int | None = None


class ContentFiltered(RequestRejected):
    """The host's filter refused the prompt."""


class QuotaExhausted(RequestRejected):
    """The account has no credit left."""

    default_hint = "The account is out of credit; retrying does not help."


class PayloadTooLarge(RequestRejected):
    """The request has more bytes than the host takes."""


# --- may pass ---------------------------------------------------------------------------------------------------


class Transient(LLMError):
    """A fault that may pass.

    ``sent`` says whether the request may have run (and been billed). ``retry_after`` is the provider's own wish in
    seconds, where it gave one.
    """

    retryable = True
    sent: bool = False
    retry_after: float | None = None


class RateLimited(Transient):
    """More was asked than the account may."""

    default_hint = "Slow down, or raise retry attempts so that the wait the provider asks for is taken."


class Overloaded(Transient):
    """The host has too much to do, whoever asks."""


class ServerFault(Transient):
    """The host failed."""


class ConnectFailed(Transient):
    """No connection was made, so nothing ran."""

    default_hint = "Is the host up, and base_url right?"


class Disconnected(Transient):
    """The connection broke before the reply was complete and before any of it was given to the caller."""

    sent = True
    stale: bool = False
    """A reused connection broke before all of the request was out, or under one that costs nothing: nothing ran."""


class TimedOut(Transient):
    """One attempt ran out of time. ``phase`` is ``pool`` (no free connection), ``connect``, ``send``, ``first_token``,
    ``idle`` or ``total``, or ``ledger`` where it waited for the ledger's file."""

    sent = True
    phase: str = "total"


# --- an answer, but not a whole or readable one -----------------------------------------------------------------


class StreamInterrupted(LLMError):
    """The stream ended without the provider's word that it is complete. ``partial`` is what had come."""

    default_hint = "What came so far is in .partial and is billed; ask again, or continue from it."
    partial: Any = None


class BadResponse(LLMError):
    """The provider answered with something that is no answer."""


class InvalidBody(BadResponse):
    """The body is not what the dialect says."""


class ResponseTooLarge(BadResponse):
    """The body is longer than the provider's ``max_body``, or one event of a stream than its ``max_event``."""


class Redirected(BadResponse):
    """The host sent the request on to another address."""

    default_hint = "Redirects are not followed: the prompt would go to another host. Set base_url to the final address."


class OutputError(LLMError):
    """The model answered, but not in the form that was asked for. ``text`` is what it said."""

    text: str = ""


class SchemaMismatch(OutputError):
    """The reply does not fit the type that was asked for."""


class InvalidToolArguments(OutputError):
    """The model wrote arguments that the tool cannot take."""


class Refused(OutputError):
    """The model declined to answer."""


# --- stopped by us ----------------------------------------------------------------------------------------------


class BudgetExceeded(LLMError):
    """Nothing was sent: with what is spent and reserved already, a budget might have been passed.

    ``unit`` is ``usd`` (the figures are ``Decimal``), ``tokens`` or ``requests``; ``needed`` is what the attempt might
    have used at most.
    """

    unit: str = ""
    limit: Decimal | int = 0
    spent: Decimal | int = 0
    reserved: Decimal | int = 0
    needed: Decimal | int = 0


class DeadlineExceeded(LLMError):
    """The call's ``deadline`` passed, during ``phase``: ``queue`` (limits), ``pool`` (no free
    connection), ``ledger``, ``connect``, ``send`` or ``reply``."""

    phase: str = "total"
    sent: bool = False
    partial: str = ""
    """The text that had come until then."""


class CircuitOpen(LLMError):
    """Not sent: the host has failed so often in a row that it is given time. ``retry_after`` is in how many seconds
    one request may try again."""

    retry_after: float | None = None


class ClientClosed(LLMError):
    """The client was closed before the call."""

    default_hint = "Make a new client; a closed one stays closed."


# --- the built-in runtime ---------------------------------------------------------------------------------------


class RuntimeFault(LLMError):
    """Something in the built-in runtime."""


class ModelFileError(RuntimeFault):
    """A model folder that is incomplete or damaged."""


class UnsafeModel(RuntimeFault):
    """A model that could run foreign code on loading."""


class TemplateError(RuntimeFault):
    """No chat template, or one that fails."""


class OutOfMemory(RuntimeFault):
    """Memory ran out."""


class NumericalFault(RuntimeFault):
    """The model computed something that is no number."""


class EngineDead(RuntimeFault):
    """The thread of the model has ended, or was left behind by a fork."""
