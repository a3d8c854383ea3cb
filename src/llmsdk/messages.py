"""Messages from dicts in OpenAI's chat format, and back."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmsdk.errors import InputError, brief
from llmsdk.media import check_url
from llmsdk.types import Media, Message, Part, Role, Text, ToolCall, ToolResult

ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "developer": "system",
}


KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "refusal"})


def checked(message: Message, where: str) -> Message:
    """A message as it is, if it can be one: a dataclass takes whatever it is given.

    Raises:
        InputError: an unknown role, or content that is neither text nor parts.
    """
    _role(message.role, where)
    content: Any = message.content
    if not isinstance(content, str | tuple | list) or not all(isinstance(part, Part) for part in message.parts):
        hint = "Pass a str, or a tuple of llmsdk.Text and other parts."
        raise InputError(f"{where} has content that is neither a str nor parts", argument=where, hint=hint)
    for part in message.parts:
        if isinstance(part, Media):
            _check(part, where)
    return message


def _check(media: Media, where: str) -> None:
    data, url = media.data, media.url
    if (data is None) == (url is None) or not isinstance(data, bytes | None) or not isinstance(url, str | None):
        hint = 'Pass Media("image/png", data=b"...") or Media("image/png", url="https://...").'
        raise InputError(
            f"{where} has media without bytes as data, or a str as url, or with both", argument=where, hint=hint
        )
    if url is not None:
        check_url(url, where, private=media.private)


def _role(name: Any, where: str) -> Role:
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise InputError(f"{where} has the role {brief(name)}", argument=where, hint=f"One of: {', '.join(ROLES)}.")
    return role


def from_dict(value: Any, where: str) -> Message:
    """One message. ``where`` names it in an error.

    Raises:
        InputError: an unknown role or key, or content of an unknown kind.
    """
    if not isinstance(value, Mapping):
        hint = 'Pass {"role": "user", "content": "..."} or llmsdk.Message("user", "...").'
        if isinstance(getattr(value, "message", None), Message):
            hint = "Pass its .message."
        raise InputError(f"{where} is a {type(value).__name__}, not a message", argument=where, hint=hint)
    # what is empty says nothing, and dumps of other clients are full of it
    if unknown := [key for key, said in value.items() if key not in KEYS and said not in (None, [], {})]:
        hint = f"Known: {', '.join(sorted(KEYS))}."
        raise InputError(f"{where} has the unknown key {min(map(brief, unknown))}", argument=where, hint=hint)
    if "role" not in value:
        hint = 'Write {"role": "user", "content": "..."}.'
        raise InputError(f"{where} has no role", argument=where, hint=hint)
    role = _role(value["role"], where)
    parts = tuple(_parts(value.get("content"), where))
    content = "".join(part.text for part in parts if isinstance(part, Text))
    if role == "tool":
        return Message(role, (ToolResult(_id(value, where), content, value.get("name")),))
    calls = tuple(_call(item, where) for item in _calls(value.get("tool_calls")))
    if calls or any(isinstance(part, Media) for part in parts):
        return Message(role, (*parts, *calls))
    return Message(role, content)


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


def _parts(value: Any, where: str) -> Iterator[Part]:
    if value is None or value == "":
        return
    for item in [value] if isinstance(value, str) or not isinstance(value, Sequence) else value:
        match item:
            case str(text) | {"type": "text", "text": str(text)}:
                yield Text(text)
            case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
                yield _media(url, "image/*", where)
            case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
                yield Media(f"audio/{kind}", _decoded(data, where))
            case {"type": "file", "file": {"file_data": str(url), **rest}}:
                name = rest.get("filename")
                yield replace(_media(url, "application/pdf", where), name=name if isinstance(name, str) else None)
            case _:
                hint = "The kinds are text, image_url, input_audio and file; or pass llmsdk.Message with llmsdk.Media."
                raise InputError(f"{where} has content of an unknown kind", argument=where, hint=hint)


def _media(url: str, otherwise: str, where: str) -> Media:
    """What a URL means: the data in it, or where the provider is to fetch it."""
    if not url.startswith("data:"):
        check_url(url, where)
        return Media(otherwise, url=url)
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma or not head.endswith(";base64"):
        hint = "Write data:image/png;base64,..."
        raise InputError(f"{where} has a URL that is neither https:// nor data in base64", argument=where, hint=hint)
    return Media(head.removesuffix(";base64").split(";")[0] or otherwise, _decoded(data, where))


def _decoded(data: str, where: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except ValueError:
        raise InputError(f"{where} has data that is not base64", argument=where, hint="Encode it again.") from None


def _id(value: Mapping[str, Any], where: str) -> str:
    if not isinstance(value.get("tool_call_id"), str):
        hint = "Give the id of the call that it answers."
        raise InputError(f"{where} is a tool's result without tool_call_id", argument=where, hint=hint)
    return str(value["tool_call_id"])


def _calls(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value] if value else ()


def _call(value: Any, where: str) -> ToolCall:
    match value:
        case {"id": str(call_id), "function": {"name": str(name), **rest}}:
            arguments = rest.get("arguments") or "{}"
            if isinstance(arguments, str):
                return ToolCall(call_id, name, arguments)
    hint = '{"id": ..., "type": "function", "function": {"name": ..., "arguments": "..."}} is the form.'
    raise InputError(f"{where} has a malformed tool call", argument=where, hint=hint)
