"""How probable each candidate is as the whole reply: the prompt once, then all candidates in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from llmsdk.errors import LLMError
from llmsdk.types import Finish, Output, Score
from llmsdk_providers.local.context import Context
from llmsdk_providers.local.generation import Delivery, check_ids, check_room
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.mailbox import Mailbox
from llmsdk_providers.local.sampler import Sampler
from llmsdk_providers.local.scheduler import Model, check_numbers

if TYPE_CHECKING:
    from torch import Tensor


TOKENS = 128
"""Of candidates in one pass: each has the logits of a whole vocabulary."""


class Scoring:
    """Candidates under way: the prompt in pieces, then up to ``batch`` candidates a step."""

    def __init__(
        self, prompt: tuple[int, ...], rows: Sequence[tuple[int, ...]], batch: int, mailbox: Mailbox[Delivery]
    ) -> None:
        self.cancelled = self.over = False
        self.cached: int | None = None
        """Tokens of the prompt that were not computed for it, since others had begun with them."""
        self.context: Context | None = None
        self.sampler: Sampler | None = None
        self.lookup: Lookup | None = None
        self._prompt = prompt
        self._rows = tuple(rows)
        self._batch = batch
        self._mailbox = mailbox
        self._first: Tensor | None = None
        self._scores: list[Score] = []
        self._out: list[Delivery] = []

    def begin(self, model: Model) -> None:
        """Check that the model can run it.

        Raises:
            ModelFileError: there are ids that the model does not know.
            OutOfMemory: the prompt is more than the model has memory for.
        """
        check_ids(self._prompt + tuple(max(row) for row in self._rows), model)
        check_room(len(self._prompt), model)
        self.context = Context(list(self._prompt))

    def accept(self, logits: Tensor, token: int | None) -> None:
        """What comes after the prompt; with it the first token of every candidate has its score."""
        assert self.context is not None
        self.cached = self.context.lent
        self._first = logits.clone()

    def branch(self, model: Model) -> None:
        """Score the next candidates."""
        assert self.context is not None
        self._scores += self._scored(self._next(), self.context, model)
        if len(self._scores) == len(self._rows):
            self._end(Output(tuple(self._scores)))

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

    def _next(self) -> Sequence[tuple[int, ...]]:
        """As many candidates as may be computed together, at least one."""
        rows = self._rows[len(self._scores) :][: self._batch]
        sizes = accumulate(map(len, rows))
        return rows[: max(1, sum(size <= TOKENS for size in sizes))]

    def _scored(self, rows: Sequence[tuple[int, ...]], context: Context, model: Model) -> list[Score]:
        assert self._first is not None
        check_numbers(self._first)
        first = self._first.log_softmax(-1)
        longer = [row for row in rows if len(row) > 1]
        # The last token of a row is only scored, never read.
        rest = iter(model.branches(context, [row[:-1] for row in longer]) if longer else ())
        return [
            Score(float(first[row[0]]) + (_sum(next(rest), row) if len(row) > 1 else 0.0), len(row)) for row in rows
        ]

    def _end(self, delivery: Delivery) -> None:
        self._first = None
        if not self.over:
            self.over = True
            self._out.append(delivery)


def _sum(logits: Tensor, row: tuple[int, ...]) -> float:
    """The log-probability of all but the first id of a row; ``logits`` come after each id before the last."""
    logits = logits[: len(row) - 1]
    for line in logits:
        check_numbers(line)
    chances = logits.log_softmax(-1)
    return sum(float(line[token]) for line, token in zip(chances, row[1:], strict=True))
