"""How probable each candidate is as the whole reply: the prompt once, then all candidates in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmsdk.errors import LLMError
from llmsdk.types import Finish, Output, Score
from llmsdk_providers.local.generation import Delivery, check_ids, check_numbers
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.runner import Runner, Slot

if TYPE_CHECKING:
    from torch import Tensor


class Scoring:
    """Candidates under way. Each step computes a piece of the prompt, or ``batch`` candidates."""

    def __init__(
        self, prompt: tuple[int, ...], rows: Sequence[tuple[int, ...]], batch: int, mailbox: Mailbox[Delivery]
    ) -> None:
        self.cancelled = False
        self._prompt = self._todo = prompt
        self._rows = tuple(rows)
        self._batch = batch
        self._mailbox = mailbox
        self._slot: Slot | None = None
        self._first: Tensor | None = None
        self._scores: list[Score] = []
        self._out: list[Delivery] = []
        self._ended = False

    def step(self, runner: Runner) -> bool:
        """Go on. Says whether all candidates have their score."""
        if self._slot is None:
            check_ids(self._prompt + tuple(max(row) for row in self._rows), runner)
            self._slot = runner.slot()
        if self._todo:
            size = runner.chunk or len(self._todo)
            ids, self._todo = self._todo[:size], self._todo[size:]
            self._first = runner.forward(self._slot, ids)
            return False
        done = len(self._scores)
        self._scores += self._scored(self._rows[done : done + self._batch], self._slot, runner)
        if len(self._scores) < len(self._rows):
            return False
        self._end(Output(tuple(self._scores)))
        return True

    def fail(self, error: LLMError) -> None:
        """End with an error, unless it has ended."""
        self._end(error)

    def drop(self) -> None:
        """End because nobody wants it any more."""
        self._end(Finish("other", "cancelled"))

    def deliver(self) -> None:
        """Give the caller what the step brought."""
        if self._out:
            out, self._out = self._out, []
            self._mailbox.put(*out)

    def _scored(self, rows: Sequence[tuple[int, ...]], slot: Slot, runner: Runner) -> list[Score]:
        assert self._first is not None
        check_numbers(self._first)
        first = self._first.log_softmax(-1)
        longer = [row for row in rows if len(row) > 1]
        # The last token of a row is only scored, never read.
        rest = iter(runner.branches(slot, [row[:-1] for row in longer]) if longer else ())
        return [
            Score(float(first[row[0]]) + (_sum(next(rest), row) if len(row) > 1 else 0.0), len(row)) for row in rows
        ]

    def _end(self, delivery: Delivery) -> None:
        self._slot = self._first = None
        if not self._ended:
            self._ended = True
            self._out.append(delivery)


def _sum(logits: Tensor, row: tuple[int, ...]) -> float:
    """The log-probability of all but the first id of a row; ``logits`` come after each id before the last."""
    logits = logits[: len(row) - 1]
    for line in logits:
        check_numbers(line)
    chances = logits.log_softmax(-1)
    return sum(float(line[token]) for line, token in zip(chances, row[1:], strict=True))
