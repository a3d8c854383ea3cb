"""A server that speaks Gemini's API, under the addresses of both hosts, for tests. What it says is in ``brain``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from servers.brain import Knowledge, Said, cached, counted, pieces, say, thought
from servers.http_server import Answer, HTTPServer, Recorded, events
from servers.openai_server import embedding

MODELS = {"gemini-2.5-flash": 1_048_576, "gemini-2.0-flash": 1_048_576, "gemini-embedding-001": 2048}
REPLY_ID = "aBcDeF0123456789"
SIGNATURE = "c2lnbmVk"
_MODEL = re.compile(r"(?:/v1beta|/v1/projects/p/locations/here/publishers/google)/models/([^/:]+)(:\w+)")


class GeminiServer(HTTPServer):
    """``key`` is that of the Gemini API, and the token of Vertex."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def handle(self, request: Recorded) -> Answer:
        headers = request.headers
        vertex = "/projects/" in request.path
        sent = headers.get("authorization", "").removeprefix("Bearer ") if vertex else headers.get("x-goog-api-key")
        if sent != self.key:
            return unauthenticated() if vertex else bad_key()
        if request.path == "/v1beta/models":
            return self._models(request)
        found = _MODEL.fullmatch(request.path)
        methods = {
            ":generateContent": self._whole, ":streamGenerateContent": self._stream, ":countTokens": self._count_tokens,
            ":batchEmbedContents": self._embed, ":predict": self._predict,
        }  # fmt: skip
        if not found or found[1] not in MODELS or found[2] not in methods:
            return refused(404, "NOT_FOUND", f"{request.path} is not found for API version v1beta")
        return methods[found[2]](request)

    # --- generate -----------------------------------------------------------------------------------------------

    def _whole(self, request: Recorded) -> Answer:
        chunks = list(_chunks(request.json))
        parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
        last = chunks[-1]["candidates"][0]
        text = "".join(part.get("text", "") for part in parts if "thought" not in part)
        aloud = [part for part in parts if "thought" in part]
        whole = [part for part in parts if "text" not in part]
        scores = [token for chunk in chunks for token in _tokens(chunk)]
        joined: dict[str, Any] = {
            **last,
            "content": {"role": "model", "parts": [*aloud, *([{"text": text}] if text else []), *whole]},
        }
        if scores:
            joined["logprobsResult"] = _scored(scores)
        return Answer(200, {**chunks[-1], "candidates": [joined]})

    def _stream(self, request: Recorded) -> Answer:
        if request.query.get("alt") != "sse":
            return Answer(200, "[" + "{}" + "]")
        return Answer(200, list(events(*_chunks(request.json))), {"content-type": "text/event-stream"})

    # --- the rest -----------------------------------------------------------------------------------------------

    def _count_tokens(self, request: Recorded) -> Answer:
        body = request.json.get("generateContentRequest", request.json)
        return Answer(200, {"totalTokens": count_prompt(body)})

    def _embed(self, request: Recorded) -> Answer:
        texts = [item["content"]["parts"][0]["text"] for item in request.json["requests"]]
        if len(texts) > 100:
            return refused(400, "INVALID_ARGUMENT", "at most 100 requests can be in one batch")
        return Answer(200, {"embeddings": [{"values": embedding(text)} for text in texts]})

    def _predict(self, request: Recorded) -> Answer:
        texts = [item["content"] for item in request.json["instances"]]
        rows = [{"values": embedding(text), "statistics": {"token_count": len(pieces(text))}} for text in texts]
        return Answer(200, {"predictions": [{"embeddings": row} for row in rows]})

    def _models(self, request: Recorded) -> Answer:
        rows = [{"name": f"models/{name}", "inputTokenLimit": window} for name, window in MODELS.items()]
        if request.query.get("pageToken") == "more/rows":
            return Answer(200, {"models": rows[2:]})
        return Answer(200, {"models": rows[:2], "nextPageToken": "more/rows"})


# --- refusals -----------------------------------------------------------------------------------------------------


def refused(status: int, word: str, message: str, *details: Mapping[str, Any]) -> Answer:
    return Answer(status, {"error": {"code": status, "message": message, "status": word, "details": list(details)}})


def bad_key() -> Answer:
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    return refused(400, "INVALID_ARGUMENT", "This key is not one of ours.", reason)


def unauthenticated() -> Answer:
    return refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")


# --- replies ------------------------------------------------------------------------------------------------------


def count_prompt(body: Mapping[str, Any]) -> int:
    turns = [*body["contents"], *([body["systemInstruction"]] if "systemInstruction" in body else [])]
    return sum(3 + sum(len(pieces(part.get("text", ""))) for part in turn["parts"]) for turn in turns)


def _chunks(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The chunks of a reply, of which the last has the end and the usage. A call comes whole, and says ``STOP``."""
    config = body.get("generationConfig", {})
    said = say(_as_openai(body), Knowledge())
    words, finish = pieces(said.text), "STOP"
    if len(words) > (limit := config.get("maxOutputTokens", 10_000)):
        words, finish = words[:limit], "MAX_TOKENS"
    rows: list[list[dict[str, Any]]] = [[{"text": word}] for word in words]
    if said.calls:
        rows, finish = [[_called(name, arguments)] for name, arguments in said.calls], "STOP"
    if thought():
        rows.insert(0, [{"text": thought(), "thought": True}])
    prompt, written = counted(count_prompt(body), len(rows))
    used: dict[str, Any] = {"promptTokenCount": prompt, **({"cachedContentTokenCount": cached()} if cached() else {})}
    for number, parts in enumerate(rows or [[]]):
        last = number == len(rows or [[]]) - 1
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if config.get("responseLogprobs") and words:
            candidate["logprobsResult"] = _scored([_alternatives(said, words, number)])
        if last:
            candidate["finishReason"] = finish
        usage = {**used, "candidatesTokenCount": written if last else min(number + 1, written)}
        yield {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "test", "responseId": REPLY_ID}


def _called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": arguments}, "thoughtSignature": SIGNATURE}


def _alternatives(said: Said, words: list[str], number: int) -> list[dict[str, Any]]:
    shares = said.first if said.first and number == 0 else {words[number]: 0.75, " or": 0.125}
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return [{"token": name, "logProbability": math.log(max(share, 1e-9))} for name, share in ranked]


def _tokens(chunk: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    scores = chunk["candidates"][0].get("logprobsResult")
    return [row["candidates"] for row in scores["topCandidates"]] if scores else []


def _scored(rows: list[list[dict[str, Any]]]) -> dict[str, Any]:
    return {"chosenCandidates": [row[0] for row in rows], "topCandidates": [{"candidates": row} for row in rows]}


def _as_openai(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the brain takes it."""
    system = body.get("systemInstruction", {"parts": []})["parts"]
    messages = [{"role": "system", "content": part["text"]} for part in system]
    messages += [_message(turn) for turn in body["contents"]]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    choice: Any = {"ANY": "required", "NONE": "none"}.get(calling.get("mode", ""), "auto")
    if names := calling.get("allowedFunctionNames"):
        choice = {"function": {"name": names[0]}}
    declared = [item for tool in body.get("tools", ()) for item in tool["functionDeclarations"]]
    tools = [{"function": {**item, "parameters": item.get("parametersJsonSchema")}} for item in declared]
    fields: dict[str, Any] = {"messages": messages, "tools": tools, "tool_choice": choice}
    if schema := body.get("generationConfig", {}).get("responseJsonSchema"):
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return fields


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    results = [part["functionResponse"]["response"] for part in turn["parts"] if "functionResponse" in part]
    if results:
        return {"role": "tool", "content": str(results[0].get("output", results[0]))}
    text = "".join(part.get("text", "") for part in turn["parts"])
    return {"role": "user" if turn["role"] == "user" else "assistant", "content": text}
