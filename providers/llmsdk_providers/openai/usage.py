"""Token counts as hosts report them, made into one meaning: input with cached, output with reasoning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, count, counts
from llmsdk.wire.json import under


def find(body: dict[str, Any]) -> dict[str, Any] | None:
    """Where a body or a chunk has its figures: on top, under ``x_groq``, or within a choice."""
    figures = body.get("usage")
    if figures and isinstance(figures, dict):
        return figures
    if "x_groq" in body:
        figures = under(body, "x_groq").get("usage")
        return figures if figures and isinstance(figures, dict) else None
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(figures := choice.get("usage"), dict) and figures:
            return figures
    return None


_CACHED = ("num_cached_tokens", "cached_tokens", "prompt_cache_hit_tokens")
"""Where else hosts say how much of the prompt was cached; the later counts."""


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures. An impossible one is clamped, or left out."""
    warnings: list[str] = []
    details, outcome = under(figures, "prompt_tokens_details"), under(figures, "completion_tokens_details")
    cached = details.get("cached_tokens")
    for name in () if cached else _CACHED:
        cached = figures.get(name) or cached
    said = {
        "input_tokens": figures.get("prompt_tokens"),
        "output_tokens": figures.get("completion_tokens"),
        "cached_input_tokens": cached,
        "cache_write_tokens": details.get("cache_write_tokens"),
        "reasoning_tokens": outcome.get("reasoning_tokens"),
    }
    usage = _with_reasoning(
        counts(said, warnings), count("total_tokens", figures.get("total_tokens"), warnings), warnings
    )
    return clamped(usage, warnings), warnings


def _with_reasoning(usage: Usage, total: int | None, warnings: list[str]) -> Usage:
    """Add the reasoning to the output where the host counts it apart, which only the total tells (xAI)."""
    both = usage.total_tokens
    if total is None or both is None or total <= both:
        return usage
    if total == both + (usage.reasoning_tokens or 0):
        return replace(usage, output_tokens=total - (usage.input_tokens or 0))
    warnings.append(f"the provider's total of {total} tokens is more than its input and output ({both})")
    return usage
