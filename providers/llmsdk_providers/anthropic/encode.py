"""Requests as JSON, in the form of ``/v1/messages``. Pure functions.

The dialect takes the system's words apart from the conversation, all results of one turn in one message, and a
reply's blocks back in the order in which they came.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from llmsdk.errors import InputError, InvalidToolArguments, Unsupported
from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.anthropic import schema, thinking
from llmsdk_providers.anthropic.models import Claude

STATE = "anthropic.block"
"""Key of ``provider_state``: a block, or fields of one, that go back as they came."""
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def message(request: Request, model: Claude, max_tokens: int | None = None) -> dict[str, Any]:
    """The body for ``/v1/messages``. ``max_tokens`` is the limit where the request names none.

    Raises:
        InputError: a message or an option that the dialect cannot express.
        Unsupported: what the model lacks.
    """
    body: dict[str, Any] = {"model": request.model, "messages": _turns(request.messages)}
    if system := "\n\n".join(_systems(request.messages)):
        body["system"] = system
    body["max_tokens"] = thinking.limit(request, model, max_tokens)
    body |= _sampling(request)
    body |= thinking.fields(request, model, body["max_tokens"])
    body |= _tools(request)
    if request.schema is not None:
        _bind(body, request, model)
    if request.stream:
        body["stream"] = True
    return body


def _sampling(request: Request) -> dict[str, Any]:
    if request.temperature is not None and request.temperature > 1:
        hint = "Temperatures go from 0 to 1 here."
        raise InputError(f"the temperature {request.temperature} is too high", argument="temperature", hint=hint)
    fields = {
        name: value for name in ("temperature", "top_p", "top_k") if (value := getattr(request, name)) is not None
    }
    return {**fields, "stop_sequences": list(request.stop)} if request.stop else fields


# --- messages ---------------------------------------------------------------------------------------------------


def _systems(messages: Sequence[Message]) -> Iterator[str]:
    for turn in messages:
        if turn.role == "system":
            if any(not isinstance(part, Text) for part in turn.parts):
                raise InputError(
                    "a system message holds more than text", argument="messages", hint="Put it into a user's."
                )
            if turn.text:
                yield turn.text


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """User's and assistant's turns. A tool's results are the user's, and come before anything else that is said."""
    spoken = (turn for turn in messages if turn.role != "system")
    turns = []
    for role, group in groupby(spoken, lambda turn: "assistant" if turn.role == "assistant" else "user"):
        blocks = [block for turn in group for block in _blocks(turn)]
        blocks.sort(key=lambda block: role == "user" and block["type"] != "tool_result")
        if blocks:
            turns.append({"role": role, "content": _short(blocks)})
        elif role == "user":
            raise InputError("a user's message is empty", argument="messages", hint="Say something in it.")
    if not turns:
        raise InputError("there is nothing but system messages", argument="messages", hint="Add a user's message.")
    return turns


def _short(blocks: list[dict[str, Any]]) -> Any:
    """Plain text as it is, for a body that is easy to read."""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks


def _blocks(turn: Message) -> Iterator[dict[str, Any]]:
    if turn.role == "tool" and not all(isinstance(part, ToolResult) for part in turn.parts):
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    cited: Mapping[str, Any] = {}
    for part in turn.parts:
        if isinstance(part, Text):
            if part.text:
                yield {"type": "text", "text": part.text, **cited}
            cited = {}
        elif isinstance(part, Reasoning):
            kept = _kept(part.provider_state)
            if kept.get("type") == "text":
                cited = {key: value for key, value in kept.items() if key != "type"}
            elif kept:
                yield _thought(part, kept)
        else:
            yield _block(part)


def _thought(part: Reasoning, kept: Mapping[str, Any]) -> dict[str, Any]:
    """A block as it came. Of a thought, the words are the part's; without its signature it is not taken back."""
    return {"type": "thinking", "thinking": part.text, **kept} if kept.get("type") == "thinking" else dict(kept)


def _kept(state: Any) -> Mapping[str, Any]:
    """What this dialect put there; what another provider did is not for this host to see."""
    kept = state.get(STATE) if isinstance(state, Mapping) else None
    return kept if isinstance(kept, Mapping) else {}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case ToolCall():
            call = {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _arguments(part)}
            return call | dict(_kept(part.provider_state))
        case ToolResult():
            result = {"type": "tool_result", "tool_use_id": _id(part.id), "content": part.content}
            return {**result, "is_error": True} if part.is_error else result
        case Media():
            return _media(part)
    raise InputError(f"a {part.type} part cannot be sent", argument="messages")


def _id(value: str) -> str:
    """Ids of other hosts may have characters that are refused here; call and result are changed alike."""
    return _NO_NAME.sub("_", value)


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments. What the model wrote goes back to it even where it is no JSON, so that it can do better."""
    try:
        return call.arguments
    except InvalidToolArguments:
        return {"INVALID_JSON": call.arguments_json}


def _media(part: Media) -> dict[str, Any]:
    kind = {PDF: "document", "text/plain": "document"}.get(
        part.media_type, "image" if part.media_type in IMAGES else ""
    )
    if not kind:
        hint = f"Convert it to one of: {', '.join(sorted(IMAGES | {PDF, 'text/plain'}))}."
        raise Unsupported(f"{part.media_type} cannot be sent to this host", capability="media", hint=hint)
    block = {"type": kind, "source": _source(part)}
    return {**block, "title": part.name} if part.name and kind == "document" else block


def _source(part: Media) -> dict[str, str]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    data = part.data or b""
    if part.media_type == "text/plain":
        return {"type": "text", "media_type": part.media_type, "data": data.decode("utf-8", "replace")}
    return {"type": "base64", "media_type": part.media_type, "data": b64encode(data).decode()}


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any]:
    if not request.tools:
        return {}
    choice: dict[str, Any] = {}
    if request.tool_choice is not None:
        kind = _CHOICES.get(request.tool_choice)
        choice = {"type": kind} if kind else {"type": "tool", "name": request.tool_choice}
    if request.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    tools = [_tool(tool) for tool in request.tools]
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool(tool: Tool) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    if tool.description:
        fields["description"] = tool.description
    if tool.strict is not None:
        fields["strict"] = tool.strict
    return fields


# --- schema -----------------------------------------------------------------------------------------------------


def answer_tool(request: Request, model: Claude) -> str | None:
    """The tool whose arguments are to be the reply; ``None`` where the host itself holds the reply to the schema."""
    if request.schema is None or (model.binds and schema.bound(request.schema) is not None):
        return None
    return (_NO_NAME.sub("_", request.schema_name)[:64]) or "reply"


def _bind(body: dict[str, Any], request: Request, model: Claude) -> None:
    assert request.schema is not None
    name = answer_tool(request, model)
    if name is None:
        form = {"type": "json_schema", "schema": schema.bound(request.schema)}
        body["output_config"] = {**body.get("output_config", {}), "format": form}
        return
    if model.always_thinks or "thinking" in body:
        hint = "Give every object its properties and no others, and no recursion; or leave reasoning= out."
        raise Unsupported("while it thinks, the model cannot be held to this schema", capability="schema", hint=hint)
    tool = {"name": name, "description": "Give the answer.", "input_schema": schema.of_tool(request.schema)}
    body["tools"] = [*body.get("tools", ()), tool]
    forced: dict[str, Any] = {"type": "any"} if request.tools else {"type": "tool", "name": name}
    body["tool_choice"] = {**forced, "disable_parallel_tool_use": True}
