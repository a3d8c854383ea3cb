"""Requests as JSON, in the form of ``/v2/chat``. Pure functions.

A field that the caller left open is left out.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, Tool, ToolCall, ToolResult

STATE = "cohere.part"
"""Key of ``provider_state``: whether a thought is ``thinking`` or the ``tool_plan``."""
BUDGETS = {"low": 1024, "medium": 4096, "high": 16384}
"""Tokens of thought for the three levels: the host knows only a budget."""
_FIELDS = {
    "max_tokens": "max_tokens", "temperature": "temperature", "top_p": "p", "top_k": "k", "seed": "seed",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
}  # fmt: skip
"""Our names and the host's."""
OPTIONS = frozenset({*_FIELDS, "stop", "reasoning"})


def chat(request: Request) -> dict[str, Any]:
    """The body for ``/v2/chat``.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: a kind of content, or a combination, that the host lacks.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [item for message in request.messages for item in _message(message)],
    }
    body |= {theirs: value for ours, theirs in _FIELDS.items() if (value := getattr(request, ours)) is not None}
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.stream:
        body["stream"] = True
    if request.tools:
        body |= _tools(request)
    if request.schema is not None:
        body["response_format"] = _response_format(request)
    if request.reasoning is not None:
        body["thinking"] = _thinking(request.reasoning)
    return body


# --- messages ---------------------------------------------------------------------------------------------------


def _message(message: Message) -> Iterator[dict[str, Any]]:
    """One of our messages: each tool's result is a message of its own here, the rest is one."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for part in results:
        yield {"role": "tool", "tool_call_id": part.id, "content": part.content}
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    if rest or not results:
        yield _turn(message.role, rest)


def _turn(role: str, parts: Sequence[Part]) -> dict[str, Any]:
    if role == "tool":
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    turn: dict[str, Any] = {"role": role}
    if calls := [_call(part) for part in parts if isinstance(part, ToolCall)]:
        turn["tool_calls"] = calls
    if plan := "".join(_thoughts(parts, "tool_plan")):
        turn["tool_plan"] = plan
    content = [block for part in parts if (block := _block(part)) is not None]
    if content or not calls:
        turn["content"] = _plain(content)
    return turn


def _plain(blocks: list[dict[str, Any]]) -> Any:
    """Text alone goes as text."""
    if all(block["type"] == "text" for block in blocks):
        return "".join(block["text"] for block in blocks)
    return blocks


def _block(part: Part) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Reasoning() if _kind(part) == "thinking":
            return {"type": "thinking", "thinking": part.text}
        case Media():
            return {"type": "image_url", "image_url": {"url": _image(part)}}
    return None


def _kind(thought: Reasoning) -> Any:
    """What the host called a thought of its own. What another provider thought is not for this one to see."""
    state = thought.provider_state
    return state.get(STATE) if isinstance(state, Mapping) else None


def _thoughts(parts: Sequence[Part], kind: str) -> Iterator[str]:
    yield from (part.text for part in parts if isinstance(part, Reasoning) and _kind(part) == kind)


def _image(part: Media) -> str:
    if not part.media_type.startswith("image/"):
        hint = "Send the text of the document, or ask another provider."
        raise Unsupported(f"cohere takes no {part.media_type}, only images", capability="media", hint=hint)
    return part.url or f"data:{part.media_type};base64,{b64encode(part.data or b'').decode()}"


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
    }


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any]:
    """The tools. One that is chosen by name is the only one that is offered: the host has no other way."""
    if request.parallel_tool_calls is False:
        hint = "Leave parallel_tool_calls out, or take the first of several calls."
        raise Unsupported("cohere cannot be held to one call at a time", capability="parallel_tool_calls", hint=hint)
    choice = request.tool_choice
    named = [tool for tool in request.tools if tool.name == choice]
    offered = named or request.tools
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in offered]}
    if any(tool.strict for tool in offered):
        fields["strict_tools"] = True
    if named or choice in ("required", "none"):
        fields["tool_choice"] = "NONE" if choice == "none" else "REQUIRED"
    elif choice not in (None, "auto"):
        raise InputError(f"there is no tool {choice!r}", argument="tool_choice", hint="Name one of tools=.")
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.parameters}}


# --- schema and reasoning ---------------------------------------------------------------------------------------


def _response_format(request: Request) -> dict[str, Any]:
    if request.tools:
        hint = "Ask for the tools first, and for the value when they have answered."
        raise Unsupported("cohere cannot hold a reply to a schema beside tools", capability="schema", hint=hint)
    return {"type": "json_object", "json_schema": request.schema}


def _thinking(wish: str | int | bool) -> dict[str, Any]:
    if isinstance(wish, bool):
        return {"type": "enabled" if wish else "disabled"}
    budget = BUDGETS[wish] if isinstance(wish, str) else wish
    return {"type": "enabled", "token_budget": budget}
