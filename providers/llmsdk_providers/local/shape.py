"""Which models the own decoder runs, and what their layers look like: read from the configuration of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ROPES = ("default", "linear", "llama3", "yarn")
"""Rotations whose frequencies do not depend on the length of the text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A pre-norm decoder with grouped-query attention: its sizes and flags."""

    hidden: int
    inner: int
    """Width of the gated layer between."""
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    eps: float
    windows: tuple[int | None, ...]
    """For each layer how many tokens back it sees, itself included; ``None`` sees all."""
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    qk_norm: bool
    tied: bool

    @classmethod
    def of(cls, config: Any) -> Shape:
        """The shape of a model that ``why_not`` has nothing against."""
        bias = bool(getattr(config, "attention_bias", False))
        return cls(
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            vocabulary=config.vocab_size,
            eps=config.rms_norm_eps,
            windows=_windows(config),
            qkv_bias=bias or config.model_type == "qwen2",
            out_bias=bias,
            mlp_bias=bool(getattr(config, "mlp_bias", False)),
            qk_norm=config.model_type == "qwen3",
            tied=bool(config.tie_word_embeddings),
        )

    @property
    def group(self) -> int:
        """Query heads that share a head of keys and values."""
        return self.heads // self.kv_heads

    @property
    def numbers_per_token(self) -> int:
        """What the keys and values of a token take, in all layers."""
        return 2 * len(self.windows) * self.kv_heads * self.head_dim


def why_not(config: Any, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why the own decoder cannot run such a model exactly; ``None`` if it can."""
    import torch

    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type")
    against = (
        (config.model_type not in FAMILIES, f"the architecture is {config.model_type}"),
        (getattr(config, "quantization_config", None) is not None, "the weights are quantized"),
        (device.type not in ("cpu", "cuda"), f"the device is {device.type}"),
        (dtype not in (torch.float32, torch.bfloat16), f"the dtype is {str(dtype).removeprefix('torch.')}"),
        (getattr(config, "hidden_act", None) != "silu", f"the activation is {getattr(config, 'hidden_act', None)}"),
        (kind not in ROPES, f"the rotary embedding is {kind}"),
        (rope.get("partial_rotary_factor", 1.0) != 1.0, "the rotary embedding is partial"),
        (bool(_other_layers(config)), f"layers are {', '.join(_other_layers(config))}"),
    )
    return next((reason for applies, reason in against if applies), None)


def _other_layers(config: Any) -> list[str]:
    kinds = set(getattr(config, "layer_types", None) or ())
    return sorted(kinds - {"full_attention", "sliding_attention"})


def _windows(config: Any) -> tuple[int | None, ...]:
    window: int | None = getattr(config, "sliding_window", None)
    count: int = config.num_hidden_layers
    if config.model_type == "llama":  # which ignores such a key
        return (None,) * count
    if config.model_type == "mistral":
        return (window,) * count
    return tuple(window if kind == "sliding_attention" else None for kind in config.layer_types)


def frequencies(config: Any) -> tuple[Tensor, float]:
    """Angle per position for each pair of a head's dimensions, and the factor on sine and cosine."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = config.rope_parameters
    if rope["rope_type"] != "default":
        found, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config)
        return found.float(), float(factor)
    size = Shape.of(config).head_dim
    return 1.0 / (rope["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float) / size)), 1.0
