"""What Mistral's form of the dialect has of its own, put over a body in OpenAI's form. Pure functions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from llmsdk.types import Request

THINKING = "thinking"
"""The field in which a thought of the host's stands until it becomes a part of the content."""
_ID = re.compile(r"[A-Za-z0-9]{9}")
_FIM = ("model", "stream", "max_tokens", "temperature", "top_p", "stop", "suffix")


def effort(wish: str | int | bool) -> Mapping[str, Any] | None:
    """``reasoning_effort``, of which the host has one level."""
    if wish is False:
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": "high"} if wish is True or wish == "high" else None


def chat(body: dict[str, Any]) -> dict[str, Any]:
    """A body for ``/chat/completions``."""
    names = {call["id"]: call["function"]["name"] for turn in body["messages"] for call in turn.get("tool_calls", ())}
    fitted = {**body, "messages": [_turn(turn, names) for turn in body["messages"]]}
    if "seed" in fitted:
        fitted["random_seed"] = fitted.pop("seed")
    if fitted.get("tool_choice") == "required":
        fitted["tool_choice"] = "any"
    if "reasoning_effort" in fitted and fitted["model"].startswith("magistral"):
        fitted["prompt_mode"] = "reasoning" if fitted.pop("reasoning_effort") == "high" else None
    return fitted


def fim(request: Request) -> dict[str, Any]:
    """A body for ``/fim/completions``, which continues a prompt, or fills in before a suffix."""
    body: dict[str, Any] = {"prompt": request.input}
    for name in _FIM:
        if value := getattr(request, name):
            body[name] = value
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["random_seed"] = request.seed
    return body


def _turn(turn: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    fitted = dict(turn)
    if "tool_call_id" in fitted:
        called = fitted["tool_call_id"]
        fitted |= {"tool_call_id": _short(called), **({"name": names[called]} if called in names else {})}
    if "tool_calls" in fitted:
        fitted["tool_calls"] = [{**call, "id": _short(call["id"])} for call in fitted["tool_calls"]]
    if thought := fitted.pop(THINKING, None):
        spoken = fitted.get("content") or []
        rest = [{"type": "text", "text": spoken}] if isinstance(spoken, str) else spoken
        fitted["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, *rest]
    elif isinstance(fitted.get("content"), list):
        fitted["content"] = [_part(part) for part in fitted["content"]]
    return fitted


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """A document or a recording in the host's own form; the rest is OpenAI's."""
    match part:
        case {"type": "file", "file": {"file_data": str(url), **more}}:
            named = {"document_name": more["filename"]} if "filename" in more else {}
            return {"type": "document_url", "document_url": url, **named}
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            return {"type": "input_audio", "input_audio": data}
    return part


def _short(call_id: str) -> str:
    """The id of a call as the host wants it, nine letters and digits: another host's is made into one."""
    return (
        call_id if _ID.fullmatch(call_id) else hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]
    )
