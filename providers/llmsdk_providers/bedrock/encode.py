"""Requests as JSON, in the form of Converse. Pure functions.

A field that the caller left open is left out.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk.wire.calls import arguments

STATE = "bedrock.reasoning"
"""Key of ``provider_state``: the signature of a thought, or the thought itself where it was redacted."""
BASIC = frozenset({"max_tokens", "temperature", "top_p", "stop", "reasoning"})
_INFERENCE = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP"}
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
    "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_AUDIO = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/flac": "flac",
    "audio/ogg": "ogg", "audio/aac": "aac", "audio/mp4": "mp4", "audio/webm": "webm", "audio/opus": "opus",
}  # fmt: skip
_FORMATS = {
    **{kind: ("image", form) for kind, form in _IMAGES.items()},
    **{kind: ("document", form) for kind, form in _DOCUMENTS.items()},
    **{kind: ("audio", form) for kind, form in _AUDIO.items()},
}
_NO_NAME = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")


def is_claude(model: str) -> bool:
    """Whether fields of Anthropic's own can go along."""
    return "anthropic." in model


def converse(request: Request) -> dict[str, Any]:
    """The body for ``/converse`` and ``/converse-stream``.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: a kind of content, of reasoning or a choice of tools that the host lacks.
    """
    body = prompt(request)
    inference: dict[str, Any] = {
        theirs: value for ours, theirs in _INFERENCE.items() if (value := getattr(request, ours)) is not None
    }
    if request.stop:
        inference["stopSequences"] = list(request.stop)
    if inference:
        body["inferenceConfig"] = inference
    if output := _output(request):
        body["outputConfig"] = output
    return body


def prompt(request: Request) -> dict[str, Any]:
    """What the tokens of a prompt are counted by: messages, system, tools, and fields of the model's own."""
    system = [{"text": message.text} for message in request.messages if message.role == "system"]
    body: dict[str, Any] = {"messages": _turns(request.messages)}
    if system:
        body["system"] = system
    if request.tools and (tools := _tools(request)):
        body["toolConfig"] = tools
    if more := _of_the_model(request):
        body["additionalModelRequestFields"] = more
    return body


# --- messages ---------------------------------------------------------------------------------------------------


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The turns. Users and assistants take theirs by turns, so that all results of tools are in one message."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        content = list(_blocks(message))
        if role == "assistant" and not content:
            continue  # it only thought, and elsewhere: no turn that the host would take
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        else:
            turns.append({"role": role, "content": content})
    if any(not turn["content"] for turn in turns):
        raise InputError("a message has no content", argument="messages", hint="Leave it out, or say something.")
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool" and any(not isinstance(part, ToolResult) for part in message.parts):
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    for part in message.parts:
        if (block := _block(part)) is not None:
            yield block


def _block(part: Part) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"text": text} if text else None  # the host refuses blocks without text
        case Reasoning():
            return _thought(part)
        case ToolCall():
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": arguments(part)}}
        case ToolResult():
            failed = {"status": "error"} if part.is_error else {}
            return {"toolResult": {"toolUseId": part.id, "content": [{"text": part.content}], **failed}}
        case Media():
            return _media(part)


def _thought(part: Reasoning) -> dict[str, Any] | None:
    """A thought of this host's that it signed or redacted; others are not for it to see."""
    state = part.provider_state.get(STATE) if isinstance(part.provider_state, Mapping) else None
    match state:
        case {"redactedContent": hidden}:
            return {"reasoningContent": {"redactedContent": hidden}}
        case {"signature": signature}:
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": signature}}}
    return None


def _media(part: Media) -> dict[str, Any]:
    kind, form = _FORMATS.get(part.media_type, ("", ""))
    if not kind:
        hint = "Send it in another format, or as text."
        raise Unsupported(f"bedrock takes no {part.media_type}", capability="media", hint=hint)
    block: dict[str, Any] = {"format": form, "source": _source(part)}
    if kind == "document":
        block["name"] = _NO_NAME.sub(" ", part.name or "").strip()[:200] or "document"
    return {kind: block}


def _source(part: Media) -> dict[str, Any]:
    if part.data is not None:
        return {"bytes": b64encode(part.data).decode()}
    if part.url is not None and part.url.startswith("s3://"):
        return {"s3Location": {"uri": part.url}}
    hint = "Pass its bytes as data=, or an address that begins with s3://."
    raise Unsupported("bedrock fetches nothing from the web", capability="media", hint=hint)


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any] | None:
    if request.parallel_tool_calls is False:
        hint = "Leave parallel_tool_calls out, or take the first of several calls."
        raise Unsupported("bedrock cannot be held to one call at a time", capability="parallel_tool_calls", hint=hint)
    if request.tool_choice == "none":
        _check_no_calls(request)
        return None
    return {"tools": [_tool(tool) for tool in request.tools], **_choice(request.tool_choice)}


def _check_no_calls(request: Request) -> None:
    """The host cannot forbid tools, and wants to be told of them where the conversation has calls."""
    if any(message.tool_calls for message in request.messages):
        hint = 'Leave tool_choice="none" out.'
        raise Unsupported("bedrock cannot forbid tools that were called", capability="tool_choice", hint=hint)


def _choice(choice: str | None) -> dict[str, Any]:
    match choice:
        case None:
            return {}
        case "auto":
            return {"toolChoice": {"auto": {}}}
        case "required":
            return {"toolChoice": {"any": {}}}
    return {"toolChoice": {"tool": {"name": choice}}}


def _tool(tool: Tool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict is not None:
        spec["strict"] = tool.strict
    return {"toolSpec": spec}


# --- schema, reasoning, and what only some models know ------------------------------------------------------------


def _output(request: Request) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if request.schema is not None:
        bound = {"schema": to_json(dict(request.schema)).decode(), "name": request.schema_name}
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": bound}}
    if isinstance(request.reasoning, str):
        output["effort"] = request.reasoning
    return output


def _of_the_model(request: Request) -> dict[str, Any]:
    """Fields that Converse passes on as they are."""
    fields: dict[str, Any] = {}
    if request.top_k is not None:
        fields["top_k"] = request.top_k
    wish = request.reasoning
    if wish is None or isinstance(wish, str):
        return fields
    if wish is True or not is_claude(request.model):
        hint = 'Pass "low", "medium" or "high", or the model\'s own fields as extra={"body": {...}}.'
        raise Unsupported(f"bedrock has no such switch for {request.model}", capability="reasoning", hint=hint)
    thinking = {"type": "enabled", "budget_tokens": wish} if wish is not False else {"type": "disabled"}
    return {**fields, "thinking": thinking}
