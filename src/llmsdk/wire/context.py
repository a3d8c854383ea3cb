"""A prompt that is too long for the model's window, in the words of many hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOOKED_AT = 4000
_TOO_LONG = (
    r"context[ _-]?(length|window|size|limit)"
    r"|maximum (context|model|prompt|sequence) length"
    r"|(prompt|input|messages?|request) (is|are) too long"
    r"|total length of all messages is too long"
    r"|too many (prompt |input )?tokens"
    r"|input tokens? exceeds?"
    r"|input token count"
    r"|exceeds? the (model'?s )?maximum (number of tokens|tokens|length)"
    r"|reduce the length of the (messages|prompt)"
    r"|must be <= \d+\. given"
    r"|must have less than \d+ tokens"
    r"|size of tensor a \(\d+\) must match the size of tensor b"
    r"|index out of range in self"
)
_NOT_TOO_LONG = r"tokens? per (minute|day)|\bTP[MD]\b|rate limit"
_NUMBER = r"(\d[\d,]*)"
_LIMITS = (
    r"context (?:length|window|size)(?: is| of)?(?: only)? #",
    r"available context size \(# tokens",
    r"maximum (?:model|prompt|sequence) length(?: is| of)? #",
    r"configured limit of #",
    r"> # maximum",
    r"context limit: \d+ \+ \d+ > #",
    r"maximum number of tokens allowed \(#",
    r"with # maximum context length",
    r"cannot exceed #",
    r"must be <= #",
    r"must have less than # tokens",
    r"must match the size of tensor b \(#\)",
)
_NEEDED = (
    r"you requested(?: about| a total of)? # tokens",
    r"messages resulted in # tokens",
    r"you passed # input tokens",
    r"prompt is too long: #",
    r"input token count \(#",
    r"prompt contains # tokens",
    r"request \(# tokens\)",
    r"request contains # tokens",
    r"\(length #\)",
    r"received #",
    r"given: #",
    r"size of tensor a \(#\)",
)


def is_too_long(message: str) -> bool:
    """Whether the words mean that prompt and reply do not fit the window."""
    text = message[:_LOOKED_AT]
    return _finds(_TOO_LONG, text) is not None and _finds(_NOT_TOO_LONG, text) is None


def figures(message: str, details: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The limit, and what was needed, in tokens, where they are told (llama.cpp has them as fields)."""
    text = message[:_LOOKED_AT]
    limit, needed = details.get("n_ctx"), details.get("n_prompt_tokens")
    return (
        limit if isinstance(limit, int) else _first(_LIMITS, text),
        needed if isinstance(needed, int) else _first(_NEEDED, text),
    )


def _first(patterns: tuple[str, ...], text: str) -> int | None:
    found = next((match[1] for pattern in patterns if (match := _finds(pattern, text))), None)
    return int(found.replace(",", "")[:18]) if found else None


def _finds(pattern: str, text: str) -> re.Match[str] | None:
    """Compiled when it is first needed, and then kept by ``re``: that takes milliseconds, which few programs need."""
    return re.search(pattern.replace("#", _NUMBER), text, re.IGNORECASE)
