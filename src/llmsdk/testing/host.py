"""A host for tests: it speaks OpenAI's chat dialect, has every fault of a network, and keeps its own books.

    with FaultServer("Good day.") as host, Client("openai:any", config=host.config()) as client:
        host.inject(faults.status(503), faults.reset(after=40))

What it has generated is in ``served``: the truth that a client's ledger can be held against. A token is a word, and
each message of a prompt has 4 more, which for short English words is also what llmsdk estimates.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmsdk.testing.faults import EVENT_STREAM, HTTPAnswer
from llmsdk.testing.server import HTTPServer, Received, events
from llmsdk.types import Usage

KEY = "sk-test-Fault0123456789abcdef"
TEXT = "The sun is up and the day is long."
CHAT = "/chat/completions"
PER_MESSAGE = 4
"""Tokens around each message of a prompt."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the host generated for one request, whether or not it arrived."""

    request: Received
    input_tokens: int
    ends: tuple[int, ...]
    """After how many bytes of the body each token is out."""
    streamed: bool = False

    @property
    def output_tokens(self) -> int:
        """All tokens of a reply that comes in one; of a stream those that went out."""
        return sum(end <= self.request.sent for end in self.ends) if self.streamed else len(self.ends)


class FaultServer(HTTPServer):
    """The host. ``reply`` is what it says, or makes that of a request. A context manager.

    Args:
        reply: the text of every reply, or a function of the request that gives it.
        key: the key that it asks for.
        tls: a server's context, for https.
    """

    def __init__(
        self,
        reply: str | Callable[[Received], str] = TEXT,
        *,
        key: str = KEY,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.reply: str | Callable[[Received], str] = reply
        self.key: str = key
        self.served: list[Served] = []
        """One for each request that was run, the refused ones not among them."""

    @property
    def url(self) -> str:
        """What ``base_url`` is to be."""
        return f"{self.origin}/v1"

    def config(self, **sections: Any) -> dict[str, Any]:
        """A configuration whose provider ``openai`` is this host, with more sections such as ``retry``."""
        return {"providers": {"openai": {"base_url": self.url, "api_key": self.key}}, **sections}

    @property
    def usage(self) -> Usage:
        """All tokens that were run, as the host would bill them."""
        served = [*self.served]
        return Usage(sum(row.input_tokens for row in served), sum(row.output_tokens for row in served))

    @property
    def prompt_bytes(self) -> int:
        """Bytes of all requests' bodies."""
        return sum(len(request.body) for request in [*self.requests])

    def clear(self) -> None:
        """Forget requests, faults and what was served."""
        super().clear()
        self.served.clear()

    # --- answering ----------------------------------------------------------------------------------------------

    def handle(self, request: Received) -> HTTPAnswer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _refusal(401, "Incorrect API key provided.", "invalid_api_key")
        if not request.path.endswith(CHAT):
            return _refusal(404, f"Invalid URL ({request.method} {request.path})", None)
        return self._run(request)

    def lost(self, request: Received) -> None:
        """A request whose reply a fault takes away was run all the same, where it is of a kind that the host knows."""
        if request.path.endswith(CHAT):
            self._run(request, lost=True)

    def _run(self, request: Received, *, lost: bool = False) -> HTTPAnswer:
        asked = request.json
        words = _words(self.reply(request) if callable(self.reply) else self.reply)
        limit = asked.get("max_completion_tokens", asked.get("max_tokens"))
        said, finish = words[:limit], "stop" if limit is None or len(words) <= limit else "length"
        prompt = sum(PER_MESSAGE + len(_words(_text(message))) for message in asked["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(said), "total_tokens": prompt + len(said)}
        head = {"id": f"chatcmpl-{len(self.served) + 1}", "created": 1_700_000_000, "model": asked["model"]}
        if not asked.get("stream") or lost:
            self.served.append(Served(request, prompt, (0,) * len(said)))
            message = {"role": "assistant", "content": "".join(said)}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return HTTPAnswer(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        body = _chunks({**head, "object": "chat.completion.chunk"}, said, finish, usage)
        ends = tuple(sum(map(len, body[: number + 2])) for number in range(len(said)))
        self.served.append(Served(request, prompt, ends, streamed=True))
        return HTTPAnswer(200, body, EVENT_STREAM)


def _chunks(head: Mapping[str, Any], said: Sequence[str], finish: str, usage: Mapping[str, int]) -> list[bytes]:
    """The role, a word an event, the end, the usage, and the word that this is all."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in said), {}]
    last = len(deltas) - 1
    choices = [
        {"index": 0, "delta": delta, "finish_reason": finish if number == last else None}
        for number, delta in enumerate(deltas)
    ]
    bodies = [{**head, "choices": [choice]} for choice in choices]
    return [*events(*bodies, {**head, "choices": [], "usage": usage}, b"[DONE]")]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _words(text: str) -> list[str]:
    """The words, each with the space before it."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)] if text else []


def _refusal(status: int, message: str, code: str | None) -> HTTPAnswer:
    return HTTPAnswer(status, json.dumps({"error": {"message": message, "type": "error", "code": code}}))


__all__ = ["KEY", "TEXT", "FaultServer", "Served"]
