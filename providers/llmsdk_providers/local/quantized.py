"""Linear maps in 8 bits: a scale for each output of the weights, and one for each row of what comes in.

The kernel adds whole numbers, which is exact in any order, and no row sees the scale of another: what a sequence
computes does not depend on what runs beside it. A row with a NaN gives a row of NaN, and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PIECE = 2**18
"""Numbers that are looked at at once: looking at a whole matrix would take its memory again."""
ENGINES = ("x86", "onednn", "fbgemm")
"""Of torch's engines for whole numbers those that have the kernel."""
WORST = 0.02
"""Share of a matrix that 8 bits may lose, by its norm. One with outliers, which would lose more, is kept in 16."""


def why_not(device: torch.device) -> str | None:
    """Why this machine cannot compute in 8 bits on ``device``; ``None`` if it can."""
    import torch

    if device.type != "cpu":
        return f"the device is {device.type}"
    engine = torch.backends.quantized.engine
    return None if engine in ENGINES else f"torch has no 8-bit kernel for this processor (engine {engine!r})"


@dataclass(frozen=True, slots=True)
class Quantized:
    """``x @ weight + bias`` for float32 ``x``, ``[rows, in]``."""

    packed: Any
    """int8 weights with their scales, as the kernel wants them."""
    bias: Tensor | None
    levels: int
    """Steps between zero and the largest input of a row."""

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        # A row of zeros becomes NaN here, then any number, and by its largest input zero again.
        largest = x.abs().amax(-1, keepdim=True)
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        found: Tensor = multiply(x / largest, 1 / self.levels, self.levels + 1, self.packed)
        found *= largest
        return found if self.bias is None else found + self.bias


def quantize(weight: Tensor, bias: Tensor | None) -> Quantized | None:
    """The map of float32 ``weight``, ``[out, in]``, in 8 bits; ``None`` where they would lose too much of it."""
    import torch

    some = weight.split(max(1, PIECE // weight.shape[1]))
    largest = torch.cat([rows.abs().amax(1) for rows in some])
    scales = largest.clamp_min(torch.finfo(torch.float32).tiny) / 127
    steps = scales[:, None].split([len(rows) for rows in some])
    lost = torch.stack([_lost(*rows) for rows in zip(some, steps, strict=True)])
    if not lost.norm() <= WORST * weight.norm():  # of anything with a NaN it is NaN
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the type is old, but the kernel takes no other
        whole = torch.quantize_per_channel(
            weight, scales.double(), torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8
        )
    return Quantized(torch.ops.quantized.linear_prepack(whole, None), bias, _levels())


def _lost(rows: Tensor, scales: Tensor) -> Tensor:
    """How far they are from what is kept of them, by the norm."""
    return (rows / scales).round_().mul_(scales).sub_(rows).norm()


def _levels() -> int:
    """Without VNNI the kernel adds pairs of products in 16 bits: inputs up to 127, zero at 64, never run over."""
    import torch

    has: Callable[[], bool] = torch.cpu._is_vnni_supported  # torch tells it nowhere else
    return 127 if has() else 63
