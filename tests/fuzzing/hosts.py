"""Every dialect as it meets a host that may say anything: whole replies, streams, refusals, vectors, lists, counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from fuzzing import changes
from fuzzing.changes import Change
from fuzzing.decoders import pieces

from llmsdk.errors import MAX_TEXT, LLMError
from llmsdk.io.drive import drive
from llmsdk.provider import Answers, Classifies, CountsExactly, Embeds, HTTPProvider, Lists, Translates
from llmsdk.reply import Reply
from llmsdk.types import Event, Message, Request, Tool
from llmsdk_providers.anthropic import Anthropic
from llmsdk_providers.azure import Azure
from llmsdk_providers.bedrock import Bedrock
from llmsdk_providers.cohere import Cohere
from llmsdk_providers.gemini import Gemini, Vertex
from llmsdk_providers.huggingface import HuggingFace
from llmsdk_providers.mistral import Mistral
from llmsdk_providers.ollama import Ollama
from llmsdk_providers.openai import OpenAI, hosts
from llmsdk_providers.openai_responses import Responses

HERE = "http://127.0.0.1:1"
STATUSES = (400, 401, 404, 408, 413, 422, 429, 500, 503, 529)
PLAIN = Request("m", (Message("user", "Hi"),), stream=True)
RICH = Request(
    "m", (Message("user", "Hi"),), stream=True, logprobs=2, n=2,
    tools=(Tool("look", {"type": "object", "properties": {"x": {"type": "integer"}}}, "Look."),),
    schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)  # fmt: skip
Asked = Callable[[Any, Any], AsyncIterator[Event]]
"""Events of a provider by an ``io``."""


@dataclass(frozen=True)
class Host:
    """A provider, and the recordings that fit it: whose they are, and the ends of their endpoints."""

    make: Callable[..., HTTPProvider]
    recorded: Sequence[tuple[str, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Change = changes.sse

    def provider(self) -> HTTPProvider:
        kind: Any = self.make
        made: HTTPProvider = kind(
            "host", kind.Settings(**({"base_url": HERE, "api_key": "key-of-nobody"} | self.settings))
        )
        return made


CHAT = "/chat/completions"
HOSTS: dict[str, Host] = {
    "openai": Host(OpenAI, [("openai", CHAT), ("groq", CHAT), ("xai", CHAT), ("openai", "/embeddings")]),
    "openrouter": Host(hosts.openrouter, [("openrouter", CHAT), ("deepseek", CHAT), ("zhipu", CHAT)]),
    "azure": Host(Azure, [("azure", CHAT), ("azure", "/embeddings")]),
    "openai-responses": Host(Responses, [("openai", "/responses"), ("xai", "/responses"), ("azure", "/responses")]),
    "anthropic": Host(Anthropic, [("anthropic", "/messages"), ("anthropic", "/count_tokens")]),
    "gemini": Host(
        Gemini, [("google", ":streamGenerateContent"), ("google", ":generateContent"), ("google",
        ":batchEmbedContents")]
    ),
    "vertex": Host(
        Vertex,
        [("vertex", ":streamGenerateContent"), ("vertex", ":generateContent")],
        {"project": "p", "api_key": None, "token": "token-of-nobody"},
    ),
    "mistral": Host(Mistral, [("mistral", CHAT), ("mistral", "/embeddings")]),
    "cohere": Host(Cohere, [("cohere", "/v2/chat"), ("cohere", "/embed")]),
    "bedrock": Host(
        Bedrock,
        [("bedrock", "/converse"), ("bedrock", "/converse-stream"), ("bedrock", "/count-tokens")],
        change=changes.frames,
    ),
    "ollama": Host(Ollama, [("ollama", "/api/chat"), ("ollama", "/api/embed")], change=changes.lines),
    "huggingface": Host(
        HuggingFace,
        [("huggingface", CHAT)],
        {"tasks": {"t": {"task": "translation", "pair": ["en", "de"]}, "a": "question-answering",
                   "c": "zero-shot-classification", "e": "feature-extraction"}},
    ),
}  # fmt: skip
OPERATIONS = {"/embeddings": "embed", "/embed": "embed", ":batchEmbedContents": "embed", "tokens": "count"}
"""By the end of an endpoint; all others generate."""
OWN: Mapping[str, Sequence[bytes]] = {
    "models": [
        b'{"data": [{"id": "m", "created": 1, "display_name": "M"}], "has_more": false, "last_id": "m"}',
        b'{"models": [{"name": "models/m", "inputTokenLimit": 9, "supportedGenerationMethods": ["x"]}]}',
    ],
    "count": [b'{"totalTokens": 3}', b'{"input_tokens": 3}', b'{"inputTokens": 3}'],
    "embed": [
        b'{"data": [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": [1, 2]}], "usage": {}}',
        b'{"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 1}}}]}',
        b"[[0.5, 1], [1, 2]]", b"[[[0.5, 1]], [[1, 2], [3, 4]]]", b'{"embeddings": [[0.5, 1], [1, 2]]}',
    ],
    "translate": [b'[{"translation_text": "Hallo"}]', b'{"translation_text": "Hallo"}'],
    "answer": [b'{"score": 0.9, "start": 0, "end": 3, "answer": "Tom"}', b'[{"score": 1, "start": 0, "end": 3}]'],
    "classify": [
        b'{"sequence": "Hi", "labels": ["a", "b"], "scores": [0.75, 0.25]}',
        b'[{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}]', b'[[{"label": "a", "score": 1}]]',
    ],
    "refused": [b'{"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}', b"<html><title>502</title>"],
}  # fmt: skip
"""Replies in the forms of which few or none are recorded."""


def typed(error: LLMError) -> str:
    """How a call ended that ended in a typed error, of a length that somebody reads."""
    assert len(error.message) <= MAX_TEXT
    assert len(error.hint) <= MAX_TEXT
    return type(error).__name__


class Reader:
    """Reads what a host says, in every way that its provider has."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.provider = host.provider()
        self.asked = _operations(self.provider)
        self.names = list(self.asked)

    def __call__(self, way: int, data: bytes) -> str:
        name = self.names[(way & 15) % len(self.names)]
        refused = name == "refused" or way & 0b1100_0000 == 0b1100_0000
        status = STATUSES[len(data) % len(STATUSES)] if refused else 200
        asked = self.asked[name]
        io = _Wire(status, pieces(data, (0, 0, 130, 133)[way >> 4 & 3] if status == 200 else 0))
        try:
            reply = drive(_fold(asked(self.provider, io)))
        except LLMError as error:
            return typed(error)
        self._look(reply)
        return "whole" if reply.complete(1) or reply.output is not None else "broken off"

    def _look(self, reply: Reply) -> None:
        """What a caller would look at."""
        for choice in reply.choices:
            for call in choice.message.tool_calls:
                try:
                    _ = call.arguments
                except LLMError:
                    continue
        assert isinstance(reply.text + reply.seen + reply.reasoning, str)
        assert reply.finish is None or reply.complete(1)

    def change(self, data: bytes, chance: Random) -> bytes:
        """Streams by their pieces, and everything else as JSON: whichever it looks like, and sometimes the other."""
        is_json = data.lstrip()[:1] in (b"{", b"[") and self.host.change is not changes.lines
        return changes.document(data, chance) if is_json or chance.random() < 0.05 else self.host.change(data, chance)


class _Wire:
    """Answers whatever is sent with one reply."""

    clock = None

    def __init__(self, status: int, parts: list[bytes]) -> None:
        self.status, self._parts = status, parts
        self.odd = sum(map(len, parts)) % 2 == 1
        self.headers: Mapping[str, str] = {"retry-after": "2"} if status == 429 else {}

    async def send(self, request: Any) -> Any:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part

    async def read(self, limit: int = 0) -> bytes:
        return b"".join(self._parts)

    async def aclose(self) -> None:
        pass


async def _fold(events: AsyncIterator[Event]) -> Reply:
    reply = Reply()
    async for event in events:
        reply.add(event)
    return reply


def _operations(provider: Any) -> dict[str, Asked]:
    """What can be asked of a provider, by name."""
    more: dict[str, tuple[type, Asked]] = {
        "embed": (Embeds, lambda provider, io: provider.embed("e", ["a", "b"], io)),
        "models": (Lists, lambda provider, io: provider.models(io)),
        "count": (CountsExactly, lambda provider, io: provider.count_exactly(PLAIN, io)),
        "translate": (Translates, lambda provider, io: provider.translate(Request("t", "Hi"), "de", "en", io)),
        "answer": (Answers, lambda provider, io: provider.answer(Request("a", "Who?"), ["Tom is here.", "x"], io)),
        "classify": (Classifies, lambda provider, io: provider.classify(Request("c", "Hi"), ["a", "b"], False, io)),
    }
    found: dict[str, Asked] = {"stream": _generated(stream=True), "whole": _generated(stream=False)}
    found["refused"] = found["stream"]
    return found | {name: asked for name, (protocol, asked) in more.items() if isinstance(provider, protocol)}


def _generated(*, stream: bool) -> Asked:
    plain, rich = replace(PLAIN, stream=stream), replace(RICH, stream=stream)

    def asked(provider: Any, io: Any) -> AsyncIterator[Event]:
        request = rich if io.odd and isinstance(provider, OpenAI | Responses | Anthropic | Gemini) else plain
        events: AsyncIterator[Event] = provider.generate(request, io)
        return events

    return asked
