"""Token counts as Google reports them, made into one meaning: input with tools' results, output with thoughts."""

from __future__ import annotations

from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, count, counts


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage in ``usageMetadata``, and what was wrong with it. An impossible figure is clamped, or left out.

    Google leaves out what is 0: a reply that says nothing has no ``candidatesTokenCount``.
    """
    warnings: list[str] = []

    def figure(name: str) -> int | None:
        return count(name, figures.get(name), warnings)

    prompt, tools = figure("promptTokenCount"), figure("toolUsePromptTokenCount")
    before = len(warnings)
    said, thoughts = figure("candidatesTokenCount"), figure("thoughtsTokenCount")
    refused = len(warnings) > before
    if prompt is None and said is None and thoughts is None:
        return Usage(), warnings
    usage = counts(
        {
            "input_tokens": None if prompt is None else prompt + (tools or 0),
            "output_tokens": None if refused else (said or 0) + (thoughts or 0),
            "cached_input_tokens": figure("cachedContentTokenCount"),
            "reasoning_tokens": thoughts,
        },
        warnings,
    )
    return clamped(usage, warnings), warnings
