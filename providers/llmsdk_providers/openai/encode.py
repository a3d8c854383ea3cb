"""Requests as JSON, in the form of ``/chat/completions`` and of the older ``/completions``. Pure functions.

A field that the caller left open is left out: hosts differ in what they make of ``null``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Message, Reasoning, Request, Tool, ToolCall, ToolResult
from llmsdk_providers.openai.calls import STATE
from llmsdk_providers.openai.capabilities import is_reasoning
from llmsdk_providers.openai.content import content
from llmsdk_providers.openai.reasoning import Switch, effort
from llmsdk_providers.openai.schema import bound, named

_SAMPLING = frozenset({
    "temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repetition_penalty",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a host's form of the dialect differs."""

    max_tokens_field: str = "max_completion_tokens"
    schema: Literal["none", "json", "strict"] = "strict"
    stream_usage: bool = True
    openai: bool = False
    """The host is OpenAI's own, so that its models are known by name."""
    host: str = ""
    """Whose ``provider_state`` goes back; that of another host stays here."""
    reasoning: Switch = effort
    returns_reasoning: str | None = None
    """The field of an assistant's message in which reasoning goes back."""
    schema_field: Literal["json_schema", "value"] = "json_schema"
    fetches_files: bool = False
    """It takes the address of a PDF, too."""


def chat(request: Request, dialect: Dialect) -> dict[str, Any]:
    """The body for ``/chat/completions``.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: a schema or a kind of reasoning that the host lacks.
    """
    messages = [item for message in request.messages for item in _message(message, dialect)]
    body: dict[str, Any] = {"model": request.model, "messages": messages, **_common(request, dialect)}
    if request.max_tokens is not None:
        body[dialect.max_tokens_field] = request.max_tokens
    if request.logprobs is not None:
        body["logprobs"] = True
        if request.logprobs:
            body["top_logprobs"] = request.logprobs
    if request.tools:
        body |= _tools(request)
    if request.schema is not None:
        body["response_format"] = _response_format(request.schema, request.schema_name, dialect)
    if request.reasoning is not None:
        body |= _reasoning(request.model, request.reasoning, dialect)
    return body


def completion(request: Request, dialect: Dialect) -> dict[str, Any]:
    """The body for ``/completions``, which continues a raw prompt."""
    body: dict[str, Any] = {"model": request.model, "prompt": request.input, **_common(request, dialect)}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.suffix is not None:
        body["suffix"] = request.suffix
    if request.echo:
        body["echo"] = True
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    return body


def _common(request: Request, dialect: Dialect) -> dict[str, Any]:
    fields = {name: value for name, value in vars(request).items() if name in _SAMPLING and value is not None}
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.n != 1:
        fields["n"] = request.n
    if request.logit_bias is not None:
        fields["logit_bias"] = {str(token): bias for token, bias in request.logit_bias.items()}
    if request.stream:
        fields["stream"] = True
        if dialect.stream_usage:
            fields["stream_options"] = {"include_usage": True}
    return fields


# --- messages ---------------------------------------------------------------------------------------------------


def _message(message: Message, dialect: Dialect) -> list[dict[str, Any]]:
    """One of our messages: each tool's result is a message of its own here, the rest is one."""
    if isinstance(message.content, str) and message.role != "tool":
        return [{"role": message.role, "content": message.content}]
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    told: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": part.id, "content": part.content} for part in results
    ]
    if len(results) < len(message.parts) or not results:
        told.append(_turn(message, dialect))
    return told


def _turn(message: Message, dialect: Dialect) -> dict[str, Any]:
    if message.role == "tool":
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    turn: dict[str, Any] = {"role": message.role}
    calls = [_call(call, dialect) for call in message.tool_calls]
    if (said := content(message, fetches_files=dialect.fetches_files)) or not calls:
        turn["content"] = said
    if calls:
        turn["tool_calls"] = calls
    for part in message.parts:
        if isinstance(part, Reasoning):
            turn |= _thought(part, dialect)
    return turn


def _call(call: ToolCall, dialect: Dialect) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    kept = _kept(call.provider_state, dialect) or {}
    return {"id": call.id, "type": "function", "function": function, **kept}


def _thought(part: Reasoning, dialect: Dialect) -> dict[str, Any]:
    """Reasoning of this host's, in the form in which it wants it back."""
    kept = _kept(part.provider_state, dialect)
    if kept is None:
        return {}
    return kept | ({dialect.returns_reasoning: part.text} if dialect.returns_reasoning else {})


def _kept(state: Any, dialect: Dialect) -> dict[str, Any] | None:
    """What this host left to be sent back; ``None`` where it is another's, which is not for this host to see."""
    own = state.get(STATE) if isinstance(state, Mapping) else None
    if not isinstance(own, Mapping) or own.get("host") != dialect.host:
        return None
    return {name: value for name, value in own.items() if name != "host"}


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice in ("auto", "none", "required"):
        fields["tool_choice"] = choice
    elif choice is not None:
        fields["tool_choice"] = {"type": "function", "function": {"name": choice}}
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


# --- schema -----------------------------------------------------------------------------------------------------


def _response_format(schema: Mapping[str, Any], name: str, dialect: Dialect) -> dict[str, Any]:
    match dialect.schema:
        case "none":
            hint = 'If the host can, set schema = "strict" or "json" in its table of llmsdk.toml.'
            raise Unsupported("this host does not bind replies to a schema", capability="schema", hint=hint)
        case "json":
            return {"type": "json_object"}
    return {"type": "json_schema", dialect.schema_field: {"name": named(name), **bound(schema)}}


# --- reasoning --------------------------------------------------------------------------------------------------


def _reasoning(model: str, wish: str | int | bool, dialect: Dialect) -> Mapping[str, Any]:
    """The fields that ask for reasoning, or for none."""
    if dialect.openai and wish is False:
        least = least_effort(model)
        return {} if least is None else {"reasoning_effort": least}
    fields = dialect.reasoning(wish)
    if fields is not None:
        return fields
    others = [repr(other) for other in ("low", "medium", "high", True, False) if dialect.reasoning(other) is not None]
    others += ["a number of tokens"] if dialect.reasoning(1000) is not None else []
    hint = f'Pass {", ".join(others)}, or what the host knows as extra={{"body": {{...}}}}.'
    what = "token budget for reasoning" if isinstance(wish, int) else f"reasoning={wish!r}"
    raise Unsupported(f"this dialect has no {what}", capability="reasoning", hint=hint)


def least_effort(model: str) -> str | None:
    """What comes next to not reasoning at all."""
    if not is_reasoning(model):
        return None
    if re.match(r"(?:ft:)?gpt-5\.\d", model):
        return "none"
    if re.match(r"(?:ft:)?gpt-5", model):
        return "minimal"
    hint = 'Pass "low", or leave it out.'
    raise Unsupported(f"{model} cannot answer without reasoning", capability="reasoning", hint=hint)
