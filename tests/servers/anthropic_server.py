"""An Anthropic server for tests: the official ``anthropic`` package accepts it as one.

What it says is in ``brain``. It checks what the service checks: the headers, the required limit, the roles, that no
text is empty, and that a thought comes back as it was signed before the results of the calls that followed it.
``input_tokens`` are the pieces of all that was sent; the system's words are read from the cache, and not among them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from servers.brain import Knowledge, Said, cached, counted, pieces, say, thought
from servers.http_server import Answer, HTTPServer, Recorded

KEY = "sk-ant-test-0123456789abcdefXYZ"
MODELS = {
    "claude-sonnet-4-5": 200_000, "claude-opus-4-6": 1_000_000, "claude-3-5-haiku-20241022": 200_000,
    "claude-small-4-5": 64,
}  # fmt: skip
"""The models and their windows in tokens."""
FIELDS = {
    "model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "tools",
    "tool_choice", "thinking", "output_config", "metadata", "service_tier",
}  # fmt: skip
COUNTED = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
STATUS = {"authentication_error": 401, "not_found_error": 404, "invalid_request_error": 400}
THOUGHT = "Let me think. This is easy."


class Refusal(Exception):
    """An error as Anthropic words it."""

    def __init__(self, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = STATUS[kind]
        self.body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def count(body: Mapping[str, Any]) -> tuple[int, int]:
    """The tokens of the conversation and its tools, and those of the system's words."""
    conversation = [text for turn in body["messages"] for text in _texts(turn["content"])]
    tools = [json.dumps(tool) for tool in body.get("tools", ())]
    return sum(len(pieces(text)) for text in (*conversation, *tools)), len(pieces(body.get("system", "")))


def signature(thought: str) -> str:
    return hashlib.sha256(thought.encode()).hexdigest()


def _texts(content: Any) -> Iterator[str]:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        yield block.get("text") or block.get("content") or json.dumps(block.get("input", ""))


class AnthropicServer(HTTPServer):
    """The server. ``known`` adds to what it can translate, answer, say and continue."""

    def __init__(self, known: Knowledge | None = None, *, key: str = KEY) -> None:
        super().__init__()
        self.known = known or Knowledge()
        self.key = key

    @property
    def url(self) -> str:
        return self.origin

    def handle(self, request: Recorded) -> Answer:
        headers = {"request-id": f"req_{len(self.requests)}"}
        try:
            answer = self._route(request)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body, headers)
        return Answer(answer.status, answer.body, headers | dict(answer.headers))

    def _route(self, request: Recorded) -> Answer:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.headers.get("x-api-key", bearer) != self.key:
            raise Refusal("invalid x-api-key", "authentication_error")
        if request.headers.get("anthropic-version") not in ("2023-06-01", "2026-10-21"):
            raise Refusal("anthropic-version: header is required")
        match (request.method, request.path):
            case ("POST", "/v1/messages"):
                return self._message(request)
            case ("POST", "/v1/messages/count_tokens"):
                return Answer(200, {"input_tokens": sum(count(_checked(request.json, COUNTED)))})
            case ("GET", "/v1/models"):
                return _models(request.query)
        raise Refusal("Not found", "not_found_error")

    def _message(self, request: Recorded) -> Answer:
        body = _checked(request.json, FIELDS)
        if type(body.get("max_tokens")) is not int:
            raise Refusal("max_tokens: Field required")
        new, read = count(body)
        window = MODELS[body["model"]]
        if new + read > window:
            raise Refusal(f"prompt is too long: {new + read} tokens > {window} maximum")
        content, reason, sequence = self._content(body)
        written = sum(len(pieces(text)) for block in content for text in _spoken(block))
        read = cached(read)
        total, written = counted(new + read, written)
        usage = {"input_tokens": total - read, "cache_creation_input_tokens": 0, "cache_read_input_tokens": read}
        message = {
            "id": f"msg_{len(self.requests)}", "type": "message", "role": "assistant", "model": body["model"],
            "content": content, "stop_reason": reason, "stop_sequence": sequence,
            "usage": {**usage, "output_tokens": written},
        }  # fmt: skip
        if not body.get("stream"):
            return Answer(200, message)
        return Answer(200, list(stream(message)), {"content-type": "text/event-stream; charset=utf-8"})

    def _content(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str, str | None]:
        said = say(_as_chat(body), self.known)
        content: list[dict[str, Any]] = []
        if body.get("thinking", {}).get("type") in ("enabled", "adaptive") and (words := thought(THOUGHT)):
            content.append({"type": "thinking", "thinking": words, "signature": signature(words)})
            content.append({"type": "redacted_thinking", "data": "b3BhcXVl"})
        if said.calls:
            calls = enumerate(said.calls)
            content += [
                {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": given} for i, (name, given) in calls
            ]
            return content, "tool_use", None
        text, reason, sequence = _cut(said, body)
        return [*content, {"type": "text", "text": text}] if text else content, reason, sequence


def _spoken(block: Mapping[str, Any]) -> Iterator[str]:
    yield from (block[key] for key in ("text", "thinking", "name") if key in block)
    if "input" in block:
        yield json.dumps(block["input"])


def _cut(said: Said, body: Mapping[str, Any]) -> tuple[str, str, str | None]:
    text = said.text
    for stop in body.get("stop_sequences", ()):
        if stop in text:
            return text[: text.index(stop)], "stop_sequence", stop
    found = pieces(text)
    limit = body["max_tokens"]
    return ("".join(found[:limit]), "max_tokens", None) if len(found) > limit else (text, "end_turn", None)


def _as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request in the form that ``brain`` reads."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": body["system"]}] if "system" in body else []
    for turn in body["messages"]:
        blocks = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        messages += [{"role": "tool", "content": b["content"]} for b in blocks if b["type"] == "tool_result"]
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        if texts:
            messages.append({"role": turn["role"], "content": "".join(texts)})
    chat: dict[str, Any] = {"messages": messages}
    chat["tools"] = [{"function": {**tool, "parameters": tool["input_schema"]}} for tool in body.get("tools", ())]
    choice = body.get("tool_choice", {"type": "auto"})
    chat["tool_choice"] = {"any": "required", "tool": {"function": choice}}.get(choice["type"], choice["type"])
    chat["parallel_tool_calls"] = not choice.get("disable_parallel_tool_use", False)
    if form := body.get("output_config", {}).get("format"):
        chat["response_format"] = {"type": "json_schema", "json_schema": {"schema": form["schema"]}}
    return chat


def stream(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The same message as its events."""
    began = {**message["usage"], "output_tokens": 1}
    yield sse({"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": began}})
    yield sse({"type": "ping"})
    for index, block in enumerate(message["content"]):
        start, deltas = grown(block)
        yield sse({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield sse({"type": "content_block_delta", "index": index, "delta": delta})
        yield sse({"type": "content_block_stop", "index": index})
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    yield sse({"type": "message_delta", "delta": ended, "usage": {"output_tokens": message["usage"]["output_tokens"]}})
    yield sse({"type": "message_stop"})


def grown(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and the deltas by which it grows."""
    match block["type"]:
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*thought, signed]
        case "tool_use" | "server_tool_use":
            text = json.dumps(block["input"], separators=(",", ":"), ensure_ascii=False) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:5], text[5:])]
            return {**block, "input": {}}, deltas
    return dict(block), []


def sse(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _models(query: Mapping[str, str]) -> Answer:
    """Two models a page, so that there is more than one."""
    names = list(MODELS)
    at = names.index(query["after_id"]) + 1 if "after_id" in query else 0
    shown = names[at : at + 2]
    rows = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z",
             "max_input_tokens": MODELS[name]} for name in shown]  # fmt: skip
    more = at + 2 < len(names)
    return Answer(200, {"data": rows, "has_more": more, "first_id": shown[0], "last_id": shown[-1]})


# --- checking -----------------------------------------------------------------------------------------------------


def _checked(body: dict[str, Any], known: set[str]) -> dict[str, Any]:
    if odd := sorted(body.keys() - known):
        raise Refusal(f"{odd[0]}: Extra inputs are not permitted")
    if body.get("model") not in MODELS:
        raise Refusal(f"model: {body.get('model')}", "not_found_error")
    if not body.get("messages"):
        raise Refusal("messages: at least one message is required")
    for number, turn in enumerate(body["messages"]):
        _check_turn(number, turn)
    _check_thoughts(body)
    return body


def _check_turn(number: int, turn: Mapping[str, Any]) -> None:
    if turn["role"] not in ("user", "assistant"):
        raise Refusal(f'messages: Unexpected role "{turn["role"]}". Allowed roles are "user" or "assistant".')
    blocks = [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"]
    if not blocks or any(block["type"] == "text" and not block["text"] for block in blocks):
        raise Refusal(f"messages.{number}: text content blocks must be non-empty")


def _check_thoughts(body: Mapping[str, Any]) -> None:
    """While it thinks, an assistant's turn with calls has to begin with the thought that led to them."""
    if body.get("thinking", {}).get("type") not in ("enabled", "adaptive"):
        return
    for number, turn in enumerate(body["messages"]):
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        if any(block["type"] == "tool_use" for block in blocks):
            kinds = [block["type"] for block in blocks]
            if kinds[:2] != ["thinking", "redacted_thinking"]:
                raise Refusal(f"messages.{number}.content.0.type: Expected `thinking`, but found `{kinds[0]}`.")
            if blocks[0]["signature"] != signature(blocks[0]["thinking"]):
                raise Refusal(f"messages.{number}.content.0: Invalid `signature` in `thinking` block")
