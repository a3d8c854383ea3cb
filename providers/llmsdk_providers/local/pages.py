"""Keys and values in pages, for a device where all memory is taken at once and nothing ever moves.

A sequence is a list of page numbers, its *block table*; its id number ``n`` lies in page ``n // page``. A page belongs
to as many as use it: to the sequences whose table it is in, and to the tree of known texts. Who shares a page only
reads it: full pages are shared, and of one that is not full the beginning is copied. Behind what a sequence has
computed a page may hold anything, and nobody reads it.

Page 0 belongs to nobody. Rows that only fill up a batch read and write there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmsdk_providers.local.context import Context

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Book:
    """What a page takes: ``page`` tokens of ``2 x kv_heads x head_dim`` numbers in every layer."""

    page: int
    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def page_bytes(self) -> int:
        size: int = self.dtype.itemsize
        return self.page * self.layers * 2 * self.kv_heads * self.head_dim * size

    def empty(self, pages: int) -> Tensor:
        """Of one layer ``[pages, page, 2, kv_heads, head_dim]``."""
        import torch

        size = (pages, self.page, 2, self.kv_heads, self.head_dim)
        return torch.empty(size, dtype=self.dtype, device=self.device)


class Pool:
    """All pages of a model, ``limit`` and the one that belongs to nobody."""

    parts = True

    def __init__(self, book: Book, limit: int) -> None:
        self.page = book.page
        self.limit = limit
        self.kv = [book.empty(limit + 1) for _ in range(book.layers)]
        self._uses = [0] * (limit + 1)
        self._free = list(range(limit, 0, -1))

    @property
    def free(self) -> int:
        """Pages that nobody uses."""
        return len(self._free)

    def take(self) -> int | None:
        """A page for one more user, if one is free."""
        if not self._free:
            return None
        number = self._free.pop()
        self._uses[number] = 1
        return number

    def share(self, number: int) -> int:
        """One more user of a page."""
        self._uses[number] += 1
        return number

    def drop(self, kept: int) -> None:
        """One user of a page less."""
        self._uses[kept] -= 1
        if not self._uses[kept]:
            self._free.append(kept)

    # --- as the store of a tree ---------------------------------------------------------------------------------

    def room(self) -> bool:
        """Always: a page is shared with who computed it."""
        return True

    def keep(self, context: Context, start: int, end: int) -> int:
        """The page of a context that begins at ``start``. What is in it stays as it is, up to ``end`` at least."""
        home: list[int] = context.home
        return self.share(home[start // self.page])

    def lend(self, context: Context, kept: Sequence[int], size: int) -> int:
        """Share the full pages of the first ``size`` ids, and copy the rest if a page is free."""
        whole, rest = divmod(size, self.page)
        context.home += [self.share(number) for number in kept[:whole]]
        if not rest or (own := self.take()) is None:
            return whole * self.page
        for kv in self.kv:
            kv[own, :rest] = kv[kept[whole], :rest]
        context.home.append(own)
        return size
