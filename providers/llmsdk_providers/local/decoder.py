"""Our own forward pass: one pre-norm decoder for all families that differ only in flags, over rows of many sequences.

It computes what the module of transformers computes, in the same order, with fewer and larger operations.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        self.dtype = weights.embeddings.dtype
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
            rows = self.rows(ids.to(self.device), positions.to(self.device), in_turn(crews))
            if list(wanted) != list(range(len(ids))):
                rows = rows[torch.tensor(wanted, dtype=torch.long)]
            return self.logits(rows)

    def rows(self, ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """What comes out of the last layer, ``[rows, hidden]``, of ids at their positions."""
        import torch

        x = self._weights.embeddings[ids]
        rotation = self._rotation(positions)
        for number, layer in enumerate(self._weights.layers):
            query, kv = self._query_kv(layer, self._norm(x, layer.attention_norm), rotation)
            seen = attend(number, query, kv, self.shape.windows[number])
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
