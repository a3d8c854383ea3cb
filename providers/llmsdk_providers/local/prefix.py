"""Texts that have been computed before, as a tree of pages: whoever begins like one of them begins where it ends.

A page is ``PAGE`` ids with their keys and values, and a branch of the tree is a text. On the CPU a hit is a copy into
the slot of the new sequence, which is little beside computing it; so no running sequence refers to a page, and a page
can be dropped at any time. The least recently used goes first, and leaves go before what they hang from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmsdk_providers.local.arena import PAGE, Memory
from llmsdk_providers.local.context import Context

if TYPE_CHECKING:
    from torch import Tensor

Ids = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Page:
    """A page of a text, and the pages that have followed it."""

    ids: Ids
    kv: list[Tensor] = field(repr=False)
    """Of each layer ``[2, kv_heads, PAGE, head_dim]``."""
    before: Page | None = field(repr=False)
    after: dict[Ids, Page] = field(default_factory=dict, repr=False)


class Prefixes:
    """The tree. Its pages are counted in ``memory``."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._first: dict[Ids, Page] = {}
        self._order: dict[Page, None] = {}
        """All pages, the least recently used first; each before the page that it hangs from."""

    def __len__(self) -> int:
        return len(self._order)

    def known(self, ids: Sequence[int]) -> int:
        """How many of the first ids stand in whole pages of the tree."""
        return PAGE * sum(1 for _ in self._walk(ids))

    def lend(self, context: Context) -> None:
        """Copy what is known of a context, which has a slot and nothing computed; the last id stays to be computed."""
        import torch

        path = list(self._walk(context.ids))
        size = len(path) * PAGE
        if (more := self._closest(path[-1].after if path else self._first, context.ids[size:])) is not None:
            path.append(more[0])
            size += more[1]
        size = min(size, len(context.ids) - 1)
        if size > 0:
            self._touch(path)
            for number, kv in enumerate(context.home.layers()):
                kv[:, :, :size] = torch.cat([page.kv[number] for page in path], 2)[:, :, :size]
            context.computed = size

    def keep(self, context: Context) -> None:
        """Copy the whole pages that a context has computed, as far as memory reaches."""
        path = list(self._walk(context.ids[: context.computed]))
        self._touch(path)
        for start in range(len(path) * PAGE, context.computed - PAGE + 1, PAGE):
            if self._memory.free < 1 and (next(iter(self._order), None) in path or not self.drop()):
                break
            before = path[-1] if path else None
            kv = [layer[:, :, start : start + PAGE].clone() for layer in context.home.layers()]
            page = Page(tuple(context.ids[start : start + PAGE]), kv, before)
            (self._first if before is None else before.after)[page.ids] = page
            self._memory.taken += 1
            path.append(page)
            self._touch(path)

    def drop(self) -> bool:
        """Forget the page that was used least recently; whether there was one."""
        page = next(iter(self._order), None)
        if page is None:
            return False
        assert not page.after
        del (self._first if page.before is None else page.before.after)[page.ids], self._order[page]
        self._memory.taken -= 1
        return True

    def _walk(self, ids: Sequence[int]) -> Iterator[Page]:
        after = self._first
        for start in range(0, len(ids) - PAGE + 1, PAGE):
            page = after.get(tuple(ids[start : start + PAGE]))
            if page is None:
                return
            yield page
            after = page.after

    def _closest(self, pages: dict[Ids, Page], ids: Sequence[int]) -> tuple[Page, int] | None:
        """The page that begins most like ``ids``, and how many ids they have in common."""
        found = [(common(page.ids, ids[:PAGE]), page) for page in pages.values()]
        size, page = max(found, key=lambda one: one[0], default=(0, None))
        return None if page is None or size == 0 else (page, size)

    def _touch(self, path: Sequence[Page]) -> None:
        for page in reversed(path):
            self._order.pop(page, None)
            self._order[page] = None


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two texts have in common at their beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
