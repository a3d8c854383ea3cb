"""Requests as JSON, in the form of ``/api/chat`` and ``/api/generate``. Pure functions.

A field that the caller left open is left out, but for three: the server streams unless told not to, and it drops what
does not fit the window in silence unless ``truncate`` and ``shift`` forbid it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Reasoning, Request, Tool, ToolCall, ToolResult
from llmsdk.wire.calls import arguments

STATE = "ollama.message"
"""Key of ``provider_state``: marks a thought of this server's, which goes back as ``thinking``."""
_OPTIONS = {
    "max_tokens": "num_predict", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p",
    "seed": "seed", "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
}  # fmt: skip
"""Our names and the server's."""
OPTIONS = frozenset({*_OPTIONS, "stop", "reasoning"})
TOP_LOGPROBS = 20


def chat(request: Request, num_ctx: int | None = None) -> dict[str, Any]:
    """The body for ``/api/chat``.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: a kind of content, a choice of tools, or a kind of reasoning that the server lacks.
    """
    body = {**_common(request, num_ctx), "messages": list(_messages(request.messages))}
    if request.tools and request.tool_choice != "none":
        body["tools"] = _tools(request)
    if request.reasoning is not None:
        body["think"] = _think(request.reasoning)
    return body


def generate(request: Request, num_ctx: int | None = None) -> dict[str, Any]:
    """The body for ``/api/generate``: the prompt as it is, or around a suffix in the form that the model knows."""
    body = {**_common(request, num_ctx), "prompt": request.input}
    return body | ({"raw": True} if request.suffix is None else {"suffix": request.suffix})


def _common(request: Request, num_ctx: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "stream": request.stream, "truncate": False, "shift": False}
    options = {theirs: value for ours, theirs in _OPTIONS.items() if (value := getattr(request, ours)) is not None}
    if request.stop:
        options["stop"] = list(request.stop)
    if num_ctx is not None:
        options["num_ctx"] = num_ctx
    if options:
        body["options"] = options
    if request.schema is not None:
        body["format"] = request.schema
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    return body


# --- messages ---------------------------------------------------------------------------------------------------


def _messages(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Each tool's result is a message of its own, under the name of the tool that was called."""
    names: dict[str, str] = {}
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        yield from (_result(part, part.name or names.get(part.id)) for part in results)
        if len(results) < len(message.parts) or not results:
            yield _turn(message)


def _result(part: ToolResult, name: str | None) -> dict[str, Any]:
    named = {"tool_name": name} if name else {}
    return {"role": "tool", "content": part.content, **named, "tool_call_id": part.id}


def _turn(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if thought := "".join(part.text for part in message.parts if isinstance(part, Reasoning) and _is_own(part)):
        turn["thinking"] = thought
    if images := [_image(part) for part in message.parts if isinstance(part, Media)]:
        turn["images"] = images
    if calls := [_call(call) for call in message.tool_calls]:
        turn["tool_calls"] = calls
    return turn


def _is_own(thought: Reasoning) -> bool:
    return isinstance(thought.provider_state, Mapping) and STATE in thought.provider_state


def _image(part: Media) -> str:
    if part.data is None or not part.media_type.startswith("image/"):
        hint = "Pass the bytes of an image, or ask another provider."
        raise Unsupported(f"ollama takes only the data of images, no {_name(part)}", capability="media", hint=hint)
    return b64encode(part.data).decode()


def _name(part: Media) -> str:
    return part.media_type if part.data is not None else "URL"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments(call)}}


# --- tools and reasoning ----------------------------------------------------------------------------------------


def _tools(request: Request) -> list[dict[str, Any]]:
    if request.tool_choice not in (None, "auto"):
        hint = 'Leave it to the model ("auto"), or ask for it in words.'
        raise Unsupported("ollama cannot be made to call a tool", capability="tool_choice", hint=hint)
    if request.parallel_tool_calls is False:
        hint = "Leave parallel_tool_calls out, or take the first of several calls."
        raise Unsupported("ollama cannot be held to one call at a time", capability="parallel_tool_calls", hint=hint)
    return [_tool(tool) for tool in request.tools]


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.parameters}}


def _think(wish: str | int | bool) -> str | bool:
    if isinstance(wish, str | bool):
        return wish
    hint = 'Pass "low", "medium" or "high" where the model knows levels, or True or False.'
    raise Unsupported("ollama has no token budget for reasoning", capability="reasoning", hint=hint)
