"""Taking secrets out of text that a stranger wrote: a provider's error may echo the key it was sent.

The caller bounds the text first; the work is linear in its length.
"""

from __future__ import annotations

from collections.abc import Sequence

MASK = "***"
SHOWN = 8
"""Characters of a key, from its start or its end, that are taken for an echo of it."""
SHORTEST = 4
"""Keys shorter than this are not looked for: they would be found in ordinary words."""
_BORDERS = frozenset(" \t\r\n\"'`<>(){}[],;=&")


def redact(text: str, secrets: Sequence[str]) -> str:
    """``text`` without the secrets.

    Masked is the whole secret wherever it stands, and every word that holds its first or last eight characters:
    providers echo keys with the middle left out ("sk-abcde***wxyz").
    """
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        text = text.replace(secret, MASK)
        if len(secret) > SHOWN:
            text = _without_words(_without_words(text, secret[:SHOWN]), secret[-SHOWN:])
    return text


def _without_words(text: str, part: str) -> str:
    """Mask each word that holds ``part``."""
    pieces, done = [], 0
    at = text.find(part)
    while at >= 0:
        start, end = at, at + len(part)
        while start > done and text[start - 1] not in _BORDERS:
            start -= 1
        while end < len(text) and text[end] not in _BORDERS:
            end += 1
        pieces += [text[done:start], MASK]
        done = end
        at = text.find(part, done)
    return "".join([*pieces, text[done:]]) if pieces else text


__all__ = ["MASK", "redact"]
