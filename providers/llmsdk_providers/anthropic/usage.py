"""Token counts: what was read from the cache and written to it is not in ``input_tokens`` here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, counts
from llmsdk.wire.json import under


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures. An impossible one is clamped, or left out."""
    warnings: list[str] = []
    said = {
        "input_tokens": figures.get("input_tokens"),
        "output_tokens": figures.get("output_tokens"),
        "cached_input_tokens": figures.get("cache_read_input_tokens"),
        "cache_write_tokens": figures.get("cache_creation_input_tokens"),
        "reasoning_tokens": under(figures, "output_tokens_details").get("thinking_tokens"),
    }
    usage = counts(said, warnings)
    if usage.input_tokens is not None:
        cache = (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0)
        usage = replace(usage, input_tokens=usage.input_tokens + cache)
    return clamped(usage, warnings), warnings


def later(figures: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Figures of a stream with those that came later: they are cumulative, and absent where nothing changed."""
    return figures | {name: value for name, value in more.items() if value is not None}
