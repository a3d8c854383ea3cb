"""Token figures out of untrusted bodies: whole numbers, and no part larger than its whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from llmsdk.types import Usage

MOST = 100_000_000
"""Tokens that no attempt uses."""


def count(name: str, value: Any, warnings: list[str]) -> int | None:
    """A number of tokens; ``None`` for none, and with a warning for what cannot be one. Some write 12.0."""
    if value is None or (type(value) is int and 0 <= value <= MOST):
        return value
    whole = not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )
    if whole and 0 <= value <= MOST:
        return int(value)
    warnings.append(f"the provider reported {name} = {value!r:.40}, which was left out")
    return None


def counts(said: Mapping[str, Any], warnings: list[str]) -> Usage:
    """Usage of figures by the names of ``Usage``, each of which may be anything."""
    figures: dict[str, Any] = {
        name: value if value is None else count(name, value, warnings) for name, value in said.items()
    }
    return Usage(**figures)


def clamped(usage: Usage, warnings: list[str]) -> Usage:
    """The usage with no part larger than what it is a part of."""
    if usage.cached_input_tokens is usage.cache_write_tokens is usage.reasoning_tokens is None:
        return usage
    parts: dict[str, Any] = dict(_excess(usage))
    for name, whole in parts.items():
        warnings.append(f"the provider reported more {name} ({getattr(usage, name)}) than the whole ({whole})")
    return replace(usage, **parts) if parts else usage


def _excess(usage: Usage) -> Iterator[tuple[str, int]]:
    """The parts that are larger than what they are a part of, and how large that is."""
    for name, part, whole in (
        ("cached_input_tokens", usage.cached_input_tokens, usage.input_tokens),
        ("cache_write_tokens", usage.cache_write_tokens, usage.input_tokens),
        ("reasoning_tokens", usage.reasoning_tokens, usage.output_tokens),
    ):
        if part and whole is not None and part > whole:
            yield name, whole
