"""Taking secrets out of text that a stranger wrote: a provider's error may echo the key it was sent.

No eight characters in a row of a secret are left, whatever stands between them that is blank, a quotation mark or a
backslash, and whether it was echoed as it is, in either case, in base64, in hexadecimal, or escaped for a URL or HTML.
The work is linear in the length of the text, and bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from llmsdk.secret import MASK

SHOWN = 8
"""Characters of a secret in a row that are taken for an echo of it."""
SHORTEST = 4
"""Secrets shorter than this are not looked for: they would be found in ordinary words."""
MAX_TEXT = 2**17
"""Characters that are looked at; what is behind them is left out."""
_BORDERS = frozenset(" \t\r\n\"'`<>(){}[],;=&")
_BETWEEN = "\"'\\\u00a0\u00ad\u200b\u200c\u200d\u2028\u2029\u2060\ufeff\x7f\x85" + "".join(map(chr, range(33)))
_CORE = {ord(char): None for char in _BETWEEN} | {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
Span = tuple[int, int]


def redact(text: str, secrets: Sequence[str]) -> str:
    """``text`` without the secrets.

    Masked is a whole one where it stands, and every word that holds eight characters of one: providers echo keys with
    the middle left out ("sk-abcde***wxyz").
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "..."
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MASK)
    return _without(text, _words(text, found(text, secrets)))


def found(text: str, secrets: Iterable[str]) -> list[Span]:
    """Where pieces of secrets stand in ``text``, of eight characters at least; in order, none touches another."""
    core = text.translate(_CORE)
    hits = _hits(core, [_pieces(secret) for secret in secrets if len(secret) >= SHOWN])
    first = next(hits, None)
    if first is None:
        return []
    places = [at for at, char in enumerate(text) if _CORE.get(ord(char), 0) is not None]
    spans: list[Span] = [(places[first], places[first + SHOWN - 1] + 1)]
    for hit in hits:
        start, end = places[hit], places[hit + SHOWN - 1] + 1
        if start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _hits(core: str, pieces: Sequence[frozenset[str]]) -> Iterator[int]:
    """Where a piece begins."""
    known = pieces[0].union(*pieces[1:]) if pieces else frozenset[str]()
    if not known:
        return
    for at in range(len(core) - SHOWN + 1):
        if core[at : at + SHOWN] in known:
            yield at


@lru_cache(maxsize=64)
def _pieces(secret: str) -> frozenset[str]:
    """All that is eight characters long in a secret, and in the forms that it may be echoed in."""
    cores = {shape.translate(_CORE) for shape in _shapes(secret)}
    return frozenset(core[at : at + SHOWN] for core in cores for at in range(len(core) - SHOWN + 1))


def _shapes(secret: str) -> Iterator[str]:
    from base64 import b64encode, urlsafe_b64encode
    from html import escape
    from urllib.parse import quote, quote_plus

    data = secret.encode("utf-8", "surrogatepass")
    yield from (str(secret), quote(data, safe=""), quote(data), quote_plus(data), escape(secret), data.hex())
    for before in range(3):  # in base64 a text looks different behind one, two or three others, but for its ends
        for encoded in (b64encode, urlsafe_b64encode):
            whole = encoded(b"\0" * before + data).decode().rstrip("=")
            yield whole[-(-before * 4 // 3) : len(whole) - 1]


def _words(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The words that the spans lie in."""
    done = 0
    for start, end in spans:
        if end <= done:
            continue
        start = max(start, done)
        while start > done and text[start - 1] not in _BORDERS:
            start -= 1
        while end < len(text) and text[end] not in _BORDERS:
            end += 1
        yield start, end
        done = end


def _without(text: str, spans: Iterable[Span]) -> str:
    pieces, done = [], 0
    for start, end in spans:
        pieces += [text[done:start], MASK]
        done = end
    return "".join([*pieces, text[done:]])


__all__ = ["MASK", "found", "redact"]
