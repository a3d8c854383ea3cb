"""A small Llama for training on CPU: the arithmetic of transformers' ``LlamaForCausalLM``, its own loop-friendly form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from tokens import BEGIN, END, PAD
from torch import Tensor, nn

GUIDES, GUIDANCE = ((1, 1), (2, 1), (3, 2)), 0.5
"""Layers, how many of the first heads of each are told where to look, and how much that counts.

The first looks from each sentence of the documents to the number of its document. The second looks from a reply to the
end of the sentence that proves it, which alone has seen the whole sentence; the third to the words that the reply
repeats. Without them, finding the right sentence among similar ones is learnt last and takes several times as long."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the model."""

    vocabulary: int = 4096
    width: int = 192
    inner: int = 448
    layers: int = 5
    heads: int = 4
    theta: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


def rotation(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding at these positions (batch, length)."""
    steps = torch.arange(0, shape.head, 2, dtype=torch.float32) / shape.head
    angles = positions[..., None].float() * shape.theta**-steps
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


class Block(nn.Module):
    """Attention and a gated feed-forward, each behind a root-mean-square norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.before_attention = nn.RMSNorm(shape.width, shape.epsilon)
        self.before_feed = nn.RMSNorm(shape.width, shape.epsilon)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.gate_up = nn.Linear(shape.width, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The new states, and the queries and keys by which they were found."""
        batch, length, width = x.shape
        heads = self.qkv(self.before_attention(x)).view(batch, length, 3, self.shape.heads, self.shape.head)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.before_feed(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up), q, k


class Pocket(nn.Module):
    """The whole model; the output shares its weights with the input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.last = nn.RMSNorm(shape.width, shape.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 0.02 / (2 * shape.layers) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
                nn.init.normal_(weight, std=0.05 if name.startswith("embed") else scale * 2)

    def hidden(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last hidden state at every position, and the attention scores of the heads of each guide.

        ``mask`` is added to the attention scores.
        """
        cos, sin = rotation(self.shape, positions)
        x, scores, guides = self.embed(tokens), list[Tensor](), dict(GUIDES)
        for number, block in enumerate(self.blocks):
            x, q, k = block(x, cos, sin, mask)
            if number in guides:
                q, k = q[:, : guides[number]], k[:, : guides[number]]
                scores.append(q @ k.transpose(-1, -2) / self.shape.head**0.5 + mask)
        return self.last(x), scores

    def loss(self, tokens: Tensor, positions: Tensor, mask: Tensor, learnt: Learnt, looks: Iterable[Tensor]) -> Tensor:
        """Weighted mean of the cross-entropy of the targets, and of where the guided heads look.

        ``looks``, (3, n) for each guide, are rows, columns and the columns at which to look from there.
        """
        states, scores = self.hidden(tokens, positions, mask)
        logits = states.flatten(0, 1)[learnt.at] @ self.embed.weight.T
        each = functional.cross_entropy(logits, learnt.target, reduction="none")
        loss = (each * learnt.weight).sum() / learnt.weight.sum()
        return loss + GUIDANCE * sum(map(_astray, scores, looks), start=loss.new_zeros(()))


def _astray(scores: Tensor, look: Tensor) -> Tensor:
    """The cross-entropy of where heads look, (batch, heads, from, to), to where they should."""
    row, column, target = look
    if not len(row):
        return scores.new_zeros(())
    looked = scores[row, :, column].log_softmax(-1)
    return -looked.gather(-1, target[:, None, None].expand(-1, looked.shape[1], 1)).mean()


class Learnt(NamedTuple):
    """Flat positions, what comes after each, and how much it counts."""

    at: Tensor
    target: Tensor
    weight: Tensor


def _tensors(model: Pocket, kind: torch.dtype) -> dict[str, Tensor]:
    """The weights under the names transformers gives them."""
    shape, found = model.shape, {"model.embed_tokens.weight": model.embed.weight, "model.norm.weight": model.last.weight}
    for n, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        at = f"model.layers.{n}"
        q, k, v = block.qkv.weight.chunk(3)
        gate, up = block.gate_up.weight.chunk(2)
        found |= {
            f"{at}.self_attn.q_proj.weight": q, f"{at}.self_attn.k_proj.weight": k, f"{at}.self_attn.v_proj.weight": v,
            f"{at}.self_attn.o_proj.weight": block.out.weight, f"{at}.mlp.gate_proj.weight": gate,
            f"{at}.mlp.up_proj.weight": up, f"{at}.mlp.down_proj.weight": block.down.weight,
            f"{at}.input_layernorm.weight": block.before_attention.weight,
            f"{at}.post_attention_layernorm.weight": block.before_feed.weight,
        }  # fmt: skip
    assert shape.layers == len(model.blocks)
    return {name: weight.detach().to(kind).contiguous() for name, weight in found.items()}


def export(model: Pocket, folder: Path, kind: torch.dtype = torch.float16) -> None:
    """Write the model as a Hugging Face Llama."""
    shape, ids = model.shape, {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    assert (PAD, BEGIN, END) == ("<|pad|>", "<|begin|>", "<|end|>")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape.vocabulary,
        "hidden_size": shape.width, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.heads, "head_dim": shape.head,
        "hidden_act": "silu", "max_position_embeddings": 1024, "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.theta, "rope_parameters": {"rope_type": "default", "rope_theta": shape.theta},
        "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "dtype": str(kind).removeprefix("torch."), "torch_dtype": str(kind).removeprefix("torch."), **ids,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_tensors(model, kind), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    (folder / "generation_config.json").write_text(json.dumps({**ids, "do_sample": False}, indent=1) + "\n", "utf-8")
