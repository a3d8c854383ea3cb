"""Texts that have been computed before, as a tree of pages: whoever begins like one of them begins where it ends.

A page is some ids with their keys and values, and a branch of the tree is a text. How the keys and values are kept is
the affair of a ``Store``: copied, or shared. The least recently used page goes first, and leaves go before what they
hang from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from llmsdk_providers.local.context import Context, common

Ids = tuple[int, ...]


class Store(Protocol):
    """Where the keys and values of the tree are."""

    page: int
    """Ids of a page."""
    parts: bool
    """Pages that are not full are kept too."""

    def room(self) -> bool:
        """Whether one more page can be kept."""
        ...

    def keep(self, context: Context, start: int, end: int) -> Any:
        """What a context has computed from ``start``, where a page begins, to ``end``."""
        ...

    def lend(self, context: Context, kept: Sequence[Any], size: int) -> int:
        """Give a context that has nothing computed the first ``size`` ids of kept pages; how many it was given."""
        ...

    def drop(self, kept: Any) -> None:
        """Let go of a kept page."""
        ...


@dataclass(slots=True, eq=False)
class Page:
    """A page of a text, and the pages that have followed it. One that is not full has none."""

    ids: Ids
    kept: Any = field(repr=False)
    before: Page | None = field(repr=False)
    after: dict[Ids, Page] = field(default_factory=dict, repr=False)


class Prefixes:
    """The tree."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._first: dict[Ids, Page] = {}
        self._order: dict[Page, None] = {}
        """All pages, the least recently used first; each before the page that it hangs from."""

    def __len__(self) -> int:
        return len(self._order)

    def known(self, ids: Sequence[int]) -> int:
        """How many of the first ids stand in the tree."""
        return self._found(ids)[1]

    def lend(self, context: Context) -> None:
        """Give a context that has nothing computed what is known of it; the last id stays to be computed."""
        path, size = self._found(context.ids)
        size = min(size, len(context.ids) - 1)
        if size > 0:
            self._touch(path)
            context.computed = self._store.lend(context, [page.kept for page in path], size)

    def keep(self, context: Context) -> None:
        """Keep the pages that a context has computed, as far as memory reaches."""
        ids, size = context.ids[: context.computed], self._store.page
        path = list(self._walk(ids))
        self._touch(path)
        for start in range(len(path) * size, len(ids) if self._store.parts else len(ids) - size + 1, size):
            end = min(start + size, len(ids))
            before = path[-1] if path else None
            if self._covered(before, ids[start:end]) or not self._make_room(path):
                break
            page = Page(tuple(ids[start:end]), self._store.keep(context, start, end), before)
            self._forget_parts(before, page.ids)
            self._after(before)[page.ids] = page
            path.append(page)
            self._touch(path)

    def drop(self) -> bool:
        """Forget the page that was used least recently; whether there was one."""
        page = next(iter(self._order), None)
        if page is not None:
            self._forget(page)
        return page is not None

    def _forget(self, page: Page) -> None:
        assert not page.after
        del self._after(page.before)[page.ids], self._order[page]
        self._store.drop(page.kept)

    def _after(self, page: Page | None) -> dict[Ids, Page]:
        return self._first if page is None else page.after

    def _covered(self, before: Page | None, ids: Sequence[int]) -> bool:
        """Whether a page that is not full says nothing new."""
        return len(ids) < self._store.page and any(common(page.ids, ids) == len(ids) for page in self._next(before))

    def _forget_parts(self, before: Page | None, ids: Ids) -> None:
        """Forget what a longer page says as well."""
        for page in [page for page in self._next(before) if common(page.ids, ids) == len(page.ids)]:
            self._forget(page)

    def _next(self, before: Page | None) -> Iterator[Page]:
        return iter(self._after(before).values())

    def _make_room(self, path: Sequence[Page]) -> bool:
        """Room for one more page, if need be in the place of others; not of those that it hangs from."""
        return self._store.room() or (next(iter(self._order), None) not in path and self.drop())

    def _found(self, ids: Sequence[int]) -> tuple[list[Page], int]:
        """The pages that begin most like ``ids``, and how many ids they have in common."""
        path = list(self._walk(ids))
        size = len(path) * self._store.page
        rest = ids[size : size + self._store.page]
        pages = [(common(page.ids, rest), page) for page in self._next(path[-1] if path else None)]
        more, page = max(pages, key=lambda one: one[0], default=(0, None))
        return (path, size) if page is None or more == 0 else ([*path, page], size + more)

    def _walk(self, ids: Sequence[int]) -> Iterator[Page]:
        after, size = self._first, self._store.page
        for start in range(0, len(ids) - size + 1, size):
            page = after.get(tuple(ids[start : start + size]))
            if page is None:
                return
            yield page
            after = page.after

    def _touch(self, path: Sequence[Page]) -> None:
        for page in reversed(path):
            self._order.pop(page, None)
            self._order[page] = None
