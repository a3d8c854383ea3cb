"""Embeddings: what is asked, and what is read, in the forms of both hosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmsdk.errors import InvalidBody
from llmsdk.types import Usage
from llmsdk.wire.counts import count
from llmsdk.wire.json import items, under

Vector = tuple[float, ...]


def portions(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The texts, ``size`` at a time."""
    for at in range(0, len(texts), size):
        yield texts[at : at + size]


def batch(path: str, texts: Sequence[str]) -> dict[str, Any]:
    """The body of ``:batchEmbedContents``; ``path`` is the model's, such as ``models/gemini-embedding-001``."""
    return {"requests": [{"model": path, "content": {"parts": [{"text": text}]}} for text in texts]}


def instances(texts: Sequence[str]) -> dict[str, Any]:
    """The body of Vertex's ``:predict``."""
    return {"instances": [{"content": text} for text in texts]}


def read_batch(body: Any, expected: int) -> tuple[tuple[Vector, ...], Usage | None]:
    """The vectors, and usage where the model reports it.

    Raises:
        InvalidBody: not one vector a text.
    """
    rows = body.get("embeddings") if isinstance(body, dict) else None
    tokens = count("promptTokenCount", under(body, "usageMetadata").get("promptTokenCount"), [])
    return _vectors(rows, expected), None if tokens is None else Usage(tokens, 0)


def read_predictions(body: Any, expected: int) -> tuple[tuple[Vector, ...], Usage | None]:
    """The same of ``:predict``, which counts the tokens of each text."""
    rows = [under(row, "embeddings") for row in items(body.get("predictions") if isinstance(body, dict) else None)]
    counted = [count("token_count", under(row, "statistics").get("token_count"), []) for row in rows]
    known = [tokens for tokens in counted if tokens is not None]
    return _vectors(rows, expected), Usage(sum(known), 0) if known and len(known) == len(counted) else None


def _vectors(rows: Any, expected: int) -> tuple[Vector, ...]:
    if not isinstance(rows, list) or len(rows) != expected:
        found = len(rows) if isinstance(rows, list) else "no"
        raise InvalidBody(f"the host gave {found} vectors for {expected} texts")
    try:
        return tuple(tuple(float(number) for number in row["values"]) for row in rows)
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidBody(f"the host gave a vector that is none: {error!r:.200}") from None
