"""An OpenAI-compatible server for tests: the official ``openai`` package accepts it as one.

    with OpenAIServer() as server:
        client = openai.OpenAI(base_url=server.url, api_key=server.key)

What it says is in ``brain``; how it misbehaves on command in ``http_server``. Its token counts follow one rule:
``prompt_tokens`` is 3 a message and the pieces of its content (and of the names and arguments of its tool calls);
for a raw prompt and for embeddings the pieces alone; ``completion_tokens`` are the pieces of all choices.
``max_tokens`` cuts after so many pieces, ``stop`` where the earliest of the strings begins. A stream sends one chunk a
piece, the choices in turn.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import ssl
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from servers.brain import Knowledge, Said, cached, continuation, counted, infill, pieces, say, thought
from servers.http_server import Answer, HTTPServer, Recorded, events

KEY = "sk-test-0123456789abcdefXYZ"
MODELS = {
    "test-model": 8192, "test-small": 64, "gpt-4o-mini": 128_000, "gpt-5-mini": 400_000,
    "gpt-3.5-turbo-instruct": 4096, "test-instruct": 4096, "text-embedding-3-small": 8192, "test-embed": 8192,
}  # fmt: skip
"""The models and their windows in tokens."""
_COMMON = {
    "model", "max_tokens", "temperature", "top_p", "n", "stream", "stream_options", "stop", "presence_penalty",
    "frequency_penalty", "logit_bias", "user", "seed", "logprobs",
}  # fmt: skip
CHAT_FIELDS = _COMMON | {
    "messages", "max_completion_tokens", "top_logprobs", "response_format", "tools", "tool_choice",
    "parallel_tool_calls", "reasoning_effort", "metadata", "store", "service_tier", "top_k", "min_p",
    "repetition_penalty",
}  # fmt: skip
COMPLETION_FIELDS = _COMMON | {"prompt", "suffix", "echo", "best_of", "top_k", "min_p", "repetition_penalty"}
EMBEDDING_FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
CREATED = 1_700_000_000


class Refusal(Exception):
    """An error as OpenAI words it."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def count_prompt(messages: Iterable[Mapping[str, Any]]) -> int:
    """``prompt_tokens`` of a conversation in OpenAI's chat format."""
    return sum(3 + sum(len(pieces(text)) for text in _texts(message)) for message in messages)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content") or ""
    yield content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    for call in message.get("tool_calls") or ():
        yield call["function"]["name"]
        yield call["function"]["arguments"]


@dataclass(frozen=True)
class _Choice:
    """One choice of a reply, cut to its limits."""

    index: int
    text: str
    finish: str
    calls: tuple[dict[str, Any], ...] = ()
    first: Mapping[str, float] | None = None
    """Probabilities of the first piece."""

    @property
    def tokens(self) -> int:
        called = [text for call in self.calls for text in call["function"].values()]
        return len(pieces(self.text)) + sum(len(pieces(text)) for text in called)

    def scored(self) -> list[tuple[str, float, list[tuple[str, float]]]]:
        """Each piece, its logprob, and all alternatives, the best first. All but a choice's first are made up."""
        rows = []
        for number, piece in enumerate(pieces(self.text)):
            shares = self.first if self.first and number == 0 else {piece: 0.75, " or": 0.125, " maybe": 0.0625}
            ranked = sorted(((name, math.log(max(share, 1e-9))) for name, share in shares.items()), key=lambda p: -p[1])
            rows.append((piece, dict(ranked).get(piece, ranked[0][1]), ranked))
        return rows


class OpenAIServer(HTTPServer):
    """The server. ``known`` adds to what it can translate, answer, say and continue."""

    def __init__(self, known: Knowledge | None = None, *, key: str = KEY, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.known = known or Knowledge()
        self.key = key
        self.models = dict(MODELS)

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def handle(self, request: Recorded) -> Answer:
        number = len(self.requests)
        headers = {"x-request-id": f"req_{number}", "x-ratelimit-remaining-requests": "99"}
        try:
            answer = self._route(request)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body, headers)
        return Answer(answer.status, answer.body, headers | dict(answer.headers))

    def _route(self, request: Recorded) -> Answer:
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {self.key}":
            shown = sent.removeprefix("Bearer ")
            text = (
                f"Incorrect API key provided: {shown[:8]}***{shown[-4:]}."
                if shown
                else "You didn't provide an API key."
            )
            raise Refusal(401, text, code="invalid_api_key")
        routes = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._complete,
            ("POST", "/v1/embeddings"): self._embed,
            ("GET", "/v1/models"): self._models,
        }
        route = routes.get((request.method, request.path))
        if route is None:
            raise Refusal(404, f"Invalid URL ({request.method} {request.path})")
        return route(request)

    # --- requests -----------------------------------------------------------------------------------------------

    def _body(self, request: Recorded, known: set[str], required: str) -> dict[str, Any]:
        try:
            body = request.json
        except ValueError:
            raise Refusal(400, "We could not parse the JSON body of your request.") from None
        if not isinstance(body, dict) or required not in body:
            raise Refusal(400, f"Missing required parameter: '{required}'.", param=required)
        if body.get("model") not in self.models:
            text = f"The model `{body.get('model')}` does not exist or you do not have access to it."
            raise Refusal(404, text, code="model_not_found")
        for name, value in body.items():
            if name not in known and not name.startswith("x_"):
                raise Refusal(400, f"Unrecognized request argument supplied: {name}", param=name)
            if value is None:
                raise Refusal(400, f"Invalid type for '{name}': got null.", param=name)
        _check_ranges(body)
        return body

    def _check_window(self, body: Mapping[str, Any], prompt: int) -> None:
        limit, wanted = self.models[body["model"]], _limit(body) or 0
        if prompt + wanted > limit:
            text = f"This model's maximum context length is {limit} tokens. However, you requested {prompt + wanted} "
            text += f"tokens ({prompt} in the messages, {wanted} in the completion). Please reduce the length."
            raise Refusal(400, text, code="context_length_exceeded", param="messages")

    # --- chat ---------------------------------------------------------------------------------------------------

    def _chat(self, request: Recorded) -> Answer:
        body = self._body(request, CHAT_FIELDS, "messages")
        _check_messages(body["messages"])
        prompt = count_prompt(body["messages"])
        self._check_window(body, prompt)
        said = say(body, self.known)
        choices = [_choice(index, said, body) for index in range(body.get("n", 1))]
        head = {"id": f"chatcmpl-{len(self.requests)}", "created": CREATED, "model": body["model"]}
        usage = _usage(prompt, sum(choice.tokens for choice in choices))
        if body.get("stream"):
            head["object"] = "chat.completion.chunk"
            return self._stream(head, body, [_chat_chunks(choice, body) for choice in choices], usage)
        whole = [_whole_chat(choice, body) for choice in choices]
        return Answer(200, {**head, "object": "chat.completion", "choices": whole, "usage": usage})

    def _stream(
        self, head: Mapping[str, Any], body: Mapping[str, Any], rows: Sequence[Iterable[dict[str, Any]]], usage: Any
    ) -> Answer:
        asked = (body.get("stream_options") or {}).get("include_usage")
        extra = {"usage": None} if asked else {}
        choices = [choice for turn in zip_longest(*rows) for choice in turn if choice is not None]
        chunks = [{**head, "choices": [choice], **extra} for choice in choices]
        if asked:
            chunks.append({**head, "choices": [], "usage": usage})
        return Answer(200, list(events(*chunks, b"[DONE]")), {"content-type": "text/event-stream; charset=utf-8"})

    # --- completions --------------------------------------------------------------------------------------------

    def _complete(self, request: Recorded) -> Answer:
        body = self._body(request, COMPLETION_FIELDS, "prompt")
        text, suffix = body["prompt"], body.get("suffix")
        prompt = len(pieces(text))
        self._check_window(body, prompt)
        said = Said(infill(text, suffix) if suffix is not None else continuation(text, self.known))
        choices = [_choice(index, said, body) for index in range(body.get("n", 1))]
        shown = [_whole_completion(choice, body, text) for choice in choices]
        head = {"id": f"cmpl-{len(self.requests)}", "object": "text_completion", "created": CREATED}
        head["model"] = body["model"]
        usage = _usage(prompt, sum(choice.tokens for choice in choices))
        if body.get("stream"):
            return self._stream(head, body, [_completion_chunks(choice, body) for choice in shown], usage)
        return Answer(200, {**head, "choices": shown, "usage": usage})

    # --- the rest -----------------------------------------------------------------------------------------------

    def _embed(self, request: Recorded) -> Answer:
        body = self._body(request, EMBEDDING_FIELDS, "input")
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        size = body.get("dimensions", 8)
        vectors = [embedding(text, size) for text in texts]
        if body.get("encoding_format") == "base64":
            shown: list[Any] = [base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors]
        else:
            shown = vectors
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shown)]
        tokens = sum(len(pieces(text)) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Answer(200, {"object": "list", "data": data, "model": body["model"], "usage": usage})

    def _models(self, request: Recorded) -> Answer:
        row = {"object": "model", "created": CREATED, "owned_by": "test"}
        rows = [{"id": name, "context_window": window, **row} for name, window in self.models.items()]
        return Answer(200, {"object": "list", "data": rows})


def embedding(text: str, size: int = 8) -> list[float]:
    """A vector of length 1, the same for the same text: the sum of a made-up direction for each piece."""
    vector = [0.0] * size
    for piece in pieces(text.lower()) or [""]:
        digest = hashlib.sha256(piece.strip().encode()).digest()
        for index in range(size):
            vector[index] += digest[index % 32] / 255 - 0.5
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [struct.unpack("<f", struct.pack("<f", x / length))[0] for x in vector]


# --- checking -----------------------------------------------------------------------------------------------------


def _check_ranges(body: Mapping[str, Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens", "n"):
        if name in body and (type(body[name]) is not int or body[name] < 1):
            raise Refusal(
                400, f"Invalid '{name}': integer below minimum value.", code="integer_below_min_value", param=name
            )
    if not 0 <= body.get("temperature", 1) <= 2:
        raise Refusal(400, "Invalid 'temperature': decimal above maximum value.", param="temperature")
    stop = body.get("stop", [])
    if len(stop) > 4 and not isinstance(stop, str):
        raise Refusal(400, "Invalid 'stop': array too long.", param="stop")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "Invalid 'messages': empty array.", param="messages")
    called: set[str] = set()
    for index, message in enumerate(messages):
        if message.get("role") not in ("system", "developer", "user", "assistant", "tool"):
            raise Refusal(400, f"Invalid value: '{message.get('role')}'.", param=f"messages[{index}].role")
        if message.get("content") is None and not message.get("tool_calls"):
            raise Refusal(400, "Invalid value for 'content': expected a string, got null.", param=f"messages[{index}]")
        called |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            raise Refusal(400, f"Invalid parameter: {text}", param=f"messages[{index}].role")


# --- replies ------------------------------------------------------------------------------------------------------


def _limit(body: Mapping[str, Any]) -> int | None:
    return body.get("max_completion_tokens", body.get("max_tokens"))


def _choice(index: int, said: Said, body: Mapping[str, Any]) -> _Choice:
    """A choice. Those after the first have their number behind the text."""
    calls = tuple(
        {"id": f"call_{index}_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(said.calls)
    )
    if calls:
        return _Choice(index, "", "tool_calls", calls)
    text, finish = said.text + (f" ({index + 1})" if index else ""), "stop"
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop", [])
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    if found:
        text = text[: min(found)]
    limit = _limit(body)
    if limit is not None and len(pieces(text)) > limit:
        text, finish = "".join(pieces(text)[:limit]), "length"
    return _Choice(index, text, finish, calls, said.first)


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    prompt, completion = counted(prompt, completion)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached(), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _chat_logprobs(choice: _Choice, body: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    if not body.get("logprobs"):
        return None
    top = body.get("top_logprobs", 0)
    return [
        _entry(token, logprob) | {"top_logprobs": [_entry(*other) for other in others[:top]]}
        for token, logprob, others in choice.scored()
    ]


def _whole_chat(choice: _Choice, body: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text or None, "refusal": None}
    if choice.calls:
        message["tool_calls"] = list(choice.calls)
    else:
        message["content"] = choice.text
    if thought():
        message["reasoning_content"] = thought()
    scores = _chat_logprobs(choice, body)
    logprobs = None if scores is None else {"content": scores, "refusal": None}
    return {"index": choice.index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish}


def _chat_chunks(choice: _Choice, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    scores = _chat_logprobs(choice, body)

    def chunk(delta: dict[str, Any], number: int | None = None, finish: str | None = None) -> dict[str, Any]:
        logprobs = None if scores is None or number is None else {"content": [scores[number]], "refusal": None}
        return {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    yield chunk({"role": "assistant", "content": None if choice.calls else "", "refusal": None})
    for piece in pieces(thought()):
        yield chunk({"reasoning_content": piece})
    for number, piece in enumerate(pieces(choice.text)):
        yield chunk({"content": piece}, number)
    for number, call in enumerate(choice.calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": number, **call, "function": function}]})
        for piece in pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield chunk({}, finish=choice.finish)


def _whole_completion(choice: _Choice, body: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    echoed = pieces(prompt) if body.get("echo") else []
    text = ("".join(echoed)) + choice.text
    logprobs = None
    if "logprobs" in body:
        rows: list[tuple[str, float | None, list[tuple[str, float]]]] = [
            (piece, None if not number else -1.0, []) for number, piece in enumerate(echoed)
        ]
        rows += choice.scored()
        offsets = [len("".join(row[0] for row in rows[:number])) for number in range(len(rows))]
        logprobs = {
            "tokens": [token for token, _, _ in rows],
            "token_logprobs": [logprob for _, logprob, _ in rows],
            "top_logprobs": [dict(others[: body["logprobs"]]) or None for _, _, others in rows],
            "text_offset": offsets,
        }
    return {"index": choice.index, "text": text, "logprobs": logprobs, "finish_reason": choice.finish}


def _completion_chunks(whole: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    scores = whole["logprobs"]
    for number, piece in enumerate(pieces(whole["text"])):
        part = None if scores is None else {name: values[number : number + 1] for name, values in scores.items()}
        yield {"index": whole["index"], "text": piece, "logprobs": part, "finish_reason": None}
    yield {"index": whole["index"], "text": "", "logprobs": None, "finish_reason": whole["finish_reason"]}
