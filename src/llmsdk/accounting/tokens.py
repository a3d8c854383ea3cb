"""Counting tokens without a tokenizer: an estimate that says its margin.

The weights were fitted to o200k and cl100k over English, German, French, modern and classical Chinese, JSON and
Python; ``tests/accounting/test_tokens.py`` holds the margin there. Other scripts are rounded from what such
tokenizers are known to do, and not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from llmsdk.types import Media, Message, Part, Reasoning, Request, Text, TokenCount, ToolCall, ToolResult, Usage

MARGIN, HAN_MARGIN = 0.25, 0.45
"""How far the estimate of a paragraph may be off, as a fraction: 19 paragraphs in 20 are nearer.

Chinese has a margin of its own, since current tokenizers have learnt its words and older ones have not.
"""
PER_MESSAGE = 4
"""Tokens around each message of a conversation."""
PER_MEDIA = 1000
"""Tokens of an image, a PDF or a recording: they take from a hundred to several thousand."""

OUTPUT = 4096
"""Tokens of output to reserve where nobody sets a limit: more than most replies have."""
_MEDIA_BOUND = 4 * PER_MEDIA

_LATIN = r"[A-Za-z\u00c0-\u024f]+"
_RUN = (
    rf"({_LATIN})|([0-9]+)|([\u3400-\u9fff\uf900-\ufaff]+)|([\u3040-\u30ff\uac00-\ud7af]+)"
    # vowel signs and accents count as letters, which Python's \w does not say of all
    r"|((?:[^\W\d_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u109f\u1780-\u17d3])+)"
    r"|(\n\s*|[ \t]{2,})|([!-/:-@\[-`{-~]+)|([\U0001f000-\U0001faff])|([^\s\w])"
)
_HAN_LETTER = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_ACCENTED = re.compile(r"[\u00c0-\u024f]")
_PLAIN_LETTERS = 5
"""Letters of a Latin word that is one token as a rule."""
_ENGLISH, _FOREIGN = 0.1, 0.28
"""Tokens for each letter more: in a text without accents, and in one with them."""
_ACCENTS = 0.02
"""Accented letters a word, above which a text is not English."""
_DIGITS, _HAN, _KANA, _OTHER, _SPACE, _MARKS, _MORE_MARKS, _EMOJI, _MARK = (
    1.4,
    0.89,
    0.8,
    0.33,
    0.8,
    0.95,
    0.2,
    2.0,
    1.4,
)

_READ, _SAMPLES = 2**16, 16
"""Characters that are looked at, and in how many pieces where that is not the whole text."""


def estimate(text: str) -> int:
    """About how many tokens ``text`` has; at least 1 unless it is empty.

    Of a long text only evenly spread pieces are looked at, so that no loop waits long for it.
    """
    if len(text) <= _READ:
        return max(1, round(_tokens(text))) if text else 0
    size, step = _READ // _SAMPLES, len(text) // _SAMPLES
    read = sum(_tokens(text[start : start + size]) for start in range(0, step * _SAMPLES, step))
    return round(read * len(text) / (size * _SAMPLES))


def margin(text: str) -> float:
    """How far ``estimate`` may be off for a text, as a fraction."""
    start = text[:_READ]
    return HAN_MARGIN if len(_HAN_LETTER.findall(start)) * 10 > len(start) else MARGIN


@cache
def _runs() -> re.Pattern[str]:
    """Compiled when it is first needed: that takes milliseconds."""
    return re.compile(_RUN)


def _tokens(text: str) -> float:
    words = len(re.findall(_LATIN, text))
    more = _FOREIGN if len(_ACCENTED.findall(text)) > _ACCENTS * words else _ENGLISH
    total = float(words)
    for latin, digits, han, kana, other, space, marks, emoji, _ in _runs().findall(text):
        if latin:
            total += more * max(0, len(latin) - _PLAIN_LETTERS)
        elif digits:
            total += _DIGITS * -(-len(digits) // 3)
        elif han:
            total += _HAN * len(han)
        elif kana:
            total += _KANA * len(kana)
        elif other:
            total += max(1.0, _OTHER * len(other))
        elif space:
            total += _SPACE
        elif marks:
            total += _MARKS + _MORE_MARKS * (len(marks) - 1)
        else:
            total += _EMOJI if emoji else _MARK
    return total


def bound(request: Request, output: int) -> Usage:
    """What a request may use at most, to be reserved: cheap, and more than most texts have.

    No tokenizer in use makes more tokens of a text than it has bytes. ``output`` holds where the request sets no
    ``max_tokens``.
    """
    if isinstance(request.input, str):
        prompt = _bytes(request.input)
    else:
        prompt = sum([_message_bound(message) for message in request.input])
    if request.tools or request.schema is not None:
        prompt += sum(_bytes(text) for text in _rendered(request))
    return Usage(prompt, (output if request.max_tokens is None else request.max_tokens) * request.n, source="estimate")


def _message_bound(message: Message) -> int:
    if isinstance(message.content, str):
        return _bytes(message.content) + 2 * PER_MESSAGE
    media = sum(isinstance(part, Media) for part in message.parts)
    return sum(map(_bytes, _texts(message.parts))) + _MEDIA_BOUND * media + 2 * PER_MESSAGE


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def count(request: Request) -> TokenCount:
    """The input tokens of a request, estimated."""
    if isinstance(request.input, str):
        return TokenCount(estimate(request.input), "estimate", margin(request.input))
    texts = [text for message in request.input for text in _texts(message.parts)]
    total = PER_MESSAGE * len(request.input) + sum(map(estimate, (*texts, *_rendered(request))))
    media = sum(isinstance(part, Media) for message in request.input for part in message.parts)
    off = 1.0 if media else max(map(margin, texts), default=MARGIN)
    return TokenCount(total + PER_MEDIA * media, "estimate", off)


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case ToolCall():
                yield f"{part.name} {part.arguments_json}"
            case ToolResult():
                yield part.content
            case Text() | Reasoning():
                yield part.text
            case Media():
                pass


def _rendered(request: Request) -> Iterator[str]:
    """What a provider puts into the prompt besides the messages."""
    for tool in request.tools:
        yield f"{tool.name} {tool.description} {tool.parameters}"
    if request.schema is not None:
        yield str(request.schema)
