"""What a model is to know of one sequence, and how much of it has been computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Context:
    """The ids of a sequence, which grow as it is written. ``ids[:computed]`` are in the model's cache."""

    ids: list[int]
    computed: int = 0
    home: Any = field(default=None, repr=False)
    """Where the model keeps the cache of it; ``None`` while it has none."""
    lent: int | None = None
    """How many of its first ids were known from other sequences when it began; ``None`` before."""
    guesses: int = 0
    """How many of the last ids are only guessed."""

    @property
    def todo(self) -> int:
        """Ids that are not computed yet."""
        return len(self.ids) - self.computed

    def guess(self, ids: Sequence[int]) -> None:
        """Add ids that may follow, to be computed with those before them in one step."""
        self.ids += ids
        self.guesses = len(ids)

    def withdraw(self) -> list[int]:
        """Take the guesses off its ids."""
        size = len(self.ids) - self.guesses
        found = self.ids[size:]
        del self.ids[size:]
        self.guesses = 0
        return found


class Piece:
    """The next ``size`` ids of a context, to be computed in one step."""

    __slots__ = ("context", "end", "last", "size", "wanted")

    def __init__(self, context: Context, size: int) -> None:
        self.context = context
        self.size = size
        self.end = context.computed + size
        self.last = self.end == len(context.ids)
        """The context is computed whole after it."""
        self.wanted = 1 + context.guesses if self.last else 0
        """How many of its last ids what follows is asked for: the very last one, and those before guesses."""

    @property
    def ids(self) -> Sequence[int]:
        return self.context.ids[self.end - self.size : self.end]


STRIDE = 64
"""Ids that are compared at once."""


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two texts have in common at their beginning."""
    size, start = min(len(one), len(other)), 0
    while start < size and list(one[start : start + STRIDE]) == list(other[start : start + STRIDE]):
        start += STRIDE
    pairs = zip(one[start:size], other[start:size], strict=True)
    return next((start + n for n, (a, b) in enumerate(pairs) if a != b), size)
