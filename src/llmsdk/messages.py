"""Messages from dicts in OpenAI's chat format, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmsdk.errors import InputError
from llmsdk.types import Message, Part, Role, Text, ToolCall, ToolResult

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "developer": "system",
}


def from_dict(value: Any, where: str) -> Message:
    """One message. ``where`` names it in an error.

    Raises:
        InputError: an unknown role or key, or content of a kind that is not text.
    """
    if not isinstance(value, Mapping):
        hint = 'Pass {"role": "user", "content": "..."} or llmsdk.Message("user", "...").'
        raise InputError(f"{where} is a {type(value).__name__}, not a message", argument=where, hint=hint)
    role = ROLES.get(value.get("role", ""))
    if role is None:
        hint = f"One of: {', '.join(ROLES)}."
        raise InputError(f"{where} has the role {value.get('role')!r}", argument=where, hint=hint)
    if unknown := set(value) - {"role", "content", "tool_calls", "tool_call_id", "name", "refusal"}:
        raise InputError(f"{where} has the unknown key {sorted(unknown)[0]!r}", argument=where)
    content = _content(value.get("content"), where)
    if role == "tool":
        return Message(role, (ToolResult(_id(value, where), content, value.get("name")),))
    calls = tuple(_call(item, where) for item in value.get("tool_calls") or ())
    if not calls:
        return Message(role, content)
    parts: tuple[Part, ...] = (Text(content), *calls) if content else calls
    return Message(role, parts)


def to_dict(message: Message) -> dict[str, Any]:
    """The message in OpenAI's chat format. Reasoning has no place there and is left out."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return {"role": "tool", "content": results[0].content, "tool_call_id": results[0].id}
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in message.tool_calls
        ]
    return plain


def _content(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    texts = [item.get("text") for item in value if isinstance(item, Mapping) and item.get("type") == "text"]
    if len(texts) != len(value) or not all(isinstance(text, str) for text in texts):
        hint = "Only text is supported so far."
        raise InputError(f"{where} has content that is not text", argument=where, hint=hint)
    return "".join(str(text) for text in texts)


def _id(value: Mapping[str, Any], where: str) -> str:
    if not isinstance(value.get("tool_call_id"), str):
        raise InputError(f"{where} is a tool's result without tool_call_id", argument=where)
    return str(value["tool_call_id"])


def _call(value: Any, where: str) -> ToolCall:
    try:
        function = value["function"]
        return ToolCall(value["id"], function["name"], function.get("arguments") or "{}")
    except (KeyError, TypeError, AttributeError):
        hint = '{"id": ..., "type": "function", "function": {"name": ..., "arguments": "..."}} is the form.'
        raise InputError(f"{where} has a malformed tool call", argument=where, hint=hint) from None
