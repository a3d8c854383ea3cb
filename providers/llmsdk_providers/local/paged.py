"""The own decoder over paged memory: what the scheduler runs on a GPU, and what explains it where there is none.

Short pieces, such as the next token of every sequence that writes, are computed a row at a time in batches of a few
sizes, each of which is a graph (``graphs``); pieces of prompts are not, since no two passes over them are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from llmsdk_providers.local.attention import Attend, Branches
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.decoder import Decoder
from llmsdk_providers.local.graphs import Capture, Work, capture_on
from llmsdk_providers.local.lookup import MOST as GUESSES
from llmsdk_providers.local.pages import Book, Pool
from llmsdk_providers.local.passes import Attention, Run, Told, best
from llmsdk_providers.local.prefix import Prefixes, common

if TYPE_CHECKING:
    from torch import Tensor

SHORT = 1 + GUESSES
"""Ids of a piece that is computed a row at a time."""
ROWS = 256
"""Rows of the largest graph."""
WORTH = 32
"""Tokens that must be spared for a sequence to wait for another."""


class Paged:
    """A model in our own decoder, and the keys and values of its sequences in ``kv_bytes``, taken at once."""

    together = True
    whole_prompts = False

    def __init__(
        self, decoder: Decoder, kv_bytes: int, *, attention: Attention | None = None, capture: Capture | None = None
    ) -> None:
        shape = decoder.shape
        self._decoder = decoder
        self._attention = attention or best(shape.head_dim, decoder.dtype, decoder.device)
        self._capture = capture or capture_on(decoder.device)
        self._passes: dict[tuple[int, int], tuple[Told, Work]] = {}
        page = self._attention.page
        book = Book(page, len(shape.windows), shape.kv_heads, shape.head_dim, decoder.dtype, decoder.device)
        self.pool = Pool(book, max(1, kv_bytes // book.page_bytes - 1))
        self.prefixes = Prefixes(self.pool)
        self.embeddings = self.vocabulary = shape.vocabulary

    @property
    def longest(self) -> int:
        """The most tokens that one sequence can have."""
        return self.pool.limit * self.pool.page

    # --- memory -------------------------------------------------------------------------------------------------

    def place(self, context: Context) -> bool:
        """Have pages for all ids of a context; not if memory is short. What is known of a new one is shared then."""
        new = context.home is None
        if new:
            context.home = []
            self.prefixes.lend(context)
        if not self._extend(context, len(context.ids)):
            if new:
                self.release(context)
            return False
        # One that starts anew finds what it has computed itself, which it did not get from others.
        context.lent = context.computed if context.lent is None else context.lent
        return True

    def _extend(self, context: Context, tokens: int) -> bool:
        while len(context.home) * self.pool.page < tokens:
            number = self.pool.take()
            if number is not None:
                context.home.append(number)
            elif not self.prefixes.drop():
                return False
        return True

    def soon(self, context: Context, others: Sequence[Context]) -> bool:
        """Whether one of ``others``, which are being computed, will spare a context the work of some tokens."""
        ids = context.ids[:-1]
        shared = max((common(ids, other.ids) for other in others), default=0)
        return shared >= WORTH and shared - self.prefixes.known(ids) >= WORTH

    def keep(self, context: Context) -> None:
        """Remember what is computed of a context."""
        self.prefixes.keep(context)

    def release(self, context: Context) -> None:
        """Take the pages of a context. It may be computed anew."""
        for number in context.home or ():
            self.pool.drop(number)
        context.home, context.computed = None, 0

    def retract(self, context: Context, size: int) -> None:
        """Take back what is computed of a context beyond its first ``size`` ids."""
        context.computed = min(context.computed, size)

    # --- passes -------------------------------------------------------------------------------------------------

    def forward(self, pieces: Sequence[Piece]) -> Tensor:
        """Compute pieces of placed contexts; ``[rows, vocabulary]`` float32 logits for what is wanted of them.

        Doing it again after a fault does no harm.
        """
        import torch

        runs = [Run(piece.ids, piece.context.computed, piece.context.home) for piece in pieces]
        ends = accumulate(piece.size for piece in pieces)
        wanted = [row for piece, end in zip(pieces, ends, strict=True) for row in range(end - piece.wanted, end)]
        with torch.inference_mode():
            rows = self._rows(runs)
            logits = self._decoder.logits(rows if wanted == [*range(len(rows))] else rows[wanted])
        for piece in pieces:
            piece.context.computed = piece.end
        return logits

    def branches(self, context: Context, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The float32 logits after each id of every row, each row continuing ``context``, which stays as it is."""
        import torch

        past, table = context.computed, torch.tensor(context.home, device=self._decoder.device)

        def kept(layer: int) -> Tensor:
            return self.pool.kv[layer][table].flatten(0, 1)[:past].permute(1, 2, 0, 3)

        crew = Branches(past, rows, kept)
        logits = self._decoder.run([crew], range(len(crew.ids)))
        return list(logits.split([len(row) for row in rows]))

    def _rows(self, runs: Sequence[Run]) -> Tensor:
        """What the decoder makes of all ids of the runs. The next pass may overwrite it."""
        if sum(len(run.ids) for run in runs) <= ROWS and all(len(run.ids) <= SHORT for run in runs):
            return self._short([row for run in runs for row in run.rows()])
        width = self._attention.width(max(len(run.table) for run in runs))
        told = Told.blank([len(run.ids) for run in runs], width, self._decoder.device)
        told.tell(runs, self.pool.page)
        return self._compute(told)

    def _short(self, rows: Sequence[Run]) -> Tensor:
        """Single rows, in a graph for the next larger batch."""
        size = (batch(len(rows)), self._attention.width(max(len(row.table) for row in rows)))
        told, work = self._passes.get(size) or self._new_pass(*size)
        told.tell(rows, self.pool.page)
        return work()[: len(rows)]

    def _new_pass(self, rows: int, width: int) -> tuple[Told, Work]:
        told = Told.blank([1] * rows, width, self._decoder.device)
        found = self._passes[rows, width] = told, self._capture(lambda: self._compute(told))
        return found

    def _compute(self, told: Told) -> Tensor:
        return self._decoder.rows(told.ids, told.positions, self._attend(told))

    def _attend(self, told: Told) -> Attend:
        slots = told.slots.long()

        def attend(layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
            pages = self.pool.kv[layer]
            pages.flatten(0, 1).index_copy_(0, slots, kv)
            return self._attention(query, pages, told, window)

        return attend


def batch(rows: int) -> int:
    """The size of the batch for so many rows: 1, 2, 3, 4, 6, 8, 12, 16 ..., so that at most a third of it is idle."""
    whole = 1 << (rows - 1).bit_length()
    return whole * 3 // 4 if rows <= whole * 3 // 4 else whole
