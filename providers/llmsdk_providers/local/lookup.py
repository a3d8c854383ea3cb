"""Guesses what a sequence will say next from what it has said before: a quote, a name, a line of code that stays.

What comes after the last three ids where they stood before, or else the last two, is computed along with the next
token, in one step. As far as the model would have said the same it is said, and the rest is taken back: a greedy text
is what it is without.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAMS = (3, 2)
"""Ids that must have stood before: the more, the likelier it goes on as it did."""
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
        self._read = 0
        self._count = LEAST
        self._pause = 0
        self._rest = 0

    def guess(self, ids: Sequence[int]) -> Sequence[int]:
        """What may follow ``ids``, which only grow from call to call."""
        self._learn(ids)
        if self._rest:
            self._rest -= 1
            return ()
        found = (self._after.get(tuple(ids[-size:])) for size in GRAMS)
        at = next((at for at in found if at is not None), len(ids))
        return ids[at : at + max(0, min(self._count, self._limit - len(ids)))]

    def judge(self, guesses: int, right: int) -> None:
        """Guess more where all was right; less where less than half was, and not for a while if it was so before."""
        if right == guesses:
            self._count, self._pause = min(2 * self._count, MOST), 0
        elif 2 * right < guesses:
            self._count = max(self._count // 2, LEAST)
            self._rest, self._pause = self._pause, min(2 * self._pause + 1, LONGEST_REST)

    def _learn(self, ids: Sequence[int]) -> None:
        for end in range(self._read, len(ids)):
            for size in GRAMS:
                if size <= end:
                    self._after[tuple(ids[end - size : end])] = end
        self._read = max(self._read, len(ids))
