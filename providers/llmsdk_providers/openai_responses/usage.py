"""Token counts of the dialect, made into our own meaning. They include what is cached and what is reasoning."""

from __future__ import annotations

from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, counts
from llmsdk.wire.json import under


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures. An impossible one is clamped, or left out."""
    warnings: list[str] = []
    details = under(figures, "input_tokens_details")
    said = {
        "input_tokens": figures.get("input_tokens"),
        "output_tokens": figures.get("output_tokens"),
        "cached_input_tokens": details.get("cached_tokens"),
        "cache_write_tokens": details.get("cache_write_tokens"),
        "reasoning_tokens": under(figures, "output_tokens_details").get("reasoning_tokens"),
    }
    return clamped(counts(said, warnings), warnings), warnings
