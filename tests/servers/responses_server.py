"""A server that speaks OpenAI's Responses API, for tests. What it says is in ``brain``.

Models whose name begins with ``gpt-5`` think before they answer. Their reasoning must come back as it went out, and
with the item that followed it, as on the real host.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from servers.brain import Said, cached, counted, pieces, say, thought
from servers.http_server import Answer, Recorded
from servers.openai_server import CREATED, OpenAIServer, Refusal, count_prompt

FIELDS = {
    "model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
    "parallel_tool_calls", "text", "reasoning", "include", "top_logprobs", "stream", "store",
}  # fmt: skip
THOUGHTS = ("**Reading**\n\nWhat is asked?", "**Answering**\n\nThis is it.")
LEAST = 16


class ResponsesServer(OpenAIServer):
    def _route(self, request: Recorded) -> Answer:
        route = {"/v1/responses": self._respond, "/v1/responses/input_tokens": self._count_input}.get(request.path)
        known = request.headers.get("authorization") == f"Bearer {self.key}"
        return route(request) if route and known else super()._route(request)

    def _count_input(self, request: Recorded) -> Answer:
        body = self._body(request, FIELDS - {"include", "stream", "store", "max_output_tokens"}, "input")
        count = count_prompt(_as_chat(body)["messages"])
        return Answer(200, {"object": "response.input_tokens", "input_tokens": count})

    def _respond(self, request: Recorded) -> Answer:
        body = self._body(request, FIELDS, "input")
        chat = _as_chat(body)
        limit = body.get("max_output_tokens", 10_000)
        if limit < LEAST:
            text = f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {LEAST}."
            raise Refusal(400, text, code="integer_below_min_value", param="max_output_tokens")
        prompt = count_prompt(chat["messages"])
        self._check_window(body, prompt)
        output = list(_output(say(chat, self.known), body, limit))
        reply = _reply(body, output, prompt, cut=bool(output) and output[-1].get("status") == "incomplete")
        if body.get("stream"):
            return Answer(200, list(_stream(reply)), {"content-type": "text/event-stream; charset=utf-8"})
        return Answer(200, reply)


# --- the request --------------------------------------------------------------------------------------------------


def _as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the brain takes it."""
    messages = [{"role": "system", "content": body["instructions"]}] if "instructions" in body else []
    messages += _messages(body["input"])
    chat: dict[str, Any] = {"messages": messages, "tool_choice": body.get("tool_choice", "auto")}
    chat["tools"] = [{"type": "function", "function": tool} for tool in body.get("tools", ())]
    if "logprobs" in " ".join(body.get("include", ())):
        chat |= {"logprobs": True, "top_logprobs": body.get("top_logprobs", 0)}
    if (form := body.get("text", {}).get("format", {})).get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": form}
    return chat


def _messages(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    alone = None
    called: set[str] = set()
    for item in items:
        kind = item.get("type", "message")
        if alone and (kind not in ("message", "function_call") or item.get("role", "assistant") != "assistant"):
            break
        alone = item["id"] if kind == "reasoning" else None
        if kind == "reasoning":
            if not item.get("encrypted_content"):
                raise Refusal(404, f"Item with id '{item['id']}' not found. Items are not persisted.")
        elif kind == "function_call":
            called.add(item["call_id"])
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            yield {"role": "assistant", "content": None, "tool_calls": [call]}
        elif kind == "function_call_output":
            if item["call_id"] not in called:
                raise Refusal(400, f"No tool call found for function call output with call_id {item['call_id']}.")
            yield {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
        else:
            content = item["content"]
            text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
            yield {"role": item["role"], "content": text}
    if alone:
        text = f"Item '{alone}' of type 'reasoning' was provided without its required following item."
        raise Refusal(400, text, param="input")


# --- the reply ----------------------------------------------------------------------------------------------------


def _output(said: Said, body: Mapping[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    if thought():
        yield {"id": "rs_1", "type": "reasoning", "summary": [_part("summary_text", thought())]}
    elif str(body["model"]).startswith("gpt-5"):
        shown = THOUGHTS if body.get("reasoning", {}).get("summary") else ()
        secret = {"encrypted_content": "c2VjcmV0"} if "reasoning.encrypted_content" in body.get("include", ()) else {}
        yield {"id": "rs_1", "type": "reasoning", "summary": [_part("summary_text", text) for text in shown], **secret}
    for number, (name, arguments) in enumerate(said.calls):
        call = {"call_id": f"call_{number}", "name": name, "arguments": json.dumps(arguments)}
        yield {"id": f"fc_{number}", "type": "function_call", "status": "completed", **call}
    if not said.calls:
        words = pieces(said.text)
        status = "incomplete" if len(words) > limit else "completed"
        part = _part("output_text", "".join(words[:limit])) | {"annotations": [], "logprobs": _scores(said, body)}
        yield {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part]}


def _part(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text}


def _scores(said: Said, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first piece with its alternatives: enough to choose a label by."""
    if "message.output_text.logprobs" not in body.get("include", ()):
        return []

    if not said.text:
        return []
    shares = said.first or {pieces(said.text)[0]: 0.75, " or": 0.25}
    ranked = sorted(((name, math.log(max(share, 1e-9))) for name, share in shares.items()), key=lambda pair: -pair[1])
    tops = [{"token": name, "logprob": logprob, "bytes": []} for name, logprob in ranked]
    return [tops[0] | {"top_logprobs": tops[: body.get("top_logprobs", 0)]}]


def _reply(body: Mapping[str, Any], output: list[dict[str, Any]], prompt: int, *, cut: bool) -> dict[str, Any]:
    texts = [part["text"] for item in output for part in (*item.get("content", ()), *item.get("summary", ()))]
    tokens = sum(len(pieces(text)) for text in (*texts, *(item.get("arguments", "") for item in output)))
    prompt, tokens = counted(prompt, tokens)
    return {
        "id": "resp_1", "object": "response", "created_at": CREATED, "model": body["model"], "output": output,
        "status": "incomplete" if cut else "completed", "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "usage": {
            "input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached()}, "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt + tokens,
        },
    }  # fmt: skip


def _stream(reply: Mapping[str, Any]) -> Iterator[bytes]:
    number = 0

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        data = json.dumps({"type": kind, "sequence_number": number, **fields}, ensure_ascii=False)
        return f"event: {kind}\ndata: {data}\n\n".encode()

    begun = {**reply, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield event("response.created", response=begun)
    for index, item in enumerate(reply["output"]):
        bare = {name: [] if isinstance(value, list) else value for name, value in item.items()} | {"arguments": ""}
        yield event("response.output_item.added", output_index=index, item=bare)
        for at, part in enumerate(item.get("summary", ())):
            for piece in pieces(part["text"]):
                yield event("response.reasoning_summary_text.delta", output_index=index, summary_index=at, delta=piece)
        for piece in pieces(item.get("arguments", "")):
            yield event("response.function_call_arguments.delta", output_index=index, delta=piece)
        for at, part in enumerate(item.get("content", ())):
            scores = part["logprobs"]
            for piece in pieces(part["text"]):
                spot = {"output_index": index, "content_index": at, "delta": piece, "logprobs": scores}
                yield event("response.output_text.delta", **spot)
                scores = []
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{reply['status']}", response=reply)
