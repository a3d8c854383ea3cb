"""Token counts as Bedrock reports them, made into one meaning: the host counts cached input apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, counts


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures."""
    warnings: list[str] = []
    said = {
        "input_tokens": figures.get("inputTokens"),
        "output_tokens": figures.get("outputTokens"),
        "cached_input_tokens": figures.get("cacheReadInputTokens"),
        "cache_write_tokens": figures.get("cacheWriteInputTokens"),
    }
    usage = counts(said, warnings)
    if usage.input_tokens is not None:
        apart = (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0)
        usage = replace(usage, input_tokens=usage.input_tokens + apart)
    return clamped(usage, warnings), warnings
