"""Paged models on the CPU, with graphs that forget Python as those of CUDA do, and memory that is poisoned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.graphs import Work
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.passes import Gathered

GARBAGE = 2**30
"""No index of anything."""


class Tape(TorchDispatchMode):
    """Notes what is done. What a graph of CUDA could not hold is an error here too."""

    never = ("_local_scalar_dense", "item", "is_nonzero", "equal", "lift_fresh", "nonzero", "masked_select")

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition("::")[2].partition(".")[0]
        wrong = name in self.never or (name == "index" and any(index.dtype == torch.bool for index in args[1]))
        assert not wrong, f"{name} takes something from Python, or gives it"
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result

    def play(self) -> None:
        """Do it all again, in the same memory."""
        for func, args, kwargs, result in self.steps:
            for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and not aliased(old, new):
                    old.copy_(new)


def aliased(one: Any, other: Any) -> bool:
    found: bool = one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return found


def taped(work: Work) -> Work:
    """A ``Capture`` as that of CUDA: operations on fixed memory, and of Python nothing but what was there at first."""
    work()
    with Tape() as tape:
        result = work()

    def repeat() -> torch.Tensor:
        tape.play()
        return result

    return repeat


class Harsh(Paged):
    """Whatever nobody should read holds garbage: new pages, freed pages, and what a pass is told, after the pass."""

    budget = None

    def __init__(
        self,
        decoder: Any,
        pages: int = 2000,
        page: int = 16,
        capture: Callable[[Work], Work] = taped,
        *,
        overlap: bool = True,
    ) -> None:
        size = page * decoder.shape.numbers_per_token * decoder.dtype.itemsize
        super().__init__(decoder, (pages + 1) * size, attention=Gathered(page), capture=capture, overlap=overlap)
        assert self.pool.limit == pages
        for kv in self.pool.kv:
            kv.fill_(torch.nan)
        drop = self.pool.drop

        def poisoned(kept: int) -> None:
            drop(kept)
            if not self.pool._uses[kept]:
                for kv in self.pool.kv:
                    kv[kept] = torch.nan

        self.pool.drop = poisoned  # type: ignore[method-assign]

    def forward(self, pieces: Sequence[Piece]) -> Any:
        found = super().forward(pieces)
        with torch.inference_mode():
            for told, _ in self._passes.values():
                told.numbers.fill_(GARBAGE)
        return found


def check(model: Paged, contexts: Sequence[Context]) -> None:
    """Every page is used by exactly those that have it, and by nobody if it is free."""
    pool = model.pool
    users = Counter(number for context in contexts for number in context.home or ())
    users.update(page.kept for page in model.prefixes._order)
    assert {number: uses for number, uses in enumerate(pool._uses) if uses} == users
    assert sorted([*pool._free, *users]) == list(range(1, pool.limit + 1))
