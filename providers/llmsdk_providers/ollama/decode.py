"""Replies as events. A streamed reply is a line of JSON a piece, a buffered one is a single line of the same form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import InvalidBody
from llmsdk.io.sse import ServerSentEvent
from llmsdk.types import Event, Finish, FinishReason, Info, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from llmsdk.wire import dump, faults, parse
from llmsdk.wire.counts import counts
from llmsdk.wire.finish import reason
from llmsdk.wire.json import items, string, under
from llmsdk_providers.ollama.encode import STATE

FINISH: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_call"}
_HINT = "Check base_url: it is the root of the server, such as http://127.0.0.1:11434."


def decode(body: bytes, secrets: Sequence[str] = ()) -> Iterator[Event]:
    """The events of a buffered reply.

    Raises:
        InvalidBody: no JSON, or no reply.
        LLMError: the typed error that the body holds instead of a reply.
    """
    decoder = Decoder(secrets)
    reply = parse(body, secrets, hint=_HINT)
    if not isinstance(reply, dict) or not (faults.is_error(reply) or _is_reply(reply)):
        raise InvalidBody("the reply has neither message nor response", hint=_HINT)
    yield from decoder.piece({**reply, "done": True})


def _is_reply(body: dict[str, Any]) -> bool:
    return isinstance(body.get("message"), dict) or isinstance(body.get("response"), str)


class Decoder:
    """Reads one reply. Holds the state of that reply and nothing else."""

    __slots__ = ("_calls", "_done", "_lines", "_model", "_secrets")

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._lines = self._calls = 0
        self._model = ""
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return self._done

    def feed(self, event: ServerSentEvent) -> Iterator[Event]:
        """The events in one line of the stream.

        Raises:
            InvalidBody: no JSON.
            LLMError: the typed error that the line holds.
        """
        self._lines += 1
        piece = parse(event.data, self._secrets, f"line {self._lines} of the stream", _HINT)
        if isinstance(piece, dict) and not self._done:
            yield from self.piece(piece)

    def piece(self, piece: dict[str, Any]) -> Iterator[Event]:
        """The events in one piece of a reply.

        Raises:
            LLMError: it is an error.
        """
        if faults.is_error(piece):
            raise faults.from_body(piece, self._secrets)
        model = string(piece.get("model"))
        if model and model != self._model:
            self._model = model
            yield Info(model=model)
        message = under(piece, "message")
        if thought := string(message.get("thinking")) or string(piece.get("thinking")):
            yield ReasoningDelta(thought, provider_state={STATE: "thinking"})
        text = string(message.get("content")) or string(piece.get("response"))
        tokens = tuple(_tokens(piece.get("logprobs")))
        if text or tokens:
            yield TextDelta(text, logprobs=tokens)
        for call in items(message.get("tool_calls")):
            yield self._call(call)
        if piece.get("done") is True:
            yield from self._end(piece)

    def _call(self, call: dict[str, Any]) -> ToolCallDelta:
        """A call, which always comes whole."""
        slot, function = self._calls, under(call, "function")
        self._calls += 1
        given = function.get("arguments")
        text = given if isinstance(given, str) else dump(under(function, "arguments")).decode()
        return ToolCallDelta(slot, string(call.get("id")) or f"call_{slot}", string(function.get("name")), text)

    def _end(self, piece: dict[str, Any]) -> Iterator[Event]:
        """The last piece. A server that had the prompt in its cache may leave its count out."""
        self._done = True
        warnings: list[str] = []
        figures = {"input_tokens": piece.get("prompt_eval_count"), "output_tokens": piece.get("eval_count")}
        counted = counts(figures, warnings)
        yield from (Info(warning=text) for text in warnings)
        if counted.input_tokens is not None or counted.output_tokens is not None:
            yield counted
        raw = string(piece.get("done_reason")) or None
        yield Finish(reason(raw, FINISH, called=self._calls > 0), raw)


def _tokens(value: Any) -> Iterator[TokenLogprob]:
    for entry in items(value):
        if (pair := _pair(entry)) is not None:
            others = [other for item in items(entry.get("top_logprobs")) if (other := _pair(item)) is not None]
            yield TokenLogprob(*pair, tuple(sorted(others, key=lambda other: -other[1])))


def _pair(entry: dict[str, Any]) -> tuple[str, float] | None:
    token, logprob = entry.get("token"), entry.get("logprob")
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    return token, float(logprob)
