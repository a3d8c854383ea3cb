"""Attention of the rows of one forward pass to what they may see: three kinds of company, one interface.

Rows that belong together are a *crew*. For every layer it is given the queries, keys and values of its rows, writes
keys and values to where they stay, and gives back what its rows attended to. The heads of a group share keys and
values: they are always a dimension of the queries, so that keys are read once and never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from llmsdk_providers.local.arena import Arena, Slot
from llmsdk_providers.local.context import Piece

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 64
"""Of a prompt that attend at a time. What none of them sees is left out, which torch's kernel does not do by itself."""


SPARED = 1024
"""Tokens of keys and values that need not be read, from which on it pays to attend to a shared beginning once."""


class Crew(Protocol):
    """Rows that attend together."""

    @property
    def ids(self) -> Sequence[int]: ...

    @property
    def positions(self) -> Sequence[int]: ...

    @property
    def kept(self) -> int:
        """How many of the last rows may be wanted. In the last layer only these attend."""
        ...

    def attend(self, layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
        """``query`` is ``[rows, kv_heads, group, head_dim]``, as is the result; ``kv`` is
        ``[rows, 2, kv_heads, head_dim]``. There are queries of all rows, or of the last ``kept``."""
        ...


Attend = Callable[[int, "Tensor", "Tensor", "int | None"], "Tensor"]
"""``Crew.attend``, for all rows of a pass."""


def in_turn(crews: Sequence[Crew]) -> Attend:
    """Each crew with its own rows, which stand one behind the other."""
    import torch

    sizes, kept = [len(crew.ids) for crew in crews], [crew.kept for crew in crews]

    def attend(layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
        queries = query.split(sizes if len(query) == len(kv) else kept)
        rows = zip(crews, queries, kv.split(sizes), strict=True)
        return torch.cat([crew.attend(layer, asked, own, window) for crew, asked, own in rows])

    return attend if len(crews) > 1 else crews[0].attend


class Decodes:
    """One row each of several sequences of one arena: a single call over a plain view of all its slots.

    Where all begin alike for long, with instructions or a document, another call attends to that beginning once for all
    of them, in the slot of one, and the first only to what each has of its own.
    """

    def __init__(self, arena: Arena, pieces: Sequence[Piece]) -> None:
        import torch

        self.pieces = sorted(pieces, key=lambda piece: piece.context.home.index)
        self.ids = [piece.ids[0] for piece in self.pieces]
        self.kept = len(self.ids)
        self.positions = [piece.context.computed for piece in self.pieces]
        self._arena = arena
        self._used = len(arena.owners)
        self._slots = torch.tensor([piece.context.home.index for piece in self.pieces])
        self._at = torch.tensor(self.positions)
        self._reach = max(self.positions) + 1
        shared = arena.shared([piece.context for piece in self.pieces])
        self._shared = shared if shared * (self.kept - 1) >= SPARED else 0
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
        cache = self._arena.kv[layer]
        cache[self._slots, :, :, self._at] = kv
        if self._shared and window is None:
            return self._in_two(query, cache)
        own = cache[: self._used, :, :, : self._reach]
        return self._of_rows(attention(self._of_slots(query), own[:, 0], own[:, 1], self._mask(query, window)))

    def _in_two(self, query: Tensor, cache: Tensor) -> Tensor:
        """The shared beginning, in the slot of the first, for all rows at once; and what each has of its own."""
        import torch

        start, own = cache[self.pieces[0].context.home.index], cache[: self._used, :, :, self._shared : self._reach]
        together = query.transpose(0, 1).flatten(1, 2)[None]
        parts = weighed(together, start[None, 0, :, : self._shared], start[None, 1, :, : self._shared])
        seen, weight = (part[0].unflatten(1, (len(query), -1)).transpose(0, 1) for part in parts)
        mask = self._mask(query, None, self._shared)
        rest, heavier = map(self._of_rows, weighed(self._of_slots(query), own[:, 0], own[:, 1], mask))
        return torch.lerp(seen, rest, torch.sigmoid(heavier - weight)[..., None].to(rest.dtype))

    def _of_slots(self, query: Tensor) -> Tensor:
        """Of all slots in use, with zeros for those without a row."""
        if len(query) == self._used:
            return query
        return query.new_zeros(self._used, *query.shape[1:]).index_copy_(0, self._slots, query)

    def _of_rows(self, found: Tensor) -> Tensor:
        return found if len(self.pieces) == self._used else found[self._slots]

    def _mask(self, like: Tensor, window: int | None, start: int = 0) -> Tensor:
        """``[slots, 1, 1, places from start on]``; a slot without a row sees the first, so that all numbers are
        numbers."""
        import torch

        if window not in self._masks:
            ends = torch.zeros(self._used, dtype=torch.long).index_copy_(0, self._slots, self._at - start)
            self._masks[window] = causal(ends, self._reach - start, window, like)[:, None, None]
        return self._masks[window]


class Chunk:
    """Several rows of one sequence, each of which sees those before it."""

    def __init__(self, piece: Piece) -> None:
        self.pieces = [piece]
        self.ids = piece.ids
        self.positions = range(piece.context.computed, piece.end)
        self.kept = piece.wanted
        self._slot: Slot = piece.context.home
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def attend(self, layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
        import torch

        cache = self._slot.arena.kv[layer][self._slot.index]
        cache[:, :, self.positions.start : self.positions.stop] = kv.permute(1, 2, 0, 3)
        if not len(query):
            return query
        first = self.positions.stop - len(query)
        blocks = [self._block(first + n * ROWS, rows, cache, window) for n, rows in enumerate(query.split(ROWS))]
        return torch.cat(blocks) if len(blocks) > 1 else blocks[0]

    def _block(self, start: int, query: Tensor, cache: Tensor, window: int | None) -> Tensor:
        """A few rows from ``start`` on, given what one of them sees at least."""
        import torch

        end = start + len(query)
        begin = 0 if window is None else max(0, start - window + 1)
        cache = cache[:, :, begin:end]
        if len(query) == 1:
            return attention(query, cache[None, 0], cache[None, 1], None)
        if start == 0 and (window is None or window >= end):
            return attend_rows(query, cache[:, :, :, None], None, causal=True)
        if (start, window) not in self._masks:
            self._masks[start, window] = causal(torch.arange(start - begin, end - begin), end - begin, window, query)
        return attend_rows(query, cache[:, :, :, None], self._masks[start, window])


class Branches:
    """Several continuations of one sequence, packed in one row after another: each sees the sequence and itself.

    Nothing is kept of them.
    """

    def __init__(self, past: int, rows: Sequence[Sequence[int]], kept: Callable[[int], Tensor]) -> None:
        """``kept`` gives the keys and values of a layer for the ``past`` ids: ``[2, kv_heads, past, head_dim]``."""
        self.ids = [token for row in rows for token in row]
        self.kept = len(self.ids)
        self.positions = [past + n for row in rows for n in range(len(row))]
        self._past = past
        self._kept = kept
        self._rows = rows
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, layer: int, query: Tensor, kv: Tensor, window: int | None) -> Tensor:
        import torch

        whole = torch.cat([self._kept(layer), kv.permute(1, 2, 0, 3)], 2)
        return attend_rows(query, whole[:, :, :, None], self._mask(query, window))

    def _mask(self, like: Tensor, window: int | None) -> Tensor:
        import torch

        if window not in self._masks:
            ends = torch.tensor(self.positions, device=like.device)
            past = causal(ends, self._past, window, like)
            own = torch.block_diag(*(torch.ones(len(row), len(row)) for row in self._rows)).bool().to(like.device)
            far = ends[:, None] - ends >= (window or len(ends) + self._past)
            hidden = ~own | (ends[:, None] < ends) | far
            self._masks[window] = torch.cat([past, like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)], 1)
        return self._masks[window]


def causal(ends: Tensor, reach: int, window: int | None, like: Tensor) -> Tensor:
    """``[rows, reach]`` to add to the scores: a row sees up to the place where it stands, at most ``window`` back."""
    import torch

    places = torch.arange(reach, device=ends.device)
    hidden = places > ends[:, None]
    if window is not None:
        hidden |= places <= ends[:, None] - window
    return like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)


def attend_rows(query: Tensor, cache: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """All rows of one sequence. ``cache`` is ``[2, kv_heads, tokens, 1, head_dim]``; ``causal`` if that is all."""
    heads = query.permute(1, 2, 0, 3)
    keys, values = cache.transpose(2, 3).expand(-1, -1, query.shape[2], -1, -1)
    return attention(heads, keys, values, mask, causal=causal).permute(2, 0, 1, 3)


def attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    import torch

    return torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal)


def weighed(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention as above, and the logarithm of what its softmax divided by: by that two parts of a whole are put
    together."""
    import torch

    found, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, keys, values, attn_mask=mask)
    return found, weight


def crews(pieces: Sequence[Piece]) -> list[Decodes | Chunk]:
    """The pieces in company: single rows by arena, where they are at least half of its sequences."""
    singles: dict[int, list[Piece]] = {}
    for piece in pieces:
        if piece.size == 1:
            singles.setdefault(id(piece.context.home.arena), []).append(piece)
    found: list[Decodes | Chunk] = []
    alone = [piece for piece in pieces if piece.size > 1]
    for group in singles.values():
        arena: Arena = group[0].context.home.arena
        if len(group) > 1 and 2 * len(group) >= len(arena.owners):
            found.append(Decodes(arena, group))
        else:
            alone += group
    return [*found, *(Chunk(piece) for piece in alone)]
