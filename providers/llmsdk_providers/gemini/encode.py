"""Requests as JSON, in the form of ``:generateContent``. Pure functions.

A field that the caller left open is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Request, Tool
from llmsdk_providers.gemini import schema
from llmsdk_providers.gemini.capabilities import Family
from llmsdk_providers.gemini.contents import contents, system

MAX_STOPS = 5
BUDGETS: Mapping[str, int] = {"low": 1024, "medium": 8192, "high": 24576}
"""Tokens of thought for the words, as Google's own address for OpenAI's dialect has them."""
_SETTINGS: Mapping[str, str] = {
    "max_tokens": "maxOutputTokens", "temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed",
    "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty",
}  # fmt: skip


def body(request: Request, family: Family, form: Literal["json_schema", "openapi"] = "json_schema") -> dict[str, Any]:
    """The body of a request, with the extra fields of the caller.

    Raises:
        InputError: a message that the dialect cannot express, or too many strings to stop at.
        Unsupported: a kind of part, or of reasoning, that it lacks.
    """
    fields: dict[str, Any] = {"contents": contents(request.messages, family)}
    if instruction := system(request.messages):
        fields["systemInstruction"] = instruction
    if request.tools:
        fields |= _tools(request)
    if config := _config(request, family, form):
        fields["generationConfig"] = config
    return merged(fields, request.extra_body)


def merged(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` with ``extra``: objects are joined, so that one setting does not take the others away."""
    joined = dict(fields)
    for name, value in extra.items():
        known = joined.get(name)
        joined[name] = merged(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return joined


def _config(request: Request, family: Family, form: Literal["json_schema", "openapi"]) -> dict[str, Any]:
    fields = {theirs: value for ours, theirs in _SETTINGS.items() if (value := getattr(request, ours)) is not None}
    if len(request.stop) > MAX_STOPS:
        raise InputError(f"stop has {len(request.stop)} strings; Gemini takes {MAX_STOPS} at most", argument="stop")
    if request.stop:
        fields["stopSequences"] = list(request.stop)
    if request.n != 1:
        fields["candidateCount"] = request.n
    if request.logprobs is not None:
        fields |= {"responseLogprobs": True} | ({"logprobs": request.logprobs} if request.logprobs else {})
    if request.schema is not None:
        fields |= _form(request.schema, form)
    if thinking := _thinking(request, family):
        fields["thinkingConfig"] = thinking
    return fields


def _form(wanted: Mapping[str, Any], form: Literal["json_schema", "openapi"]) -> dict[str, Any]:
    bound = {"responseJsonSchema": wanted} if form == "json_schema" else {"responseSchema": schema.subset(wanted)}
    return {"responseMimeType": "application/json", **bound}


# --- tools ------------------------------------------------------------------------------------------------------


def _tools(request: Request) -> dict[str, Any]:
    if request.parallel_tool_calls is False:
        hint = "Leave parallel_tool_calls out, and run the calls one after the other."
        raise Unsupported("Gemini may always ask for several calls", capability="parallel_tool_calls", hint=hint)
    fields: dict[str, Any] = {"tools": [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]}
    if request.tool_choice is not None:
        fields["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    return fields


def _calling(choice: str) -> dict[str, Any]:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    return {"mode": modes[choice]} if choice in modes else {"mode": "ANY", "allowedFunctionNames": [choice]}


def _declaration(tool: Tool) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if tool.parameters.get("properties"):  # an object without properties is refused
        fields["parametersJsonSchema"] = tool.parameters
    return fields


# --- reasoning --------------------------------------------------------------------------------------------------


def _thinking(request: Request, family: Family) -> dict[str, Any]:
    """``thinkingConfig``; empty where it is left to the model."""
    wish = request.reasoning
    if wish is None:
        return {}
    if wish is False:
        return _least(request.model, family)
    if family.thinking == "none":
        hint = "Choose a model that thinks, or say how by thinking = ... in its [providers.NAME] table."
        raise Unsupported(f"{request.model} does not think", capability="reasoning", hint=hint)
    return {"includeThoughts": True} | ({} if wish is True else _amount(wish, family))


def _amount(wish: str | int, family: Family) -> dict[str, Any]:
    if isinstance(wish, int):
        return {"thinkingBudget": wish}
    return {"thinkingLevel": wish.upper()} if family.thinking == "level" else {"thinkingBudget": BUDGETS[wish]}


def _least(model: str, family: Family) -> dict[str, Any]:
    """What comes next to not thinking at all."""
    if family.thinking == "none":
        return {}
    if family.always_thinks:
        hint = 'Pass "low", or leave it out.'
        raise Unsupported(f"{model} cannot answer without reasoning", capability="reasoning", hint=hint)
    return {"thinkingLevel": "MINIMAL"} if family.thinking == "level" else {"thinkingBudget": 0}
