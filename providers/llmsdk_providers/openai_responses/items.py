"""Messages as the items of ``input``, and the items of a reply on their way back.

What a host made goes back to it as it came, under ``STATE``: reasoning with its encrypted content, calls of the host's
own tools, the ids of messages and calls, each in its place. It goes to no other host.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Reasoning, Text, ToolCall, ToolResult

STATE = "openai.responses"
"""Key of ``provider_state``."""
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is to get the items of earlier replies."""

    host: str = ""
    reasoning: bool = True
    """Reasoning is taken back."""
    stored: bool = False
    """The host knows its own items by their ids."""

    def takes(self, item: Mapping[str, Any]) -> bool:
        if item.get("type") != "reasoning":
            return True
        return self.reasoning and (self.stored or bool(item.get("encrypted_content") or item.get("content")))


def state(host: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """What a part carries of the item that it came from."""
    return {STATE: {"host": host, "item": dict(item)}}


def _kept(value: Any, origin: Origin) -> Item:
    """The item in a part's state; empty where it is of another host or dialect."""
    own = value.get(STATE) if isinstance(value, Mapping) else None
    if not isinstance(own, Mapping) or own.get("host") != origin.host or not isinstance(own.get("item"), Mapping):
        return {}
    return dict(own["item"])


# --- a conversation -----------------------------------------------------------------------------------------------


def instructions(messages: Sequence[Message]) -> tuple[str | None, Sequence[Message]]:
    """The text of the system messages at the front, and the rest. A conversation of nothing else stays whole."""
    count = next((n for n, message in enumerate(messages) if message.role != "system"), 0)
    return "\n\n".join(message.text for message in messages[:count]) or None, messages[count:]


def read(messages: Sequence[Message], origin: Origin) -> list[Item]:
    """The items of a conversation.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: media that no model of the dialect takes.
    """
    return [item for message in messages for item in _items(message, origin)]


def _items(message: Message, origin: Origin) -> Iterator[Item]:
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"type": "function_call_output", "call_id": part.id, "output": part.content}
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    if message.role == "tool" and rest:
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    if message.role == "assistant":
        yield from _turn(rest, origin)
    elif isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
    elif rest:
        yield {"role": message.role, "content": [_content(part) for part in rest]}


# --- what the model said ------------------------------------------------------------------------------------------


def _turn(parts: Sequence[Any], origin: Origin) -> Iterator[Item]:
    """The items of one reply. Reasoning goes with the item that follows it: a host refuses it alone."""
    waiting: list[Item] = []
    header: Item = {}
    linked = False
    for part in parts:
        kept = _kept(getattr(part, "provider_state", None), origin)
        if isinstance(part, Reasoning):
            if kept.get("type") == "message":
                header = kept
                continue
            if not kept or not origin.takes(kept):
                continue
            waiting.append(kept)
            if kept.get("type") == "reasoning":
                continue
        linked = linked or bool(waiting)
        yield from waiting
        waiting = []
        if isinstance(part, ToolCall):
            yield _call(part, kept if linked else {})
        elif not isinstance(part, Reasoning):
            yield from _said(part, header, linked)
            header = {}


def _said(part: Any, header: Item, linked: bool) -> Iterator[Item]:
    if not isinstance(part, Text):
        raise InputError(f"an assistant's message cannot hold a {type(part).__name__}", argument="messages")
    if linked and header:
        yield {**header, "content": [{"type": "output_text", "text": part.text, "annotations": []}]}
    elif part.text:
        phase = {"phase": header["phase"]} if header.get("phase") else {}
        yield {"role": "assistant", "content": part.text, **phase}


def _call(call: ToolCall, kept: Item) -> Item:
    item = {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments_json or "{}"}
    return {**kept, **item}


# --- what the user said -------------------------------------------------------------------------------------------


def _content(part: Any) -> Item:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if not isinstance(part, Media):
        raise InputError(f"a user's message cannot hold a {type(part).__name__}", argument="messages")
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": _url(part)}
    if part.media_type.startswith(("audio/", "video/")):
        hint = "Send recordings through a chat dialect, such as openai:gpt-4o-audio-preview."
        raise Unsupported(f"the Responses API takes no {part.media_type}", capability="media", hint=hint)
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    name = part.name or f"file.{part.media_type.rpartition('/')[2]}"
    return {"type": "input_file", "filename": name, "file_data": _url(part)}


def _url(media: Media) -> str:
    if media.url is not None:
        return media.url
    if media.data is None:
        raise InputError("a Media part has neither data nor a url", argument="messages")
    return f"data:{media.media_type};base64,{b64encode(media.data).decode()}"
