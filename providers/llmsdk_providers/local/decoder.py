"""Our own forward pass: one pre-norm decoder for all families that differ only in flags, over rows of many sequences.

It computes what the module of transformers computes, in the same order, with fewer and larger operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from llmsdk_providers.local.attention import Attend, Crew, in_turn
from llmsdk_providers.local.shape import Shape, frequencies
from llmsdk_providers.local.weights import Layer, Weights

if TYPE_CHECKING:
    from torch import Tensor


class Decoder:
    """A model's weights and how to run them."""

    def __init__(self, shape: Shape, weights: Weights, config: Any) -> None:
        self.shape = shape
        self.dtype = weights.norm.dtype
        self._weights = weights
        self.device = weights.embeddings.device
        found, self._scale = frequencies(config)
        self._frequencies = found.to(self.device)

    def run(self, crews: Sequence[Crew], wanted: Sequence[int]) -> Tensor:
        """Compute all rows of ``crews``, in order, and give the float32 logits of those ``wanted``, in that order."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([token for crew in crews for token in crew.ids])
            positions = torch.tensor([place for crew in crews for place in crew.positions])
            ends = accumulate(len(crew.ids) for crew in crews)
            kept = [row for crew, end in zip(crews, ends, strict=True) for row in range(end - crew.kept, end)]
            given = None if len(kept) == len(ids) else torch.tensor(kept, dtype=torch.long, device=self.device)
            rows = self.rows(ids.to(self.device), positions.to(self.device), in_turn(crews), given)
            if list(wanted) != kept:
                places = {row: place for place, row in enumerate(kept)}
                rows = rows[torch.tensor([places[row] for row in wanted], dtype=torch.long)]
            return self.logits(rows)

    def rows(self, ids: Tensor, positions: Tensor, attend: Attend, kept: Tensor | None = None) -> Tensor:
        """What comes out of the last layer, ``[rows, hidden]``, of ids at their positions; only of those ``kept``.

        Of all others the last layer has no more to do than keys and values.
        """
        import torch

        x = self._weights.embeddings[ids].to(self.dtype)
        rotation = self._rotation(positions)
        for number, layer in enumerate(self._weights.layers):
            query, kv = self._query_kv(layer, self._norm(x, layer.attention_norm), rotation)
            if kept is not None and number == len(self._weights.layers) - 1:
                query, x = query[kept], x[kept]
            seen = attend(number, query, kv, self.shape.windows[number])
            if not len(x):
                break
            x = x + layer.out(seen.reshape(len(x), -1))
            gate, up = layer.gate_up(self._norm(x, layer.mlp_norm)).chunk(2, -1)
            x = x + layer.down(torch.nn.functional.silu(gate) * up)
        return x

    def logits(self, rows: Tensor) -> Tensor:
        """The float32 logits of what follows ``rows``."""
        return self._weights.head(self._norm(rows, self._weights.norm)).float()

    def _query_kv(self, layer: Layer, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Queries ``[rows, kv_heads, group, head_dim]``; keys and values ``[rows, 2, kv_heads, head_dim]``."""
        import torch

        shape = self.shape
        heads = layer.qkv(x).view(len(x), -1, shape.head_dim)
        turned, values = heads.split([shape.heads + shape.kv_heads, shape.kv_heads], 1)
        if layer.qk_norm is not None:
            turned = torch.rms_norm(turned, (shape.head_dim,), None, shape.eps) * layer.qk_norm
        cosine, sine = rotation
        turned = turned * cosine + turned.roll(shape.head_dim // 2, -1) * sine
        query, keys = turned.split([shape.heads, shape.kv_heads], 1)
        return query.unflatten(1, (shape.kv_heads, shape.group)), torch.stack([keys, values], 1)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for each position, ``[rows, 1, head_dim]``; the sine's first half has the other sign."""
        import torch

        angles = positions[:, None, None].float() * self._frequencies
        cosine, sine = (angles.cos() * self._scale).to(self.dtype), (angles.sin() * self._scale).to(self.dtype)
        return torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        import torch

        return torch.rms_norm(x, (self.shape.hidden,), weight, self.shape.eps)
