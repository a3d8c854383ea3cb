"""A small Llama for training on CPU: the arithmetic of transformers' ``LlamaForCausalLM``, its own loop-friendly form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from tokens import BEGIN, END, PAD
from torch import Tensor, nn


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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = self.qkv(self.before_attention(x)).view(batch, length, 3, self.shape.heads, self.shape.head)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.before_feed(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


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

    def hidden(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """The last hidden state at every position. ``mask`` is added to the attention scores."""
        cos, sin = rotation(self.shape, positions)
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return self.last(x)

    def loss(
        self, tokens: Tensor, positions: Tensor, mask: Tensor, target: Tensor, at: Tensor, weight: Tensor
    ) -> Tensor:
        """Weighted mean of the cross-entropy of ``target`` at the flat positions ``at``."""
        states = self.hidden(tokens, positions, mask).flatten(0, 1)[at]
        each = functional.cross_entropy(states @ self.embed.weight.T, target, reduction="none")
        return (each * weight).sum() / weight.sum()


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
