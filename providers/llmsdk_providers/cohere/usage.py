"""Token counts as Cohere reports them: what the model read and wrote, not what is billed."""

from __future__ import annotations

from typing import Any

from llmsdk.types import Usage
from llmsdk.wire.counts import clamped, counts
from llmsdk.wire.json import under


def read(figures: dict[str, Any]) -> tuple[Usage, list[str]]:
    """The usage, and what was wrong with the figures. ``billed_units`` count less and stay in ``raw``.

    Tokens of images stand beside those of the text, and are input as well.
    """
    warnings: list[str] = []
    tokens = under(figures, "tokens")
    said = {
        "input_tokens": _sum(tokens.get("input_tokens"), tokens.get("image_tokens")),
        "output_tokens": tokens.get("output_tokens"),
        "cached_input_tokens": figures.get("cached_tokens"),
        "reasoning_tokens": tokens.get("reasoning_tokens"),
    }
    return clamped(counts(said, warnings), warnings), warnings


def billed(meta: dict[str, Any]) -> Usage:
    """The usage of vectors, of which only what is billed is told."""
    return counts({"input_tokens": under(meta, "billed_units").get("input_tokens"), "output_tokens": 0}, [])


def _sum(text: Any, images: Any) -> Any:
    both = type(text) in (int, float) and type(images) in (int, float)
    return text + images if both else text
