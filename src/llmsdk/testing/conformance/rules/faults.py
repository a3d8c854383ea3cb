"""What goes wrong at the host: the same class of error on every provider, and never a reply that is only half there."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from llmsdk.errors import (
    BadResponse,
    LLMError,
    Overloaded,
    RateLimited,
    ServerFault,
    StreamInterrupted,
    Transient,
    Unauthorized,
)
from llmsdk.testing.conformance.backend import RAISED, RETRY_AFTER, Fault, HTTPAnswer, Said
from llmsdk.testing.conformance.case import Broken, Skip, add, case, expect, require
from llmsdk.testing.conformance.faces import ask, stream
from llmsdk.testing.conformance.rules.events import TEXT, chat
from llmsdk.testing.conformance.stage import KEY, NAME, Stage
from llmsdk.testing.faults import Fault as Delivery

ERRORS = "errors"
STREAMS = "streams-that-break"
CUTS = 24
"""Places at which a stream is cut, evenly over its bytes."""


def raised(stage: Stage, call: Callable[[], Any], *kinds: type[LLMError]) -> LLMError:
    """The error of a call: of the right class, with the key nowhere in it, after one request."""
    before = len(stage.sent)
    wanted = " or ".join(kind.__name__ for kind in kinds)
    try:
        result = call()
    except LLMError as error:
        if stage.fault is not None:
            raise stage.fault from None
        came = f"{type(error).__name__} (status {error.status}): {error}"
        require(isinstance(error, kinds), wanted, came)
        told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        require(KEY not in told, "no key in an error", "an error that shows the key")
        expect("requests (who retries is the client):", len(stage.sent) - before, 1)
        return error
    if stage.fault is not None:
        raise stage.fault
    raise Broken(wanted, f"a reply: {result!r}")


def whole(stage: Stage) -> Callable[[], Any]:
    return lambda: ask(stage, "sync", chat)


def streamed(stage: Stage) -> Callable[[], Any]:
    return lambda: stream(stage, "sync", lambda client: chat(client, stream=True))


def refused(fault: Fault, stage: Stage) -> None:
    _ = stage.backend
    for call in (whole(stage), streamed(stage)):
        stage.refuses(fault)
        error = raised(stage, call, RAISED[fault])
        require(str(error), "an error that says something", "an empty one")
        if isinstance(error, RateLimited):
            expect("retry_after", error.retry_after, float(RETRY_AFTER))


RULES = {
    Fault.WRONG_KEY: "A wrong key is Unauthorized.",
    Fault.UNKNOWN_MODEL: "A model that the host does not know is NotFound.",
    Fault.TOO_LONG: "A prompt that is too long is ContextTooLong.",
    Fault.FILTERED: "A prompt that the host's filter stops is ContentFiltered.",
    Fault.RATE_LIMIT: "Too many requests are RateLimited, with the wait that the host asks for.",
    Fault.QUOTA: "An account that is spent is QuotaExhausted, which is not retried.",
    Fault.OVERLOAD: "A host with too much to do is Overloaded.",
}
for _fault, _rule in RULES.items():
    add(f"fault.{_fault}", _rule, ERRORS, partial(refused, _fault), __name__)


@case("fault.model_here", ERRORS)
def model_here(stage: Stage) -> None:
    """A provider in this process refuses a model that it does not have."""
    if stage.subject.backend is not None:
        raise Skip("its host refuses models: see fault.unknown_model")
    try:
        ask(stage, "sync", lambda client: client.chat("Hello!", model=f"{NAME}:no-such-model-as-this"))
    except LLMError as error:
        require(str(error), "an error that says something", "an empty one")
        return
    raise Skip("it answers to any name")


# --- by the status alone ------------------------------------------------------------------------------------------

BARE: dict[int, tuple[type[LLMError], ...]] = {
    401: (Unauthorized,), 429: (RateLimited,), 500: (ServerFault,), 502: (ServerFault, Overloaded),
    503: (Overloaded, ServerFault),
}  # fmt: skip
PAGE = b"<html><head><title>Gateway</title></head><body>nginx</body></html>"


@case("fault.gateway", ERRORS)
def gateway(stage: Stage) -> None:
    """Something between us and the host answers with a page: the status says what it is."""
    _ = stage.backend
    for status, kinds in BARE.items():
        headers = {"content-type": "text/html", "retry-after": "7"}
        stage.answers(lambda request: HTTPAnswer(status, PAGE, headers))  # noqa: B023 - called before the next one
        error = raised(stage, whole(stage), *kinds)
        expect("status", error.status, status)
        if isinstance(error, RateLimited):
            expect("retry_after", error.retry_after, 7.0)


@case("fault.not_a_reply", ERRORS)
def not_a_reply(stage: Stage) -> None:
    """A page, an empty body or other JSON with status 200 is BadResponse or a Transient, and no reply."""
    _ = stage.backend
    for body in (PAGE, b"", b"{", b"[]", b"{}", b"null", b'{"choices": 3, "content": 3, "output": 3, "message": 3}'):
        for call in (whole(stage), streamed(stage)):
            stage.answers(lambda request: HTTPAnswer(200, body))  # noqa: B023 - called before the next one
            raised(stage, call, BadResponse, Transient)


@case("fault.echoed_key", ERRORS)
def echoed_key(stage: Stage) -> None:
    """A host that repeats the key in its refusal does not get it into an error."""
    _ = stage.backend
    body = {"error": {"message": f"Bad key {KEY}.", "type": KEY, "code": KEY}, "message": f"Bad key {KEY}."}
    stage.answers(lambda request: HTTPAnswer(400, body))
    raised(stage, whole(stage), LLMError)
    stage.answers(lambda request: HTTPAnswer(500, f"Bad key {KEY}".encode()))
    raised(stage, whole(stage), LLMError)


# --- inside a reply -----------------------------------------------------------------------------------------------


@case("fault.inside_a_reply", ERRORS)
def inside(stage: Stage) -> None:
    """An error inside a reply with status 200 is an error."""
    _ = stage.backend
    stage.fails(Said())
    raised(stage, whole(stage), LLMError)


@case("fault.inside_a_stream", STREAMS)
def inside_stream(stage: Stage) -> None:
    """An error inside a stream is an error; after the first text it is StreamInterrupted, with the text so far."""
    _ = stage.backend
    stage.fails(Said())
    raised(stage, streamed(stage), LLMError)
    stage.fails(Said("Hello there!"))
    error = raised(stage, streamed(stage), LLMError)
    if isinstance(error, StreamInterrupted):
        expect("partial", error.partial, "Hello there!")


# --- streams that break -------------------------------------------------------------------------------------------


@case("stream.cut", STREAMS)
def cut(stage: Stage) -> None:
    """A stream that ends before the host said so is no reply, wherever it ends: StreamInterrupted, with its text."""
    _cut(stage, "clean")


@case("stream.broken", STREAMS)
def broken(stage: Stage) -> None:
    """The same where the connection breaks."""
    _cut(stage, "close")


def _cut(stage: Stage, end: Any) -> None:
    size = _length(stage)
    for at in sorted({size * number // CUTS for number in range(CUTS)}):
        stage.says(Said(TEXT), Delivery(cut=at, end=end))
        try:
            _, result = stream(stage, "sync", lambda client: chat(client, stream=True))
        except StreamInterrupted as error:
            require(TEXT.startswith(error.partial), f"a beginning of {TEXT!r} in .partial", repr(error.partial))
        except LLMError as error:
            require(isinstance(error, Transient | BadResponse), "StreamInterrupted or Disconnected", repr(error))
        else:
            came = f"{result.text!r}, finished with {result.finish_reason}, as if it were whole"
            require(result.text == TEXT, f"StreamInterrupted after {at} of {size} bytes", came)


def _length(stage: Stage) -> int:
    """Bytes of the whole stream."""
    backend, sizes = stage.backend, list[int]()

    def scene(request: Any) -> HTTPAnswer:
        answer = backend.reply(Said(TEXT), request, stream=True)
        sizes.append(len(answer.whole))
        return answer

    stage.answers(scene)
    stream(stage, "sync", lambda client: chat(client, stream=True))
    return sizes[-1]


@case("stream.no_end", STREAMS)
def no_end(stage: Stage) -> None:
    """The word that a reply is whole comes from the host: a stream that is cut never yields Finish for all its text."""
    size = _length(stage)
    stage.says(Said(TEXT), Delivery(cut=size // 2, end="clean"))
    raised(stage, streamed(stage), StreamInterrupted, Transient, BadResponse)
    finished = [event for event in stage.heard[-1].events if type(event).__name__ == "Finish"]
    require(not finished, "no Finish in a stream that was cut in the middle", finished)
