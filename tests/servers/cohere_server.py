"""A server that speaks Cohere's second API, for tests. What it says is in ``brain``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from servers.brain import Knowledge, Said, cached, counted, pieces, say, thought
from servers.http_server import Answer, HTTPServer, Recorded
from servers.openai_server import count_prompt, embedding

MODELS = {"command-test": 8192, "embed-test": 512}
_REPLY_ID = "5f0c8c1e-0000-4000-8000-000000000001"


class CohereServer(HTTPServer):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def handle(self, request: Recorded) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _refused(401, "invalid api token")
        routes = {"/v2/chat": self._chat, "/v2/embed": self._embed, "/v1/models": self._models}
        route = routes.get(request.path)
        return route(request) if route else _refused(404, "page not found")

    def _chat(self, request: Recorded) -> Answer:
        body = request.json
        if body["model"] not in MODELS:
            return _refused(404, f"model '{body['model']}' not found, make sure the correct model ID was used")
        said = say(_as_openai(body), Knowledge())
        text, finish = said.text, "TOOL_CALL" if said.calls else "COMPLETE"
        if len(pieces(text)) > body.get("max_tokens", 10_000):
            text, finish = "".join(pieces(text)[: body["max_tokens"]]), "MAX_TOKENS"
        read, written = counted(count_prompt(_as_openai(body)["messages"]), len(pieces(text)))
        tokens = {"input_tokens": read, "output_tokens": written}
        usage = {"billed_units": {"input_tokens": 1}, "tokens": tokens, "cached_tokens": cached()}
        end = {"finish_reason": finish, "usage": usage}
        if body.get("stream"):
            return Answer(200, list(_stream(text, said, end)), {"content-type": "text/event-stream"})
        message: dict[str, Any] = {"role": "assistant"}
        if said.calls:
            message |= {"tool_plan": "I will call.", "tool_calls": _calls(said)}
        else:
            aloud = [{"type": "thinking", "thinking": thought()}] if thought() else []
            message["content"] = [*aloud, {"type": "text", "text": text}]
        return Answer(200, {"id": _REPLY_ID, "message": message, **end})

    def _embed(self, request: Recorded) -> Answer:
        texts = request.json["texts"]
        if len(texts) > 96:
            return _refused(400, "total number of texts must be at most 96")
        meta = {"billed_units": {"input_tokens": sum(len(pieces(text)) for text in texts)}}
        return Answer(200, {"embeddings": {"float": [embedding(text) for text in texts]}, "meta": meta})

    def _models(self, request: Recorded) -> Answer:
        rows = [{"name": name, "context_length": length} for name, length in MODELS.items()]
        if "page_token" in request.query:
            return Answer(200, {"models": rows[1:]})
        return Answer(200, {"models": rows[:1], "next_page_token": "a/b"})


def _refused(status: int, message: str) -> Answer:
    return Answer(status, {"id": _REPLY_ID, "message": message})


def _as_openai(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the brain takes it."""
    form = body.get("response_format", {})
    choice = {"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice", ""), "auto")
    fields: dict[str, Any] = {"messages": body["messages"], "tools": body.get("tools", ()), "tool_choice": choice}
    if "json_schema" in form:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": form["json_schema"]}}
    return fields


def _calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"id": f"{name}_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(said.calls)
    ]


def _stream(text: str, said: Said, end: Mapping[str, Any]) -> Iterator[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()

    yield event("message-start", id=_REPLY_ID, delta={"message": {"role": "assistant", "content": []}})
    if not said.calls:
        if thought():
            yield event("content-delta", index=0, delta={"message": {"content": {"thinking": thought()}}})
        yield event("content-start", index=1, delta={"message": {"content": {"type": "text", "text": ""}}})
        for piece in pieces(text):
            yield event("content-delta", index=1, delta={"message": {"content": {"text": piece}}})
        yield event("content-end", index=1)
    else:
        yield event("tool-plan-delta", delta={"message": {"tool_plan": "I will call."}})
    for index, call in enumerate(_calls(said)):
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield event("tool-call-start", index=index, delta={"message": {"tool_calls": begun}})
        for piece in pieces(call["function"]["arguments"]):
            function = {"function": {"arguments": piece}}
            yield event("tool-call-delta", index=index, delta={"message": {"tool_calls": function}})
        yield event("tool-call-end", index=index)
    yield event("message-end", delta=end)
    yield b"data: [DONE]\n\n"
