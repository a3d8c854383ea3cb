"""Memory in pages of 2 MiB, where Linux gives them to those who ask.

For each token the weights are read from end to end. A processor that must look up the address of every 4 KiB of them
reads a fifth to a third more slowly. Finding and clearing them takes about two seconds for each gigabyte, once. Where
there are no such pages, memory is what it always is.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIZE = 2 << 20
LINE = 64
"""Bytes of a cache line, at the beginning of which a tensor begins."""
MAPS = Path("/proc/self/maps")
ADVISE = getattr(mmap, "MADV_HUGEPAGE", None)
COLLAPSE = 25
"""MADV_COLLAPSE, of Linux 6.1, which Python's mmap does not name."""

Region = range
"""Addresses."""


class Slab:
    """Room for tensors, one behind the other: each alone would leave part of its last page unused."""

    def __init__(self, shapes: Iterable[Sequence[int]], dtype: torch.dtype, device: torch.device | None) -> None:
        """For as many tensors as have these shapes, or fewer and larger ones."""
        import torch

        self.dtype = dtype
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._room = self._fresh(sum(map(self._taken, shapes)))
        self._used = 0

    def empty(self, shape: Sequence[int]) -> Tensor:
        """A tensor with whatever numbers; somewhere else if no room is left here."""
        start, size = self._used, prod(shape)
        if start + size > len(self._room):
            return self._fresh(size).view(shape)
        self._used += self._taken(shape)
        return self._room[start : start + size].view(shape)

    def _fresh(self, size: int) -> Tensor:
        """So many numbers in memory of their own."""
        size_bytes = size * self.dtype.itemsize
        large = self._like.device.type == "cpu" and size_bytes >= SIZE
        memory = _advised(size_bytes) if large else None
        return self._like.new_empty(size) if memory is None else memory.view(self.dtype)

    def _taken(self, shape: Sequence[int]) -> int:
        """Numbers, in whole cache lines."""
        line: int = LINE // self.dtype.itemsize
        return line * -(-prod(shape) // line)


def _advised(size: int) -> Tensor | None:
    """Memory that nobody has touched yet, in large pages when somebody does, and given back when nobody uses it."""
    import torch

    if ADVISE is None:
        return None
    try:
        memory = mmap.mmap(-1, size + SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(ADVISE)
    except OSError:  # too little memory, or a system without such pages: what follows will say so, or do
        return None
    room = torch.frombuffer(memory, dtype=torch.uint8)
    begin = -room.data_ptr() % SIZE
    return room[begin : begin + size]


@contextmanager
def collapsed() -> Iterator[None]:
    """Gather in large pages what the system gives this process meanwhile: for what others allocate and keep.

    Not what they find in memory that was freed before and not given back.
    Gathering is copying, on top of what large pages cost anyway.
    """
    before = _regions()
    yield
    for region in _regions():
        for new in _without(region, before):
            _collapse(new)


def _regions() -> list[Region]:
    """The memory of this process that belongs to no file, by address."""
    if ADVISE is None or not MAPS.exists():
        return []
    found = []
    for line in MAPS.read_text("utf-8", "replace").splitlines():
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            start, stop = addresses.split("-")
            found.append(range(int(start, 16), int(stop, 16)))
    return found


def _without(region: Region, others: Sequence[Region]) -> Iterator[Region]:
    """What of a region is in none of ``others``, which come by address and do not overlap."""
    start = region.start
    for other in others:
        if other.stop > start and other.start < region.stop:
            yield range(start, max(start, other.start))
            start = other.stop
    yield range(start, max(start, region.stop))


def _collapse(region: Region) -> None:
    """It is advice: whatever the system cannot do it leaves as it is, and nothing is read or written by it."""
    start, stop = -(-region.start // SIZE) * SIZE, region.stop // SIZE * SIZE
    if start < stop:
        advise = ctypes.CDLL(None).madvise
        for advice in (ADVISE, COLLAPSE):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), advice)
