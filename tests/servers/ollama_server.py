"""A server that speaks Ollama's own API, for tests. What it says is in ``brain``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from servers.brain import Knowledge, Said, continuation, counted, infill, pieces, say, thought
from servers.http_server import Answer, HTTPServer, Recorded
from servers.openai_server import embedding

MODELS = ("test:latest", "embed:latest")


class OllamaServer(HTTPServer):
    def __init__(self, key: str = "") -> None:
        super().__init__()
        self.key = key

    def handle(self, request: Recorded) -> Answer:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, {"error": "unauthorized"})
        routes = {
            "/api/chat": self._chat, "/api/generate": self._generate, "/api/embed": self._embed,
            "/api/tags": self._tags,
        }  # fmt: skip
        route = routes.get(request.path)
        if route is None:
            return Answer(404, b"404 page not found", {"content-type": "text/plain"})
        if request.method == "POST" and request.json["model"] not in MODELS:
            return Answer(404, {"error": f"model '{request.json['model']}' not found"})
        return route(request)

    def _chat(self, request: Recorded) -> Answer:
        body = request.json
        prompt = sum(3 + len(pieces(message["content"])) for message in body["messages"])
        return _answer(body, say(_as_openai(body), Knowledge()), prompt, chat=True)

    def _generate(self, request: Recorded) -> Answer:
        body = request.json
        prompt = body["prompt"]
        text = infill(prompt, body["suffix"]) if "suffix" in body else continuation(prompt, Knowledge())
        return _answer(body, Said(text), len(pieces(prompt)), chat=False)

    def _embed(self, request: Recorded) -> Answer:
        texts = request.json["input"]
        tokens = sum(len(pieces(text)) for text in texts)
        return Answer(200, {"embeddings": [embedding(text) for text in texts], "prompt_eval_count": tokens})

    def _tags(self, request: Recorded) -> Answer:
        return Answer(200, {"models": [{"name": name, "model": name} for name in MODELS]})


def _as_openai(body: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"messages": body["messages"], "tools": body.get("tools", ())}
    if "format" in body:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": body["format"]}}
    return fields


def _answer(body: Mapping[str, Any], said: Said, prompt: int, *, chat: bool) -> Answer:
    words = list(_limited(said.text, body))
    cut = len(words) < len(pieces(said.text))
    rows = [{"content": word} if chat else word for word in words]
    calls = [{"function": {"index": n, "name": c[0], "arguments": c[1]}} for n, c in enumerate(said.calls)]
    read, written = counted(prompt, len(words))
    end = {"done": True, "done_reason": "length" if cut else "stop", "prompt_eval_count": read, "eval_count": written}
    head = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
    scores = _scores(words, said.first) if body.get("logprobs") else None
    field = "message" if chat else "response"
    if not body["stream"]:
        whole: Any = {"content": "".join(words), **({"tool_calls": calls} if calls else {})} if chat else "".join(words)
        if chat and thought():
            whole["thinking"] = thought()
        return Answer(200, {**head, field: whole, **end, **({"logprobs": scores} if scores else {})})
    lines: list[dict[str, Any]] = [{**head, field: row, "done": False} for row in rows]
    if scores:
        lines = [{**line, "logprobs": [score]} for line, score in zip(lines, scores, strict=True)]
    if chat and thought():
        lines.insert(0, {**head, "message": {"content": "", "thinking": thought()}, "done": False})
    if calls:
        lines.append({**head, "message": {"content": "", "tool_calls": calls}, "done": False})
    lines.append({**head, field: {"content": ""} if chat else "", **end})
    stream = [json.dumps(line).encode() + b"\n" for line in lines]
    return Answer(200, stream, {"content-type": "application/x-ndjson"})


def _limited(text: str, body: Mapping[str, Any]) -> Iterator[str]:
    yield from pieces(text)[: body.get("options", {}).get("num_predict", 10_000)]


def _scores(words: list[str], first: Mapping[str, float] | None) -> list[dict[str, Any]]:
    """A logprob for each piece; the alternatives of the first by their share."""
    shares = first or {}
    tops = [{"token": name, "logprob": math.log(max(share, 1e-9))} for name, share in shares.items()]
    rows: list[dict[str, Any]] = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in words]
    if rows and tops:
        rows[0]["top_logprobs"] = tops
    return rows
