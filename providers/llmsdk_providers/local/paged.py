"""The own decoder over paged memory: what the scheduler runs on a GPU, and what explains it where there is none.

Short pieces, such as the next token of every sequence that writes, are computed a row at a time in batches of a few
sizes, each of which is a graph (``graphs``); pieces of prompts are not, since no two passes over them are alike.

A token is chosen on the device (``choosing``), and before it is known on the CPU the device is given what follows: the
pass that computes it, for all who may go on. So the device works while the CPU reads tokens, tells callers and decides
about the next step. Whoever then goes on as foreseen has its logits; whatever else is to be computed is computed then.
Nothing depends on it: in the pages of those who do not go on it wrote behind what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from llmsdk_providers.local.attention import Attend, Branches
from llmsdk_providers.local.choosing import choose
from llmsdk_providers.local.context import Context, Piece, common
from llmsdk_providers.local.decoder import Decoder
from llmsdk_providers.local.graphs import Capture, Work, capture_on
from llmsdk_providers.local.lookup import MOST as GUESSES
from llmsdk_providers.local.pages import Book, Pool
from llmsdk_providers.local.passes import Attention, Run, Told, best
from llmsdk_providers.local.prefix import Prefixes
from llmsdk_providers.local.sampler import Sampler
from llmsdk_providers.local.transfers import Download, uploaded

if TYPE_CHECKING:
    from torch import Tensor

SHORT = 1 + GUESSES
"""Ids of a piece that is computed a row at a time."""
ROWS = 256
"""Rows of the largest graph."""
BUDGET = 2048
"""Tokens of one step. A GPU computes many of a prompt in little more time than a few."""
WORTH = 32
"""Tokens that must be spared for a sequence to wait for another."""


@dataclass(slots=True)
class Ahead:
    """What was computed before anyone asked for it: of each context the logits of what follows its next id."""

    contexts: dict[Context, int]
    """With the rows of their logits."""
    places: list[int]
    """Where the ids of the rows stand in their contexts."""
    logits: Tensor = field(repr=False)
    tokens: list[int] = field(default_factory=list)
    """The ids, once they are known."""

    def row(self, piece: Piece) -> int | None:
        """The row that is all of a piece, if there is one."""
        context = piece.context
        row = self.contexts.get(context) if piece.size == piece.wanted == 1 else None
        foreseen = row is not None and (self.places[row], self.tokens[row]) == (context.computed, context.ids[-1])
        return row if foreseen else None


class Paged:
    """A model in our own decoder, and the keys and values of its sequences in ``kv_bytes``, taken at once."""

    together = True
    whole_prompts = False
    budget: int | None = BUDGET
    guesses = False
    """What follows a token is begun before the token is known: there is no guessing in between."""

    def __init__(
        self,
        decoder: Decoder,
        kv_bytes: int,
        *,
        attention: Attention | None = None,
        capture: Capture | None = None,
        overlap: bool = True,
    ) -> None:
        shape = decoder.shape
        self._decoder = decoder
        self._attention = attention or best(shape.head_dim, decoder.dtype, decoder.device)
        self._capture = capture or capture_on(decoder.device)
        self._passes: dict[tuple[int, int], tuple[Told, Work]] = {}
        self._overlap = overlap
        self._ahead: Ahead | None = None
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
        if self._ahead is not None:
            self._ahead.contexts.pop(context, None)
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

        ahead, self._ahead = self._ahead, None
        with torch.inference_mode():
            logits = self._computed(pieces) if ahead is None else self._with(ahead, pieces)
        for piece in pieces:
            piece.context.computed = piece.end
        return logits

    def _computed(self, pieces: Sequence[Piece]) -> Tensor:
        runs = [Run(piece.ids, piece.context.computed, piece.context.home) for piece in pieces]
        ends = accumulate(piece.size for piece in pieces)
        wanted = [row for piece, end in zip(pieces, ends, strict=True) for row in range(end - piece.wanted, end)]
        return self._decoder.logits(self._only(self._rows(runs), wanted))

    def _with(self, ahead: Ahead, pieces: Sequence[Piece]) -> Tensor:
        """What has been computed ahead, and in the other pieces' places what is computed now."""
        import torch

        found = [ahead.row(piece) for piece in pieces]
        rest = [piece for piece, row in zip(pieces, found, strict=True) if row is None]
        if not rest:
            return self._only(ahead.logits, [row for row in found if row is not None])
        logits, new = self._computed(rest), len(ahead.logits)
        wanted: list[int] = []
        for piece, row in zip(pieces, found, strict=True):
            wanted += [row] if row is not None else range(new, new + piece.wanted)
            new += 0 if row is not None else piece.wanted
        return self._only(torch.cat([ahead.logits, logits]), wanted)

    def _only(self, rows: Tensor, wanted: list[int]) -> Tensor:
        import torch

        return rows if wanted == [*range(len(rows))] else rows[uploaded(wanted, rows.device, torch.long)]

    def pick(self, contexts: Sequence[Context], samplers: Sequence[Sampler], logits: Tensor) -> list[int | None]:
        """The next token of each of ``contexts``. What follows it is begun meanwhile."""
        import torch

        rows = [n for n, context in enumerate(contexts) if self._may_go_on(context)] if self._overlap else []
        self._ahead = None
        with torch.inference_mode():
            chosen = choose(samplers, logits)
            download = Download(chosen)
            if 0 < len(rows) <= ROWS:
                with suppress(Exception):  # it is only there to save time
                    self._ahead = self._go_ahead([contexts[n] for n in rows], self._only(chosen, rows))
            tokens = download.wait()
            for sampler, token in zip(samplers, tokens, strict=True):
                if sampler.adjusts and token >= 0:
                    sampler.saw(token)
        if self._ahead is not None:
            self._ahead.tokens = [tokens[n] for n in rows]
        return [token if token >= 0 else None for token in tokens]

    def _go_ahead(self, contexts: Sequence[Context], ids: Tensor) -> Ahead:
        """Begin to compute what follows one more id of each context; only the device knows the ids yet."""
        runs = [Run([0], context.computed, context.home) for context in contexts]
        logits = self._decoder.logits(self._short(runs, ids.clamp_min(0)))
        return Ahead({context: n for n, context in enumerate(contexts)}, [run.start for run in runs], logits)

    def _may_go_on(self, context: Context) -> bool:
        """Whether one more id is all that a context may be about to get, and there is room for it."""
        return context.home is not None and not context.todo and not context.guesses and self._has_room(context)

    def _has_room(self, context: Context) -> bool:
        """Whether a context has a page for one more id, or gets one that is free."""
        if context.computed < len(context.home) * self.pool.page:
            return True
        number = self.pool.take()
        context.home += [] if number is None else [number]
        return number is not None

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

    def _short(self, rows: Sequence[Run], ids: Tensor | None = None) -> Tensor:
        """Single rows, in a graph for the next larger batch; with ``ids`` in the place of theirs."""
        size = (batch(len(rows)), self._attention.width(max(len(row.table) for row in rows)))
        told, work = self._passes.get(size) or self._new_pass(*size)
        told.tell(rows, self.pool.page)
        if ids is not None:
            told.ids[: len(rows)] = ids
        return work()[: len(rows)]

    def _new_pass(self, rows: int, width: int) -> tuple[Told, Work]:
        told = Told.blank([1] * rows, width, self._decoder.device)
        told.tell([], self.pool.page)
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
