"""Guesses what a sequence will say next from what it has said before: a quote, a name, a line of code that stays.

What comes after the last three ids where they stood before is computed along with the next token, in one step. As far
as the model would have said the same it is said, and the rest is taken back: a greedy text is what it is without.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAM = 3
"""Ids that must have stood before."""
LEAST, MOST = 4, 16
"""Guesses in a step."""
LONGEST_REST = 64
"""Steps without a guess, where guessing goes wrong."""


class Lookup:
    """The guesses for one sequence, which has at most ``limit`` ids."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._after: dict[tuple[int, ...], int] = {}
        """Where the text goes on after some ids, the last time they stood there."""
        self._read = GRAM
        self._count = LEAST
        self._pause = 0
        self._rest = 0

    def guess(self, ids: Sequence[int]) -> Sequence[int]:
        """What may follow ``ids``, which only grow from call to call."""
        for end in range(self._read, len(ids)):
            self._after[tuple(ids[end - GRAM : end])] = end
        self._read = max(self._read, len(ids))
        if self._rest:
            self._rest -= 1
            return ()
        at = self._after.get(tuple(ids[-GRAM:]))
        return () if at is None else ids[at : at + max(0, min(self._count, self._limit - len(ids)))]

    def judge(self, guesses: int, right: int) -> None:
        """Guess more where all was right, and less, and not for a while, where less than half was."""
        if right == guesses:
            self._count, self._pause = min(2 * self._count, MOST), 0
        elif 2 * right < guesses:
            self._count = max(self._count // 2, LEAST)
            self._pause = self._rest = min(2 * self._pause + 2, LONGEST_REST)
