"""Token counts as hosts report them, made into one meaning: input with cached, output with reasoning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from llmsdk.types import Usage


def find(body: dict[str, Any]) -> dict[str, Any] | None:
    """Where a body or a chunk has its figures: on top, under ``x_groq``, or within a choice."""
    figures = body.get("usage")
    if figures and isinstance(figures, dict):
        return figures
    if "x_groq" in body:
        figures = _under(body, "x_groq").get("usage")
        return figures if figures and isinstance(figures, dict) else None
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(figures := choice.get("usage"), dict) and figures:
            return figures
    return None


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures. An impossible one is clamped, or left out."""
    warnings: list[str] = []
    details, outcome = _under(figures, "prompt_tokens_details"), _under(figures, "completion_tokens_details")
    cached = (details.get("cached_tokens"), figures.get("prompt_cache_hit_tokens"), figures.get("cached_tokens"))
    said = {
        "input_tokens": figures.get("prompt_tokens"),
        "output_tokens": figures.get("completion_tokens"),
        "cached_input_tokens": next(
            (value for value in (*cached, figures.get("num_cached_tokens")) if value), cached[0]
        ),
        "cache_write_tokens": details.get("cache_write_tokens"),
        "reasoning_tokens": outcome.get("reasoning_tokens"),
    }
    counts: dict[str, Any] = {name: _count(name, value, warnings) for name, value in said.items()}
    usage = _with_reasoning(Usage(**counts), _count("total_tokens", figures.get("total_tokens"), warnings), warnings)
    return _clamped(usage, warnings), warnings


def _under(body: dict[str, Any], key: str) -> dict[str, Any]:
    inner = body.get(key)
    return inner if isinstance(inner, dict) else {}


def _count(name: str, value: Any, warnings: list[str]) -> int | None:
    """A number of tokens. Some gateways write whole numbers as 12.0."""
    if value is None:
        return None
    whole = not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )
    if whole and value >= 0:
        return int(value)
    warnings.append(f"the provider reported {name} = {value!r:.40}, which was left out")
    return None


def _with_reasoning(usage: Usage, total: int | None, warnings: list[str]) -> Usage:
    """Add the reasoning to the output where the host counts it apart, which only the total tells (xAI)."""
    if total is None or usage.total_tokens is None or total <= usage.total_tokens:
        return usage
    if total == usage.total_tokens + (usage.reasoning_tokens or 0):
        return replace(usage, output_tokens=total - (usage.input_tokens or 0))
    warnings.append(f"the provider's total of {total} tokens is more than its input and output ({usage.total_tokens})")
    return usage


def _clamped(usage: Usage, warnings: list[str]) -> Usage:
    parts: dict[str, Any] = dict(_excess(usage))
    for name, whole in parts.items():
        warnings.append(f"the provider reported more {name} ({getattr(usage, name)}) than the whole ({whole})")
    return replace(usage, **parts) if parts else usage


def _excess(usage: Usage) -> Iterator[tuple[str, int]]:
    """The parts that are larger than what they are a part of, and how large that is."""
    wholes = {
        "cached_input_tokens": usage.input_tokens,
        "cache_write_tokens": usage.input_tokens,
        "reasoning_tokens": usage.output_tokens,
    }
    for name, whole in wholes.items():
        part = getattr(usage, name)
        if part is not None and whole is not None and part > whole:
            yield name, whole
