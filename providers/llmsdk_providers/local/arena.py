"""Keys and values on the CPU: arenas of slots, one arena for each capacity, one slot for each sequence.

A capacity is a whole number of pages, each twice the one before. A sequence sits in the smallest slot that holds it and
moves when it outgrows it. The used slots of an arena stand together at its beginning, so that one attention call over a
plain view serves all of them: nothing is gathered.

Behind the tokens of a slot there is nothing but zeros. A mask hides what is there from the softmax, but a NaN that some
sequence left behind would get through any mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmsdk_providers.local.context import Context, common

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PAGE = 32
"""Tokens; the unit in which memory is counted."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What one token takes in the cache of one layer: ``2 x kv_heads x head_dim`` numbers."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def page_bytes(self) -> int:
        size: int = self.dtype.itemsize
        return PAGE * self.layers * 2 * self.kv_heads * self.head_dim * size

    def empty(self, slots: int, capacity: int) -> Tensor:
        """Room of one layer: ``[slots, 2, kv_heads, capacity, head_dim]``."""
        import torch

        return torch.empty(slots, 2, self.kv_heads, capacity, self.head_dim, dtype=self.dtype)


class Arena:
    """Slots of one capacity in tokens. ``kv[layer]`` is ``[slots, 2, kv_heads, capacity, head_dim]``."""

    def __init__(self, layout: Layout, capacity: int) -> None:
        self.capacity = capacity
        self.owners: list[Context] = []
        """By slot."""
        self._layout = layout
        self.kv = [layout.empty(0, capacity) for _ in range(layout.layers)]
        self._company: list[Context] = []
        self._shared = 0

    @property
    def slots(self) -> int:
        return len(self.kv[0])

    @property
    def spare(self) -> int:
        return self.slots - len(self.owners)

    def resize(self, slots: int) -> None:
        """Have so many slots, at least the used ones. A layer at a time, so that little is there twice.

        If memory runs out on the way, there are as many as every layer has.
        """
        used = len(self.owners)
        try:
            for number, old in enumerate(self.kv):
                new = self._layout.empty(slots, self.capacity)
                new[:used], new[used:] = old[:used], 0
                self.kv[number] = new
        finally:
            least = min(map(len, self.kv))
            self.kv = [kv[:least] for kv in self.kv]

    def shared(self, owners: Sequence[Context]) -> int:
        """How many of the first ids of all ``owners`` are the same, and computed."""
        if owners != self._company:  # the same ones step after step, and the beginnings of texts do not change
            first, *others = self._company = list(owners)
            size = min(owner.computed for owner in owners)
            self._shared = min((common(first.ids[:size], other.ids[:size]) for other in others), default=size)
        return self._shared

    def add(self, owner: Context) -> Slot:
        """Give a spare slot away."""
        self.owners.append(owner)
        return Slot(self, len(self.owners) - 1)

    def remove(self, slot: Slot) -> None:
        """Take a slot back: it is cleared, and the last one moves into the hole."""
        mover = self.owners.pop()
        last = len(self.owners)
        self._company = []
        moved: Slot = slot if slot.index == last else mover.home
        size = max(slot.reach, moved.reach)
        for kv in self.kv:
            if moved is not slot:
                kv[slot.index, :, :, :size] = kv[last, :, :, :size]
            kv[last, :, :, : moved.reach] = 0
        if moved is not slot:
            self.owners[slot.index] = mover
            moved.index = slot.index


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one sequence: ``arena.kv[layer][index]``."""

    arena: Arena
    index: int
    reach: int = 0
    """Tokens that it has ever been asked to have room for. Behind them nothing has been written."""

    def layers(self) -> Iterator[Tensor]:
        """Of each layer ``[2, kv_heads, capacity, head_dim]``."""
        return (kv[self.index] for kv in self.arena.kv)


@dataclass(slots=True)
class Memory:
    """Pages that keys and values may take in all, and take now; counted where they are allocated, in use or not."""

    limit: int
    taken: int = 0

    @property
    def free(self) -> int:
        return self.limit - self.taken


class Copies:
    """Keeps pages of a text as copies, which is little beside computing them.

    So no running sequence refers to one, and any can be dropped at any time.
    """

    page = PAGE
    parts = False

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def room(self) -> bool:
        return self._memory.free > 0

    def keep(self, context: Context, start: int, end: int) -> list[Tensor]:
        """Of each layer ``[2, kv_heads, PAGE, head_dim]``."""
        kept = [layer[:, :, start:end].clone() for layer in context.home.layers()]
        self._memory.taken += 1
        return kept

    def lend(self, context: Context, kept: Sequence[list[Tensor]], size: int) -> int:
        """Copy what is kept into the slot of a context."""
        import torch

        for number, kv in enumerate(context.home.layers()):
            kv[:, :, :size] = torch.cat([page[number] for page in kept], 2)[:, :, :size]
        return size

    def drop(self, kept: list[Tensor]) -> None:
        self._memory.taken -= 1


class Arenas:
    """All arenas of a model."""

    def __init__(self, layout: Layout, memory: Memory) -> None:
        self.memory = memory
        self._layout = layout
        self._arenas: dict[int, Arena] = {}

    def __iter__(self) -> Iterator[Arena]:
        return iter(self._arenas.values())

    @property
    def longest(self) -> int:
        """The most tokens that one sequence can have."""
        return self.memory.limit * PAGE

    def place(self, context: Context, tokens: int) -> bool:
        """See that ``context`` has a slot for ``tokens``, at most ``longest``; not if memory is short."""
        slot: Slot | None = context.home
        if slot is not None and slot.arena.capacity >= tokens:
            slot.reach = max(slot.reach, tokens)
            return True
        target = self._arena(tokens)
        if not target.spare and not self._grow(target):
            return False
        context.home = target.add(context)
        context.home.reach = tokens
        if slot is not None:
            for old, new in zip(slot.layers(), context.home.layers(), strict=True):
                new[:, :, : context.computed] = old[:, :, : context.computed]
            slot.arena.remove(slot)
        return True

    def release(self, context: Context) -> None:
        """Take the slot of ``context``, which has nothing computed then."""
        if context.home is not None:
            context.home.arena.remove(context.home)
        context.home, context.computed = None, 0

    def trim(self) -> None:
        """Give back the memory of all slots that nobody uses."""
        for arena in self:
            if arena.spare:
                self._resize(arena, len(arena.owners))

    def _arena(self, tokens: int) -> Arena:
        pages = min(1 << (-(-tokens // PAGE) - 1).bit_length(), self.memory.limit)
        if pages not in self._arenas:
            self._arenas[pages] = Arena(self._layout, pages * PAGE)
        return self._arenas[pages]

    def _grow(self, arena: Arena) -> bool:
        """One more slot, and half as many again where there is room, so that not every newcomer moves all others."""
        pages = arena.capacity // PAGE
        if self.memory.free < pages:
            self.trim()
        if self.memory.free < pages:
            return False
        self._resize(arena, arena.slots + min(1 + arena.slots // 2, self.memory.free // pages))
        return True

    def _resize(self, arena: Arena, slots: int) -> None:
        before = arena.slots
        try:
            arena.resize(slots)
        finally:
            self.memory.taken += (arena.slots - before) * arena.capacity // PAGE
