"""One forward pass over paged memory: what it is told, as tensors of fixed places, and what its rows attend to.

There are two ways to attend. ``Gathered`` is the plain one, for any device: it collects the pages of a sequence and
attends to them. ``Varlen`` is the kernel of torch on CUDA, which reads pages where they are. They take the same and
give the same; what ``Gathered`` does is what ``Varlen`` has to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from llmsdk_providers.local.attention import attend_rows, attention, causal
from llmsdk_providers.local.transfers import upload

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """Some ids of one sequence: where they stand, and the pages of the sequence up to there."""

    ids: Sequence[int]
    start: int
    table: Sequence[int]

    @property
    def end(self) -> int:
        return self.start + len(self.ids)

    def slots(self, page: int) -> list[int]:
        """Where the keys and values of each id go, counted in tokens over all pages."""
        return [self.table[place // page] * page + place % page for place in range(self.start, self.end)]

    def rows(self) -> list[Run]:
        """The same, an id at a time. They may be computed together: each sees what those before it have written."""
        return [Run([token], self.start + n, self.table) for n, token in enumerate(self.ids)]


@dataclass(frozen=True, slots=True)
class Told:
    """What a pass over runs is told, on the device, where it stays from pass to pass.

    ``sizes`` are the rows of each run, and ``width`` the pages that a table has room for.
    """

    sizes: tuple[int, ...]
    width: int
    numbers: Tensor
    """All of it, int32."""

    @classmethod
    def blank(cls, sizes: Sequence[int], width: int, device: torch.device) -> Told:
        """With nothing told yet."""
        import torch

        size = 3 * sum(sizes) + len(sizes) * (2 + width) + 1
        return cls(tuple(sizes), width, torch.zeros(size, dtype=torch.int32, device=device))

    def tell(self, runs: Sequence[Run], page: int) -> None:
        """Write what is to be computed, in one copy. Rows that are left over fill up."""
        import torch

        spare = sum(self.sizes) - sum(len(run.ids) for run in runs)
        assert [len(run.ids) for run in runs] == list(self.sizes[: len(runs)])
        assert spare == len(self.sizes) - len(runs)
        filling = [0] * spare
        told = [
            *[token for run in runs for token in run.ids], *filling,
            *[place for run in runs for place in range(run.start, run.end)], *filling,
            *[slot for run in runs for slot in run.slots(page)], *filling,
            *[run.end for run in runs], *[1] * spare,
            0, *accumulate(self.sizes),
            *[number for run in runs for number in [*run.table, *[0] * self.width][: self.width]],
            *filling * self.width,
        ]  # fmt: skip
        upload(torch.tensor(told, dtype=torch.int32), self.numbers)

    @property
    def ids(self) -> Tensor:
        return self._parts()[0]

    @property
    def positions(self) -> Tensor:
        return self._parts()[1]

    @property
    def slots(self) -> Tensor:
        """Where each row's keys and values go."""
        return self._parts()[2]

    @property
    def ends(self) -> Tensor:
        """How many tokens of its sequence the last row of each run sees."""
        return self._parts()[3]

    @property
    def borders(self) -> Tensor:
        """Where the rows of each run begin, and at the end where the last one ends."""
        return self._parts()[4]

    @property
    def tables(self) -> Tensor:
        """``[runs, width]``"""
        return self._parts()[5].view(len(self.sizes), self.width)

    @property
    def longest(self) -> int:
        """Rows of a run at most."""
        return max(self.sizes)

    def _parts(self) -> Sequence[Tensor]:
        rows, runs = sum(self.sizes), len(self.sizes)
        parts: Sequence[Tensor] = self.numbers.split([rows, rows, rows, runs, runs + 1, runs * self.width])
        return parts


class Attention(Protocol):
    """How rows attend to pages."""

    page: int
    """Tokens of a page."""

    def width(self, pages: int) -> int:
        """The width of a table for sequences of at most so many pages. Each width is another graph."""
        ...

    def __call__(self, query: Tensor, kv: Tensor, told: Told, window: int | None) -> Tensor:
        """``query`` and the result are ``[rows, kv_heads, group, head_dim]``, and ``kv`` is
        ``[pages, page, 2, kv_heads, head_dim]``, in which the rows' own keys and values are already."""
        ...


class Gathered:
    """Pages collected, and torch's own attention over them: plain, on any device, in any dtype."""

    def __init__(self, page: int = 32) -> None:
        self.page = page

    def width(self, pages: int) -> int:
        """A power of two, since all of a table is collected."""
        return 1 << (pages - 1).bit_length()

    def __call__(self, query: Tensor, kv: Tensor, told: Told, window: int | None) -> Tensor:
        import torch

        if told.longest == 1:
            return self._singles(query, kv, told, window)
        ends, parts = told.ends.tolist(), query.split(list(told.sizes))
        runs = [self._run(*run, window) for run in zip(parts, (kv[table] for table in told.tables), ends, strict=True)]
        return torch.cat(runs)

    def _run(self, query: Tensor, pages: Tensor, end: int, window: int | None) -> Tensor:
        """Rows of one sequence, of which the last sees ``end`` tokens."""
        import torch

        cache = pages.flatten(0, 1)[:end].permute(1, 2, 0, 3)[:, :, :, None]
        mask = causal(torch.arange(end - len(query), end, device=query.device), end, window, query)
        return attend_rows(query, cache, mask)

    def _singles(self, query: Tensor, kv: Tensor, told: Told, window: int | None) -> Tensor:
        """A row of each sequence. Nothing here depends on anything but the numbers in ``told``."""
        import torch

        places = torch.arange(told.width * self.page, device=kv.device)
        ends = told.ends[:, None]
        hidden = places >= ends
        # What is in a page behind its sequence may be a NaN, which would get through any mask.
        cache = kv[told.tables].flatten(1, 2).masked_fill_(hidden[:, :, None, None, None], 0)
        if window is not None:
            hidden = hidden | (places < ends - window)
        keys, values = cache.permute(2, 0, 3, 1, 4)
        return attention(
            query, keys, values, query.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None, None]
        )


class Varlen:
    """``torch.nn.attention.varlen``: flash attention that reads pages where they are. CUDA only.

    Of torch 2.13's own kernel the source says: bfloat16 or float16, from compute capability 8.0, heads of at most 256
    numbers and a multiple of 8, pages of a multiple of 256 tokens, int32 tables, and borders for the keys too, which
    must be there although the tables say it all. A query is aligned with the end of its sequence.
    """

    page = 256

    def width(self, pages: int) -> int:
        """16, 64, 256 ...: the kernel reads no more of a table than a sequence has."""
        return 16 << max(0, (pages - 1).bit_length() - 3) // 2 * 2

    def __call__(self, query: Tensor, kv: Tensor, told: Told, window: int | None) -> Tensor:
        import torch
        from torch.nn.attention.varlen import varlen_attn

        most = told.width * self.page
        keys, values = kv.unbind(2)
        seen = varlen_attn(
            query.flatten(1, 2),
            keys,
            values,
            told.borders,
            torch.arange(0, most * len(told.sizes) + 1, most, dtype=torch.int32, device=kv.device),
            told.longest,
            most,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=True,
            seqused_k=told.ends,
            block_table=told.tables,
            num_splits=1,  # or what a row computes would depend on who runs beside it
        )
        assert isinstance(seen, torch.Tensor)
        return seen.view_as(query)


def best(head_dim: int, dtype: torch.dtype, device: torch.device) -> Attention:
    """The kernel where it can, else the plain way."""
    import torch

    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or head_dim % 8 or head_dim > 256:
        return Gathered()
    return Varlen() if torch.cuda.get_device_capability(device) >= (8, 0) else Gathered()
