"""Requests as JSON, in the form of ``/responses``. Pure functions.

A field that the caller left open is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmsdk.errors import Unsupported
from llmsdk.types import Request, Tool
from llmsdk_providers.openai.encode import least_effort
from llmsdk_providers.openai.schema import bound, named
from llmsdk_providers.openai_responses import items
from llmsdk_providers.openai_responses.items import Origin

LEAST = 16
"""Tokens that OpenAI lets a reply have at least."""
_COUNTED = ("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")
"""Fields of a request that ``/responses/input_tokens`` knows."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a host's form of the dialect differs, for one model."""

    origin: Origin = Origin()
    openai: bool = False
    """OpenAI's models, known by their names."""
    schema: Literal["none", "json", "strict"] = "strict"
    encrypted: bool = False
    summary: str | None = None


def response(request: Request, dialect: Dialect) -> dict[str, Any]:
    """The body for ``/responses``.

    Raises:
        InputError: a message that the dialect cannot express.
        Unsupported: media, a schema or a kind of reasoning that the host lacks.
    """
    body = {"model": request.model, **_conversation(request, dialect), "store": dialect.origin.stored}
    for name, value in _plain(request, dialect).items():
        if value is not None:
            body[name] = value
    if request.tools:
        body |= _tools(request)
    if request.schema is not None:
        body["text"] = {"format": _format(request, dialect)}
    if reasoning := _reasoning(request, dialect):
        body["reasoning"] = reasoning
    if include := _include(request, dialect):
        body["include"] = include
    return body


def counted(request: Request, dialect: Dialect) -> dict[str, Any]:
    """The body for ``/responses/input_tokens``: what of the request makes up its input."""
    body = response(request, dialect)
    return {name: body[name] for name in _COUNTED if name in body}


def too_few(request: Request, dialect: Dialect) -> str | None:
    """What to tell a caller who asks for fewer tokens than the host lets a reply have."""
    if not dialect.openai or request.max_tokens is None or request.max_tokens >= LEAST:
        return None
    return f"the host gives a reply no fewer than {LEAST} tokens, so max_tokens = {request.max_tokens} became {LEAST}"


def _plain(request: Request, dialect: Dialect) -> dict[str, Any]:
    return {
        "max_output_tokens": LEAST if too_few(request, dialect) else request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_logprobs": request.logprobs or None,
        "stream": request.stream,  # said even where it is not: ``transformers serve`` streams unless it is told not to
    }


def _conversation(request: Request, dialect: Dialect) -> dict[str, Any]:
    text, messages = items.instructions(request.messages)
    own = {"instructions": text} if text is not None else {}
    return {"input": items.read(messages, dialect.origin), **own}


def _include(request: Request, dialect: Dialect) -> list[str]:
    encrypted = ["reasoning.encrypted_content"] if dialect.encrypted else []
    return encrypted + (["message.output_text.logprobs"] if request.logprobs is not None else [])


# --- tools --------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice in ("auto", "none", "required"):
        fields["tool_choice"] = choice
    elif choice is not None:
        fields["tool_choice"] = {"type": "function", "name": choice}
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    """A tool. ``strict`` is always said: left out, the host would take it for true, and change the schema."""
    described = {"description": tool.description} if tool.description else {}
    function = {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": bool(tool.strict)}
    return function | described


# --- schema and reasoning -----------------------------------------------------------------------------------------


def _format(request: Request, dialect: Dialect) -> dict[str, Any]:
    schema: Mapping[str, Any] = request.schema or {}
    match dialect.schema:
        case "none":
            hint = 'If the host can, set schema = "strict" or "json" in its table of llmsdk.toml.'
            raise Unsupported("this host does not bind replies to a schema", capability="schema", hint=hint)
        case "json":
            return {"type": "json_object"}
    return {"type": "json_schema", "name": named(request.schema_name), **bound(schema)}


def _reasoning(request: Request, dialect: Dialect) -> dict[str, Any]:
    effort = _effort(request, dialect)
    shown = {"summary": dialect.summary} if dialect.summary and dialect.origin.reasoning else {}
    return shown | ({"effort": effort} if effort is not None else {})


def _effort(request: Request, dialect: Dialect) -> str | None:
    """The effort; ``None`` leaves it to the model."""
    wish = request.reasoning
    if wish is None or wish is True:
        return None
    if wish is False:
        return least_effort(request.model) if dialect.openai else "none"
    if isinstance(wish, str):
        return wish
    hint = 'Pass "low", "medium" or "high", or what the host knows as extra={"body": {...}}.'
    raise Unsupported("this dialect has no token budget for reasoning", capability="reasoning", hint=hint)
