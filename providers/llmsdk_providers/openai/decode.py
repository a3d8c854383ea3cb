"""Replies as events, buffered and streamed: the same pieces take the same road, so both fold to the same response.

Hosts that speak the dialect differ in where they put usage, reasoning and the finish reason, in how they number tool
calls, and in how an error inside a successful reply looks. All of it is read here for any host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from llmsdk.errors import InvalidBody
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, ReasoningDelta, TextDelta, Usage
from llmsdk.wire import faults, finish, parse
from llmsdk_providers.openai import logprobs, usage
from llmsdk_providers.openai.calls import STATE, ToolCalls

FINISH: Mapping[str, FinishReason] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "end_turn": "stop",
    "length": "length", "max_tokens": "length", "model_length": "length",
    "tool_calls": "tool_call", "tool_use": "tool_call", "function_call": "tool_call",
    "content_filter": "content_filter", "sensitive": "content_filter", "safety": "content_filter",
    "error": "error", "network_error": "error", "insufficient_system_resource": "error",
}  # fmt: skip
"""Reasons as hosts write them. One that is not here is ``other``."""
_BRACE = ord("{")
_NOTHING = Usage()
_HINT = "Check base_url: it is what precedes /chat/completions, such as https://host.example/v1."


def decode(body: bytes, secrets: Sequence[str] = (), host: str = "", *, returns_reasoning: bool = False) -> list[Event]:
    """The events of a buffered reply of ``host``.

    Raises:
        InvalidBody: no JSON, or no reply.
        LLMError: the typed error that the body holds instead of a reply.
    """
    return Decoder(secrets, host, returns_reasoning=returns_reasoning).whole(parse(body, secrets, hint=_HINT))


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else.

    ``host`` is who made it, and gets back what must go back: with ``returns_reasoning`` all of its reasoning.
    """

    __slots__ = ("_choices", "_done", "_events", "_host", "_id", "_model", "_returns", "_said", "_secrets", "_usage")

    def __init__(self, secrets: Sequence[str] = (), host: str = "", *, returns_reasoning: bool = False) -> None:
        self._secrets = secrets
        self._host = host
        self._returns = returns_reasoning
        self._choices: dict[int, Choice] = {}
        self._events = 0
        self._id: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._said: set[str] = set()
        self._done = False

    # --- streamed -----------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return self._done

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """The events in one event of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the event holds.
        """
        data = event.data
        if self._done or not data:
            return []
        self._events += 1
        if data[0] != _BRACE:
            data = data.strip()
            if data in (b"", b"[DONE]"):
                self._done = bool(data)
                return [event for choice in self._choices.values() for event in choice.end()] if data else []
        if event.event == "error":
            raise faults.from_event(data, self._secrets)
        chunk = parse(data, self._secrets, f"event {self._events} of the stream", _HINT)
        if not isinstance(chunk, dict):
            return []
        if faults.is_error(chunk):
            raise faults.from_body(chunk, self._secrets)
        return self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        self._note(chunk, events)
        choices = chunk.get("choices")
        for item in choices if isinstance(choices, list) else ():
            if isinstance(item, dict):
                self._choice(item, 0).feed(item, events)
        self._count(chunk, events)
        return events

    # --- buffered -----------------------------------------------------------------------------------------------

    def whole(self, body: Any) -> list[Event]:
        """The events of a whole reply.

        Raises:
            InvalidBody, LLMError: as for ``decode``.
        """
        if isinstance(body, dict) and faults.is_error(body):
            raise faults.from_body(body, self._secrets)
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not choices:
            raise InvalidBody("the reply has no choices", hint=_HINT)
        events: list[Event] = []
        self._note(body, events)
        for position, item in enumerate(choices):
            if not isinstance(item, dict) or not (isinstance(item.get("message"), dict) or "text" in item):
                raise InvalidBody(f"choice {position} of the reply has no message")
            self._choice(item, position).whole(item, events)
        self._count(body, events)
        return events

    # --- both ---------------------------------------------------------------------------------------------------

    def _choice(self, item: dict[str, Any], otherwise: int) -> Choice:
        index = item.get("index")
        index = index if type(index) is int and index >= 0 else otherwise
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = Choice(index, self._host, returns_reasoning=self._returns)
        return choice

    def _note(self, body: dict[str, Any], events: list[Event]) -> None:
        """Who answers. The first chunk may not know yet, and leave the fields empty."""
        reply_id, model = body.get("id"), body.get("model")
        if (reply_id == self._id and model == self._model) or not (reply_id or model):
            return
        new_id = reply_id if reply_id and isinstance(reply_id, str) else self._id
        new_model = model if model and isinstance(model, str) else self._model
        if (new_id, new_model) != (self._id, self._model):
            self._id, self._model = new_id, new_model
            events.append(Info(id=new_id, model=new_model))

    def _count(self, body: dict[str, Any], events: list[Event]) -> None:
        """Usage, wherever it stands. What comes later in a stream holds: figures grow, they do not add up."""
        figures = usage.find(body)
        if figures is None:
            return
        counted, warnings = usage.read(figures)
        if warnings:
            events += [Info(warning=text) for text in warnings if text not in self._said]
            self._said.update(warnings)
        if counted not in (self._usage, _NOTHING):
            self._usage = counted
            events.append(counted)


class Choice:
    """One of the replies that were asked for, as far as it has come."""

    __slots__ = ("_calls", "_details", "_finished", "_host", "_index", "_refused", "_spoke", "_state")

    def __init__(self, index: int, host: str = "", *, returns_reasoning: bool = False) -> None:
        self._index = index
        self._host = host
        self._state = {STATE: {"host": host}} if returns_reasoning else None
        self._calls: ToolCalls | None = None
        self._details: list[dict[str, Any]] = []
        self._finished = self._refused = self._spoke = False

    def feed(self, item: dict[str, Any], events: list[Event]) -> None:
        """The events of a choice in a chunk, appended."""
        delta = item.get("delta")
        if _is_plain(delta) and not item.get("logprobs"):
            self._spoke = True
            events.append(TextDelta(delta["content"], self._index))
            delta = None
        elif delta is None and not self._spoke:
            delta = item.get("message")  # a host that sends the whole reply as its only chunk
        if isinstance(delta, dict):
            self._delta(delta, item.get("logprobs"), events, whole=False)
        elif "text" in item:
            self._text(item["text"], item.get("logprobs"), events)
        reason = item.get("finish_reason")
        if reason and not self._finished:
            self._finish(reason, events)

    def whole(self, item: dict[str, Any], events: list[Event]) -> None:
        """The events of a choice in a buffered reply, appended. A body that came to its end is complete."""
        message = item.get("message")
        if isinstance(message, dict):
            self._delta(message, item.get("logprobs"), events, whole=True)
        else:
            self._text(item.get("text"), item.get("logprobs"), events)
        self._finish(item.get("finish_reason"), events)

    def end(self) -> list[Event]:
        """What the end of the stream says of a choice that gave no reason: it is complete if it said anything."""
        events: list[Event] = []
        if self._spoke and not self._finished:
            self._finish(None, events)
        return events

    # --- content ------------------------------------------------------------------------------------------------

    def _delta(self, delta: dict[str, Any], scores: Any, events: list[Event], *, whole: bool) -> None:
        before = len(events)
        self._reason_aloud(delta, events)
        content = delta.get("content")
        if content or scores:
            self._text(content, scores, events)
        if refusal := delta.get("refusal"):
            self._refused = True
            self._text(refusal, None, events)
        if calls := delta.get("tool_calls"):
            events.extend(self._called().feed(calls, whole=whole))
        if isinstance(call := delta.get("function_call"), dict):
            events.append(self._called().feed_legacy(call))
        self._spoke = self._spoke or len(events) > before

    def _called(self) -> ToolCalls:
        if self._calls is None:
            self._calls = ToolCalls(self._index, self._host)
        return self._calls

    def _text(self, content: Any, scores: Any, events: list[Event]) -> None:
        if isinstance(content, list):
            self._parts(content, events)
            return
        if content is not None and not isinstance(content, str):
            raise InvalidBody(f"the content of the reply is a {type(content).__name__}, not text")
        tokens = logprobs.read(scores) if scores else ()
        if content or tokens:
            self._spoke = True
            events.append(TextDelta(content or "", self._index, tokens))

    def _parts(self, parts: list[Any], events: list[Event]) -> None:
        """Content as a list: text, and what the model thought (Mistral)."""
        for part in parts:
            match part:
                case {"type": "thinking", "thinking": thought}:
                    self._think(_joined(thought), events)
                case {"type": "refusal", "refusal": str(text)}:
                    self._refused = True
                    self._text(text, None, events)
                case {"text": str(text)} | str(text):
                    self._text(text, None, events)
                case {"type": str(kind)}:
                    events.append(Info(warning=f"a part of the reply of the type {kind!r:.40} was left out"))

    def _reason_aloud(self, delta: dict[str, Any], events: list[Event]) -> None:
        details = delta.get("reasoning_details")
        if isinstance(details, list):
            _merge(self._details, details)
        thought = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking")
        if isinstance(thought, str):
            self._think(thought, events)
        elif isinstance(details, list):
            self._think(_joined(details), events)

    def _think(self, thought: str, events: list[Event]) -> None:
        if thought:
            events.append(ReasoningDelta(thought, self._index, self._state))

    # --- the end ------------------------------------------------------------------------------------------------

    def _finish(self, reason: Any, events: list[Event]) -> None:
        self._finished = True
        if self._details:
            state = {"host": self._host, "reasoning_details": self._details}
            events.append(ReasoningDelta("", self._index, {STATE: state}))
        raw = reason if isinstance(reason, str) else None
        events.append(Finish(self._reason(raw), raw, self._index))

    def _reason(self, raw: str | None) -> FinishReason:
        reason = finish.reason(raw and raw.lower(), FINISH, called=bool(self._calls))
        return "refusal" if self._refused and reason in ("stop", "other") else reason


def _is_plain(delta: Any) -> TypeGuard[dict[str, str]]:
    """Whether a delta is one more piece of text and nothing else, as nearly all of a stream."""
    if type(delta) is not dict or len(delta) != 1:
        return False
    content = delta.get("content")
    return type(content) is str and content != ""


def _joined(parts: Any) -> str:
    """The text in a list of parts, or the text itself."""
    if isinstance(parts, str):
        return parts
    return "".join(_texts(parts)) if isinstance(parts, list) else ""


def _texts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        text = part if isinstance(part, str) else None
        if isinstance(part, dict):
            text = part.get("text") or part.get("summary")
        if isinstance(text, str):
            yield text


_GROWING = ("text", "summary", "data")


def _merge(details: list[dict[str, Any]], pieces: list[Any]) -> None:
    """Add pieces of reasoning to those that have come: a piece with the type and index of the last one goes on."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        last = details[-1] if details else {}
        if "index" in piece and (last.get("type"), last.get("index")) == (piece.get("type"), piece["index"]):
            grown = {key: last[key] + piece[key] for key in _GROWING if _are_text(last.get(key), piece.get(key))}
            last |= {key: value for key, value in piece.items() if value is not None} | grown
        else:
            details.append(dict(piece))


def _are_text(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
