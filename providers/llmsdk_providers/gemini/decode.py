"""Replies as events, buffered and streamed: a chunk of a stream has the form of a whole reply.

A stream has no terminator. A candidate is complete with its finish reason; a stream that ends before it was cut.
Nothing says that no more chunks follow but the end of the HTTP reply, so that is waited for: there is no ``done``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import ContentFiltered, InvalidBody
from llmsdk.io.redact import redact
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, ReasoningDelta, TextDelta, TokenLogprob, Usage
from llmsdk.wire import finish, parse
from llmsdk.wire.json import items, string, under
from llmsdk_providers.gemini import faults, usage
from llmsdk_providers.gemini.calls import Calls
from llmsdk_providers.gemini.contents import STATE

FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "pause",
    "SAFETY": "content_filter", "RECITATION": "content_filter", "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter", "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter", "JAILBREAK": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error", "UNEXPECTED_TOOL_CALL": "error", "MALFORMED_RESPONSE": "error",
    "TOO_MANY_TOOL_CALLS": "error", "MISSING_THOUGHT_SIGNATURE": "error", "NO_IMAGE": "error",
}  # fmt: skip
"""Reasons as Google writes them. One that is not here is ``other``."""
_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""Reasons as numbers, as a proxy writes them that asks for enums so. Higher ones differ between the two hosts."""
_UNSPECIFIED = (None, "", 0, "FINISH_REASON_UNSPECIFIED")
_HINT = "Check base_url: it is the bare root, such as https://generativelanguage.googleapis.com."
_ARRAY_HINT = "What stands between dropped ?alt=sse from the address; let it pass, or set base_url to Google's own."


def decode(body: bytes, secrets: Sequence[str] = ()) -> Iterator[Event]:
    """The events of a buffered reply.

    Raises:
        InvalidBody: no JSON, or no reply; or a stream as one JSON array.
        LLMError: the typed error that the body holds instead of a reply.
    """
    value = parse(body, secrets, hint=_HINT)
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and faults.is_error(value[0]):
            raise faults.error(None, {}, body, secrets)
        raise InvalidBody("the host sent the stream as a JSON array, not as server-sent events", hint=_ARRAY_HINT)
    if not isinstance(value, dict):
        raise InvalidBody("the reply is no object", hint=_HINT)
    return Decoder(secrets).whole(value, body)


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else."""

    __slots__ = ("_candidates", "_events", "_id", "_model", "_said", "_secrets", "_usage")

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._candidates: dict[int, Candidate] = {}
        self._events = 0
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._said: set[str] = set()

    def feed(self, event: ServerSentEvent) -> Iterator[Event]:
        """The events in one event of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the event holds.
        """
        data = event.data.strip()
        if not data or data == b"[DONE]":
            return
        self._events += 1
        chunk = parse(data, self._secrets, f"event {self._events} of the stream", _HINT)
        if isinstance(chunk, dict):
            yield from self._chunk(chunk, data, whole=False)

    def whole(self, body: dict[str, Any], data: bytes) -> Iterator[Event]:
        """The events of a whole reply, of which ``data`` are the bytes.

        Raises:
            InvalidBody, LLMError: as for ``decode``.
        """
        yield from self._chunk(body, data, whole=True)
        if not self._candidates:
            raise InvalidBody("the reply has no candidates", hint=_HINT)

    def _chunk(self, chunk: dict[str, Any], data: bytes, *, whole: bool) -> Iterator[Event]:
        if faults.is_error(chunk):
            raise faults.error(None, {}, data, self._secrets)
        yield from self._note(chunk)
        found = items(chunk.get("candidates"))
        for position, item in enumerate(found):
            candidate = self._candidate(item, position if whole else 0)
            yield from self._new(candidate.parts(item))
        yield from self._count(chunk)
        if not found and not self._candidates:
            self._check_prompt(under(chunk, "promptFeedback"))
        for position, item in enumerate(found):
            yield from self._new(self._candidate(item, position if whole else 0).end(item, whole=whole))

    def _candidate(self, item: dict[str, Any], otherwise: int) -> Candidate:
        index = item.get("index")
        index = index if type(index) is int and index >= 0 else otherwise
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = Candidate(index, self._id)
        return candidate

    def _check_prompt(self, feedback: dict[str, Any]) -> None:
        reason = string(feedback.get("blockReason"))
        if not reason:
            return
        words = string(feedback.get("blockReasonMessage"))
        message = f"Gemini blocked the prompt: {reason}" + (f" ({words})" if words else "")
        hint = "Change the prompt, or its safetySettings by extra={'body': {...}}."
        raise ContentFiltered(redact(message, self._secrets), code=reason, status=200, hint=hint)

    def _note(self, chunk: dict[str, Any]) -> Iterator[Event]:
        """Who answers."""
        known = string(chunk.get("responseId")) or self._id, string(chunk.get("modelVersion")) or self._model
        if known != (self._id, self._model):
            self._id, self._model = known
            yield Info(id=self._id, model=self._model)

    def _count(self, chunk: dict[str, Any]) -> Iterator[Event]:
        """Usage stands in every chunk. What comes later holds: figures grow, they do not add up."""
        figures = under(chunk, "usageMetadata")
        counted, warnings = usage.read(figures)
        yield from self._new(Info(warning=text) for text in warnings)
        if counted not in (self._usage, Usage()):
            self._usage = counted
            yield counted

    def _new(self, events: Iterator[Event]) -> Iterator[Event]:
        """``events`` without warnings that were given before."""
        for event in events:
            if isinstance(event, Info) and event.warning:
                if event.warning in self._said:
                    continue
                self._said.add(event.warning)
            yield event


class Candidate:
    """One of the replies that were asked for, as far as it has come."""

    __slots__ = ("_calls", "_finished", "_index", "_slot", "_thinking")

    def __init__(self, index: int, reply_id: str | None) -> None:
        self._index = index
        self._calls = Calls(index, reply_id)
        self._slot = 0
        self._thinking = False
        self._finished = False

    def parts(self, item: dict[str, Any]) -> Iterator[Event]:
        for part in items(under(item, "content").get("parts")):
            yield from self._part(part)
        if tokens := _logprobs(item.get("logprobsResult")):
            yield TextDelta("", self._index, tokens)

    def end(self, item: dict[str, Any], *, whole: bool) -> Iterator[Event]:
        """``Finish``, if it is there. A body that came to its end is complete without."""
        said = item.get("finishReason")
        if self._finished or (said in _UNSPECIFIED and not whole):
            return
        self._finished = True
        raw = _word(said)
        yield from self._calls.end()
        reason = finish.reason(raw, FINISH, called=bool(self._calls))
        if reason in ("error", "other") and (words := string(item.get("finishMessage"))):
            yield Info(warning=words)
        yield Finish(reason, raw, self._index)

    def _part(self, part: dict[str, Any]) -> Iterator[Event]:
        signature = part.get("thoughtSignature")
        signed = {"thoughtSignature": signature} if isinstance(signature, str) else {}
        text, call = part.get("text"), part.get("functionCall")
        if part.get("thought") is True and isinstance(text, str):
            yield self._thought(text, signed)
            return
        if isinstance(call, dict):
            self._thinking = False
            yield from self._calls.feed(call, signed)
        elif isinstance(text, str):
            if text:
                self._thinking = False
                yield TextDelta(text, self._index)
            if signed:
                yield self._opaque(signed)
        elif part.keys() - {"thoughtSignature", "thought"}:
            yield from self._other(part)
        elif signed:
            yield self._opaque(signed)

    def _thought(self, text: str, signed: dict[str, str]) -> Event:
        if not self._thinking:
            self._slot += 1
        self._thinking = not signed  # a signature ends the part that it signs
        return ReasoningDelta(text, self._index, {STATE: {"thought": True, **signed}}, self._slot)

    def _opaque(self, kept: dict[str, Any]) -> Event:
        self._slot += 1
        self._thinking = False
        return ReasoningDelta("", self._index, {STATE: kept}, self._slot)

    def _other(self, part: dict[str, Any]) -> Iterator[Event]:
        """Code that ran, a search, an image: kept to be sent back, and told, for there is no event for it."""
        kind = next(name for name in part if name not in ("thoughtSignature", "thought"))
        yield self._opaque(dict(part))
        yield Info(warning=f"a part of the reply of the kind {kind!r:.40} is in .raw only")


def _word(said: Any) -> str | None:
    """The reason in Google's words."""
    if said in _UNSPECIFIED:
        return None
    if isinstance(said, int):
        return _NUMBERS.get(said, str(said))
    return said if isinstance(said, str) else None


# --- logprobs -----------------------------------------------------------------------------------------------------


def _logprobs(value: Any) -> tuple[TokenLogprob, ...]:
    """Chosen tokens with their alternatives, which stand in a second list."""
    if not isinstance(value, dict):
        return ()
    chosen, tops = items(value.get("chosenCandidates")), items(value.get("topCandidates"))
    read = []
    for number, entry in enumerate(chosen):
        pair = _pair(entry)
        others = items(tops[number].get("candidates")) if number < len(tops) else []
        top = sorted((other for item in others if (other := _pair(item))), key=lambda found: -found[1])
        if pair is not None:
            read.append(TokenLogprob(*pair, tuple(top)))
    return tuple(read)


def _pair(entry: dict[str, Any]) -> tuple[str, float] | None:
    token, logprob = entry.get("token"), entry.get("logProbability", 0.0)  # a certain token has none: 0 is left out
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return token, float(logprob)
