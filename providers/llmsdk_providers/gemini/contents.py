"""A conversation in Google's form: turns of ``user`` and ``model``, each a list of parts.

A part that the model signed goes back as it came. ``STATE`` keeps what stood beside its text or its call; what
another provider made is not for this one to see.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from llmsdk.errors import InputError, Unsupported
from llmsdk.types import Media, Message, Reasoning, Text, ToolCall, ToolResult
from llmsdk_providers.gemini.capabilities import Family

STATE = "gemini.part"
"""Key of ``provider_state``: the fields of the part beside its text, or beside its call."""
UNSIGNED = "skip_thought_signature_validator"
"""What Google documents to stand for a signature, in calls that another model made."""
_FAMILIES = ("image/", "audio/", "video/", "text/", "application/pdf", "application/json")


def system(messages: Sequence[Message]) -> dict[str, Any]:
    """``systemInstruction`` of all system messages; empty where there is none."""
    texts = [message.text for message in messages if message.role == "system"]
    if any(isinstance(part, Media) for message in messages if message.role == "system" for part in message.parts):
        raise InputError("a system message of Gemini is text only", argument="messages", hint="Let the user show it.")
    return {"parts": [{"text": text} for text in texts if text]} if any(texts) else {}


def contents(messages: Sequence[Message], family: Family) -> list[dict[str, Any]]:
    """The turns of a conversation, without its system messages.

    Raises:
        InputError: nothing is asked, or a tool's result answers no call.
        Unsupported: a kind of file that Gemini does not read.
    """
    turns: list[dict[str, Any]] = []
    calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "system":
            continue
        calls |= {call.id: call for call in message.tool_calls}
        for turn in _turns(message, calls, family):
            _append(turns, turn)
    if not turns:
        hint = "Add a message of the user."
        raise InputError("the conversation has system messages only", argument="messages", hint=hint)
    return [{"role": turn["role"], "parts": _ordered(turn["parts"], calls)} for turn in turns]


def _append(turns: list[dict[str, Any]], turn: dict[str, Any]) -> None:
    """Add a turn. All results of one turn go into one; otherwise each message is its own."""
    if turns and _has_results(turn) and _has_results(turns[-1]):
        turns[-1]["parts"] += turn["parts"]
    elif turn["parts"]:
        turns.append(turn)


def _has_results(turn: Mapping[str, Any]) -> bool:
    return any("functionResponse" in part for part in turn["parts"])


def _turns(message: Message, calls: Mapping[str, ToolCall], family: Family) -> Iterator[dict[str, Any]]:
    """One of our messages: results of tools are a turn of their own, before what else it says."""
    if message.role == "tool" and not all(isinstance(part, ToolResult) for part in message.parts):
        hint = "Give its content as ToolResult(id=..., content=...)."
        raise InputError("a message of a tool does not say which call it answers", argument="messages", hint=hint)
    results = [_result(part, calls) for part in message.parts if isinstance(part, ToolResult)]
    yield {"role": "user", "parts": results}
    if message.role == "assistant":
        yield {"role": "model", "parts": _model_parts(message, family)}
    elif message.role == "user":
        parts = [_shown(part) for part in message.parts if isinstance(part, Text | Media)]
        yield {"role": "user", "parts": parts}


# --- what the user and the tools say ----------------------------------------------------------------------------


def _shown(part: Text | Media) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if not part.media_type.startswith(_FAMILIES):
        hint = "Gemini reads images, audio, video, PDF and text."
        raise Unsupported(f"Gemini does not read {part.media_type}", capability="media", hint=hint)
    if part.data is None:
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": b64encode(part.data).decode()}}


def _result(result: ToolResult, calls: Mapping[str, ToolCall]) -> dict[str, Any]:
    call = calls.get(result.id)
    name = result.name or (call and call.name)
    if not name:
        hint = "Append the assistant's message with the call first, or give the result's name."
        raise InputError(f"the result {result.id!r:.60} answers no call", argument="messages", hint=hint)
    given = _given_id(call) if call else {}
    return {"functionResponse": {**given, "name": name, "response": _response(result)}, "_id": result.id}


def _response(result: ToolResult) -> dict[str, Any]:
    """What a tool said, as the object that Gemini wants."""
    if result.is_error:
        return {"error": result.content}
    try:
        value = from_json(result.content, allow_inf_nan=False)
    except ValueError:
        return {"output": result.content}
    return value if isinstance(value, dict) else {"output": result.content}


def _ordered(parts: list[dict[str, Any]], calls: Mapping[str, ToolCall]) -> list[dict[str, Any]]:
    """Results in the order of their calls, by which calls of one name and without ids are told apart."""
    if not any("_id" in part for part in parts):
        return parts
    order = {name: number for number, name in enumerate(calls)}
    ranked = sorted(parts, key=lambda part: order.get(part["_id"], len(order)))
    return [{"functionResponse": part["functionResponse"]} for part in ranked]


# --- what the model said ----------------------------------------------------------------------------------------


def _model_parts(message: Message, family: Family) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text() if part.text:
                parts.append({"text": part.text, **state(part.provider_state)})
            case Reasoning():
                _think(part, parts)
            case ToolCall():
                parts.append(_call(part))
            case Media():
                parts.append(_shown(part))
    if family.signed_calls:
        _sign(parts)
    return parts


def _think(part: Reasoning, parts: list[dict[str, Any]]) -> None:
    """A thought or an opaque part as it came; a signature alone belongs to the text before it."""
    kept = state(part.provider_state)
    if not kept:
        return
    if kept.keys() == {"thoughtSignature"}:
        if parts and parts[-1].keys() == {"text"}:
            parts[-1] |= kept
            return
        parts.append({"text": "", **kept})
        return
    parts.append({"text": part.text, **kept} if "thought" in kept else kept)


def _call(call: ToolCall) -> dict[str, Any]:
    kept = {name: value for name, value in state(call.provider_state).items() if name != "id"}
    return {"functionCall": {**_given_id(call), "name": call.name, "args": call.arguments}, **kept}


def _given_id(call: ToolCall) -> dict[str, Any]:
    """The id of a call, where it is Gemini's own and not made by us or by another provider."""
    given = state(call.provider_state).get("id")
    return {"id": given} if given else {}


def _sign(parts: Sequence[dict[str, Any]]) -> None:
    """The first call of a turn needs a signature; one that another model made has none."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", UNSIGNED)


def state(value: Any) -> dict[str, Any]:
    """What this dialect put there."""
    kept = value.get(STATE) if isinstance(value, Mapping) else None
    return dict(kept) if isinstance(kept, Mapping) else {}
