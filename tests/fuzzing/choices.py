"""Decisions read from bytes: whoever changes the bytes a little changes what is decided a little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads decisions, one after the other. When the bytes are used up, it is always the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """One of 0 to ``below - 1``."""
        size = 1 if below <= 256 else 2
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece) % below

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def odds(self, of: int) -> bool:
        """True once in so many times, never when the bytes are used up."""
        return self.number(of) == of - 1

    def bytes(self) -> bytes:
        """A few of the bytes themselves."""
        size = self.number(32)
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    @property
    def left(self) -> bool:
        return self._at < len(self._data)
