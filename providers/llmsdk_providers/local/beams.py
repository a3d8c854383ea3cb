"""Beam search for one reply, by the rules of transformers' ``generate``: which paths go on, and which reply is best."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

Top = tuple[Sequence[float], Sequence[int]]
"""What may follow a path: log-probabilities, the best first, and their ids."""


@dataclass(frozen=True, slots=True)
class Width:
    """How a model searches, as its ``generation_config.json`` says."""

    paths: int
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def keep(self, ends: int) -> int:
        """How many continuations are looked at, so that enough remain where the best ones end."""
        return self.paths * max(2, 1 + ends)


class Beams:
    """The paths of one reply. All have the same length."""

    def __init__(self, start: Sequence[int], limit: int, ends: Collection[int], width: Width) -> None:
        self.paths = [list(start)]
        """Ids, those at the start included; the most probable path first."""
        self.scores = [0.0]
        """The log-probability of each path."""
        self.done = False
        self._begin = len(start)
        self._longest = len(start) + limit
        self._ends = ends
        self._width = width
        self._whole: list[tuple[float, list[int]]] = []

    @property
    def reply(self) -> list[int]:
        """The ids of the best reply."""
        best = self._whole[0][1] if self._whole else self.paths[0]
        return best[self._begin :]

    def advance(self, tops: Sequence[Top]) -> list[int]:
        """Go on by one id. ``tops`` are those of each path, its own score included.

        Returns:
            For each path that goes on the number of the path that it continues.
        """
        found = [
            (score, path, token)
            for path, (scores, tokens) in enumerate(tops)
            for score, token in zip(scores, tokens, strict=True)
            if score > -inf
        ]
        found = sorted(found, key=lambda item: -item[0])[: self._width.keep(len(self._ends))]
        full = len(self.paths[0]) + 1 >= self._longest
        self._settle([item for item in found[: self._width.paths] if full or item[2] in self._ends])
        going = [] if full else [item for item in found if item[2] not in self._ends][: self._width.paths]
        if not going:
            self.done = True
            return []
        self.paths = [[*self.paths[path], token] for _, path, token in going]
        self.scores = [score for score, _, _ in going]
        self.done = self._is_settled()
        return [path for _, path, _ in going]

    def _settle(self, ended: Sequence[tuple[float, int, int]]) -> None:
        """Take up replies that have ended, if there is room among the best."""
        if self._width.early_stopping is True and len(self._whole) == self._width.paths:
            return
        size = self._counted(len(self.paths[0]) + 1)
        self._whole += [(score / size, [*self.paths[path], token]) for score, path, token in ended]
        self._whole = sorted(self._whole, key=lambda item: -item[0])[: self._width.paths]

    def _is_settled(self) -> bool:
        """Whether no path can become better than the replies that have ended, by transformers' own estimate."""
        if len(self._whole) < self._width.paths:
            return False
        if self._width.early_stopping is True:
            return True
        hopeful = self._width.early_stopping == "never" and self._width.length_penalty > 0
        size = self._counted(self._longest if hopeful else len(self.paths[0]))
        return self.scores[0] / size <= self._whole[-1][0]

    def _counted(self, length: int) -> float:
        """What the score of a path of that length is divided by. The very first id is not counted."""
        return float((length - 1) ** self._width.length_penalty)
