"""Counting tokens without a tokenizer: an estimate that says its margin."""

from __future__ import annotations

import re

from llmsdk.types import Request, TokenCount

MARGIN = 0.35
"""How far the estimate of a paragraph may be off, as a fraction, against the tokenizers of current hosted models."""
PER_MESSAGE = 4
"""Tokens around each message of a conversation."""

_RUNS = re.compile(r"([A-Za-z]+)|([0-9]+)|([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+)|([^\W\d_]+)|(\n+)|([^\s\w]|_)")
_LETTERS_PER_TOKEN = 6.5
_DIGITS_PER_TOKEN = 3
_IDEOGRAMS_PER_TOKEN = 1.05
_OTHER_LETTERS_PER_TOKEN = 2.6


def estimate(text: str) -> int:
    """About how many tokens ``text`` has; at least 1 unless it is empty."""
    total = 0.0
    for latin, digits, ideograms, letters, lines, mark in _RUNS.findall(text):
        if latin:
            total += 1 + (len(latin) - 1) // _LETTERS_PER_TOKEN
        elif digits:
            total += -(-len(digits) // _DIGITS_PER_TOKEN)
        elif ideograms:
            total += len(ideograms) / _IDEOGRAMS_PER_TOKEN
        elif letters:
            total += max(1.0, len(letters) / _OTHER_LETTERS_PER_TOKEN)
        elif lines or mark:
            total += 1 if lines or not mark.isascii() else 0.8
    return max(1, round(total)) if text else 0


def count(request: Request) -> TokenCount:
    """The input tokens of a request, estimated."""
    if isinstance(request.input, str):
        return TokenCount(estimate(request.input), "estimate", MARGIN)
    total = sum(estimate(message.text) + PER_MESSAGE for message in request.input)
    return TokenCount(total, "estimate", MARGIN)
