"""The test servers as backends of the conformance suite: each renders in its dialect what the suite wants said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from servers import brain
from servers.anthropic_server import AnthropicServer, sse
from servers.bedrock_server import BedrockServer, frame, frames
from servers.cohere_server import CohereServer
from servers.gemini_server import GeminiServer
from servers.http_server import HTTPServer
from servers.huggingface_server import SENTENCES, HuggingFaceServer
from servers.ollama_server import OllamaServer
from servers.openai_server import CHAT_FIELDS, COMPLETION_FIELDS, OpenAIServer
from servers.responses_server import ResponsesServer

from llmsdk.testing.conformance import RETRY_AFTER, Backend, Fault, HTTPAnswer, NotOffered, Received, Said

MORE = " more words"
"""What a reply goes on with that is cut before it."""
SLOW = {"retry-after": str(RETRY_AFTER)}
LATER = "Upstream failed."


@dataclass(frozen=True)
class Told:
    """A fault in the words of a dialect."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] | None = None

    @property
    def answer(self) -> HTTPAnswer:
        return HTTPAnswer(self.status, self.body, self.headers or {})


class Served(Backend):
    """A test server of ours. It makes its own checks of each request, and refuses a wrong key by itself."""

    path: ClassVar[str] = ""
    """What follows the origin in ``base_url``."""
    faults: ClassVar[Mapping[Fault, Told]]
    thinks: ClassVar[bool] = True
    caches: ClassVar[bool] = True
    scores: ClassVar[bool] = True

    def __init__(self) -> None:
        self.host: Any = self.make()

    def make(self) -> HTTPServer:
        raise NotImplementedError

    def settings(self, origin: str, key: str) -> Mapping[str, Any]:
        self.host.key = key
        return {"base_url": origin + self.path, "api_key": key}

    def reply(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        for wanted, offered, what in (
            (said.reasoning, self.thinks, "reasoning"),
            (said.usage.cached_input_tokens, self.caches, "figures of a cache"),
            (said.first, self.scores, "logprobs"),
        ):
            if wanted and not offered:
                raise NotOffered(f"the dialect has no {what}")
        answer = self.handled(request, script(said))
        assert answer.status == 200, f"the test server refused the request: {answer.body!r}"
        assert isinstance(answer.body, list) == stream, "the request asked for the other form of reply"
        return answer

    def handled(self, request: Received, script: brain.Script | None = None) -> HTTPAnswer:
        """What the server answers."""
        token = brain.SCRIPT.set(script)
        try:
            answer: HTTPAnswer = self.host.handle(request)
        finally:
            brain.SCRIPT.reset(token)
        return answer

    def refusal(self, fault: Fault, request: Received) -> HTTPAnswer:
        if fault is Fault.WRONG_KEY:
            with self.key("another"):
                return self.handled(request)
        if fault is Fault.UNKNOWN_MODEL:
            body = request.body.replace(self.model.encode(), b"nobody")
            return self.handled(replace(request, path=request.path.replace(self.model, "nobody"), body=body))
        if fault not in self.faults:
            raise NotOffered(f"the dialect has no word for {fault}")
        return self.faults[fault].answer

    @contextmanager
    def key(self, other: str) -> Any:
        """While the server has another key."""
        own, self.host.key = self.host.key, other
        try:
            yield
        finally:
            self.host.key = own

    def failure(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        if not stream:
            return HTTPAnswer(200, self.broken())
        answer = self.reply(replace(said, text=said.text + MORE), request, stream=True)
        mark = json.dumps(brain.pieces(MORE)[0]).encode()
        assert isinstance(answer.body, list)
        until = next(number for number, piece in enumerate(answer.body) if mark in piece)
        return replace(answer, body=[*answer.body[:until], self.broken_event()])

    def broken(self) -> Mapping[str, Any]:
        """The body of a reply with status 200 that is an error."""
        raise NotOffered("the dialect has no error inside a reply")

    def broken_event(self) -> bytes:
        """The same as an event of a stream."""
        return b"data: " + json.dumps(self.broken()).encode() + b"\n\n"

    def embeddings(self, request: Received) -> HTTPAnswer:
        return self.handled(request)


def script(said: Said) -> brain.Script:
    """What the suite wants said, for our servers. A reply that is to be cut goes on behind the cut."""
    text = said.text + (MORE if said.finish == "length" else "")
    calls = [(call.name, call.arguments) for call in said.calls]
    usage = said.usage
    told = brain.Said(text, calls, dict(said.first) or None)
    return brain.Script(
        told, usage.input_tokens or 0, usage.output_tokens or 0, usage.cached_input_tokens or 0, said.reasoning
    )


def listed(ids: Sequence[str], key: str, name: str, **more: Any) -> HTTPAnswer:
    return HTTPAnswer(200, {key: [{name: model} for model in ids], **more})


# --- the chat-completions dialect -----------------------------------------------------------------------------------


def openai_error(status: int, code: str, message: str = "Sorry.", **headers: str) -> Told:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, named)


OPENAI_FAULTS = {
    Fault.TOO_LONG: openai_error(400, "context_length_exceeded", "This model's maximum context length is 8 tokens."),
    Fault.FILTERED: openai_error(400, "content_filter"),
    Fault.RATE_LIMIT: openai_error(429, "rate_limit_exceeded", "Rate limit reached.", **SLOW),
    Fault.QUOTA: openai_error(429, "insufficient_quota", "You exceeded your current quota."),
    Fault.OVERLOAD: openai_error(503, "engine_overloaded", "The engine is overloaded."),
}


class OpenAIBackend(Served):
    model = "test-model"
    path = "/v1"
    faults: ClassVar[Mapping[Fault, Told]] = OPENAI_FAULTS

    def make(self) -> HTTPServer:
        return OpenAIServer()

    def broken(self) -> Mapping[str, Any]:
        return {"error": {"message": LATER, "type": "server_error", "code": 500}}

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        return listed(ids, "data", "id", object="list")


class HostBackend(OpenAIBackend):
    """Any host that speaks the dialect: it takes what hosts have of their own, and tells usage unasked."""

    def handled(self, request: Received, script: brain.Script | None = None) -> HTTPAnswer:
        if not request.path.endswith(("/chat/completions", "/completions")):
            return super().handled(request, script)
        body = {name: value for name, value in request.json.items() if name in CHAT_FIELDS | COMPLETION_FIELDS}
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        return super().handled(replace(request, body=json.dumps(body).encode()), script)


class HuggingFaceBackend(HostBackend):
    """The router's chat; models that are made for one task have tests of their own."""

    embedding_model = SENTENCES

    def make(self) -> HTTPServer:
        return HuggingFaceServer()


class AzureBackend(OpenAIBackend):
    """A resource: its own header for the key, and its own address."""

    path = "/openai/v1"

    def handled(self, request: Received, script: brain.Script | None = None) -> HTTPAnswer:
        bearer = {"authorization": f"Bearer {request.headers.get('api-key')}"}
        return super().handled(replace(request, path=request.path.removeprefix("/openai"), headers=bearer), script)


class MistralBackend(OpenAIBackend):
    """Usage comes unasked; what the model thought is a part of the content."""

    scores = False
    faults: ClassVar[Mapping[Fault, Told]] = OPENAI_FAULTS | {
        Fault.RATE_LIMIT: Told(429, {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited"}, SLOW)
    }

    def handled(self, request: Received, script: brain.Script | None = None) -> HTTPAnswer:
        if not request.path.endswith("/chat/completions"):
            return super().handled(request, script)
        body = request.json
        body["tool_choice"] = "required" if body.get("tool_choice") == "any" else body.get("tool_choice", "auto")
        if "random_seed" in body:
            body["seed"] = body.pop("random_seed")
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        if body.get("messages"):
            body["messages"] = [_plain(message) for message in body["messages"]]
        body.pop("prompt_mode", None)
        return super().handled(replace(request, body=json.dumps(body).encode()), script)

    def reply(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        answer = super().reply(replace(said, reasoning=""), request, stream=stream)
        if not said.reasoning:
            return answer
        part = {"type": "thinking", "thinking": [{"type": "text", "text": said.reasoning}]}
        if isinstance(answer.body, Mapping):
            message = answer.body["choices"][0]["message"]
            message["content"] = [part, {"type": "text", "text": message["content"]}]
            return answer
        assert isinstance(answer.body, list)
        head = json.loads(answer.body[0].removeprefix(b"data: "))
        head["choices"][0]["delta"] = {"content": [part]}
        return replace(answer, body=[b"data: " + json.dumps(head).encode() + b"\n\n", *answer.body])


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the parts that only Mistral knows."""
    if isinstance(message.get("content"), list):
        text = "".join(part.get("text", "") for part in message["content"])
        return {**message, "content": text}
    return message


class ResponsesBackend(OpenAIBackend):
    model = "gpt-4o-mini"
    faults: ClassVar[Mapping[Fault, Told]] = OPENAI_FAULTS | {
        Fault.FILTERED: openai_error(400, "invalid_prompt"),
        Fault.OVERLOAD: openai_error(503, "server_is_overloaded"),
    }

    def make(self) -> HTTPServer:
        return ResponsesServer()

    def broken(self) -> Mapping[str, Any]:
        return {"object": "response", "status": "failed", "error": {"code": "server_error", "message": LATER}}

    def broken_event(self) -> bytes:
        return sse({"type": "error", "code": "server_error", "message": LATER, "sequence_number": 9})

    def count(self, tokens: int, request: Received) -> HTTPAnswer:
        return HTTPAnswer(200, {"object": "response.input_tokens", "input_tokens": tokens})


# --- the other dialects ---------------------------------------------------------------------------------------------


def anthropic_error(status: int, kind: str, message: str = "Sorry.", **headers: str) -> Told:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, {"type": "error", "error": {"type": kind, "message": message}}, named)


class AnthropicBackend(Served):
    model = "claude-sonnet-4-5"
    scores = False
    faults: ClassVar[Mapping[Fault, Told]] = {
        Fault.TOO_LONG: anthropic_error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        Fault.FILTERED: anthropic_error(400, "invalid_request_error", "Output blocked by content filtering policy"),
        Fault.RATE_LIMIT: anthropic_error(429, "rate_limit_error", "Too many", **SLOW),
        Fault.QUOTA: anthropic_error(400, "invalid_request_error", "Your credit balance is too low to access the API."),
        Fault.OVERLOAD: anthropic_error(529, "overloaded_error", "Overloaded"),
    }

    def make(self) -> HTTPServer:
        return AnthropicServer()

    def broken(self) -> Mapping[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": LATER}}

    def broken_event(self) -> bytes:
        return sse(dict(self.broken()))

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        return listed(ids, "data", "id", has_more=False)

    def count(self, tokens: int, request: Received) -> HTTPAnswer:
        return HTTPAnswer(200, {"input_tokens": tokens})


def google(status: int, word: str, message: str, **details: Any) -> Told:
    return Told(status, {"error": {"code": status, "message": message, "status": word, "details": [details]}})


class GeminiBackend(Served):
    model = "gemini-2.5-flash"
    embedding_model = "gemini-embedding-001"
    faults: ClassVar[Mapping[Fault, Told]] = {
        Fault.TOO_LONG: google(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of "
                               "tokens allowed (8)."),
        Fault.FILTERED: Told(200, {"promptFeedback": {"blockReason": "SAFETY"}}),
        Fault.RATE_LIMIT: google(429, "RESOURCE_EXHAUSTED", "slow", retryDelay=f"{RETRY_AFTER}s"),
        Fault.QUOTA: google(403, "PERMISSION_DENIED", "no", reason="BILLING_DISABLED"),
        Fault.OVERLOAD: google(503, "UNAVAILABLE", "The model is overloaded."),
    }  # fmt: skip

    def make(self) -> HTTPServer:
        return GeminiServer("")

    def broken(self) -> Mapping[str, Any]:
        return google(500, "INTERNAL", LATER).body

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        return listed([f"models/{model}" for model in ids], "models", "name")

    def count(self, tokens: int, request: Received) -> HTTPAnswer:
        return HTTPAnswer(200, {"totalTokens": tokens})


class VertexBackend(GeminiBackend):
    def settings(self, origin: str, key: str) -> Mapping[str, Any]:
        self.host.key = key
        return {"base_url": origin, "token": key, "project": "p", "location": "here"}


def cohere_error(status: int, message: str, **headers: str) -> Told:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, {"id": "e", "message": message}, named)


class CohereBackend(Served):
    model = "command-test"
    embedding_model = "embed-test"
    scores = False
    faults: ClassVar[Mapping[Fault, Told]] = {
        Fault.TOO_LONG: cohere_error(400, "too many tokens: total number of tokens in the prompt cannot exceed 8"),
        Fault.FILTERED: cohere_error(498, "the request contains a term that is not allowed"),
        Fault.RATE_LIMIT: cohere_error(429, "You are using a Trial key, limited to 20 API calls / minute.", **SLOW),
        Fault.QUOTA: cohere_error(402, "please add a payment method"),
        Fault.OVERLOAD: cohere_error(503, "no capacity"),
    }

    def make(self) -> HTTPServer:
        return CohereServer("")

    def broken(self) -> Mapping[str, Any]:
        return {"id": "e", "message": LATER}

    def broken_event(self) -> bytes:
        return sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": LATER}})

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        return listed(ids, "models", "name")


class OllamaBackend(Served):
    model = "test:latest"
    embedding_model = "embed:latest"
    caches = False
    faults: ClassVar[Mapping[Fault, Told]] = {
        Fault.TOO_LONG: Told(400, {"error": "the input length exceeds the context length"}),
        Fault.RATE_LIMIT: Told(429, {"error": "too many requests"}, SLOW),
        Fault.OVERLOAD: Told(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
    }

    def make(self) -> HTTPServer:
        return OllamaServer()

    def broken(self) -> Mapping[str, Any]:
        return {"error": LATER}

    def broken_event(self) -> bytes:
        return json.dumps(self.broken()).encode() + b"\n"

    def models(self, ids: Sequence[str], request: Received) -> HTTPAnswer:
        return HTTPAnswer(200, {"models": [{"name": model, "model": model} for model in ids]})


def bedrock_error(status: int, name: str, message: str, **headers: str) -> Told:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(status, {"message": message}, {"x-amzn-errortype": f"{name}:http://internal", **named})


class BedrockBackend(Served):
    model = "test.model-v1:0"
    scores = False
    faults: ClassVar[Mapping[Fault, Told]] = {
        Fault.TOO_LONG: bedrock_error(400, "ValidationException", "Input Tokens Exceeded: Number of input tokens "
                                      "exceeds maximum length."),
        Fault.RATE_LIMIT: bedrock_error(429, "ThrottlingException", "Too many tokens, please wait.", **SLOW),
        Fault.QUOTA: bedrock_error(400, "ServiceQuotaExceededException", "quota"),
        Fault.OVERLOAD: bedrock_error(503, "ServiceUnavailableException", "try later"),
    }  # fmt: skip

    def make(self) -> HTTPServer:
        return BedrockServer("")

    def reply(self, said: Said, request: Received, *, stream: bool) -> HTTPAnswer:
        answer = super().reply(said, request, stream=stream)
        cached = said.usage.cached_input_tokens or 0
        usage = {"inputTokens": (said.usage.input_tokens or 0) - cached, "outputTokens": said.usage.output_tokens}
        usage |= {"cacheReadInputTokens": cached} if cached else {}
        if isinstance(answer.body, Mapping):
            content = answer.body["output"]["message"]["content"]
            if said.reasoning:
                content.insert(0, {"reasoningContent": {"reasoningText": {"text": said.reasoning, "signature": "s"}}})
            return replace(answer, body={**answer.body, "usage": usage})
        assert isinstance(answer.body, list)
        thoughts = [{"text": said.reasoning}, {"signature": "s"}] if said.reasoning else []
        aloud = [_delta({"reasoningContent": thought}) for thought in thoughts]
        return replace(
            answer, body=[*answer.body[:1], *aloud, *answer.body[1:-1], frames(("metadata", {"usage": usage}))]
        )

    def handled(self, request: Received, script: brain.Script | None = None) -> HTTPAnswer:
        """The server takes an ``outputConfig`` for a schema."""
        body = request.json if request.body else {}
        if "textFormat" not in body.get("outputConfig", {"textFormat": {}}):
            del body["outputConfig"]
            request = replace(request, body=json.dumps(body).encode())
        return super().handled(request, script)

    def broken_event(self) -> bytes:
        return frame("internalServerException", json.dumps({"message": LATER}).encode(), "exception")

    def count(self, tokens: int, request: Received) -> HTTPAnswer:
        return HTTPAnswer(200, {"inputTokens": tokens})


def _delta(delta: Mapping[str, Any]) -> bytes:
    return frames(("contentBlockDelta", {"contentBlockIndex": 7, "delta": delta}))


BACKENDS: Mapping[str, type[Served]] = {
    "anthropic": AnthropicBackend,
    "azure": AzureBackend,
    "bedrock": BedrockBackend,
    "cohere": CohereBackend,
    "gemini": GeminiBackend,
    "huggingface": HuggingFaceBackend,
    "mistral": MistralBackend,
    "ollama": OllamaBackend,
    "openai": OpenAIBackend,
    "openai-responses": ResponsesBackend,
    "vertex": VertexBackend,
}
"""Each dialect over HTTP, by its name."""
