"""Linear maps with weights of 16 bits, multiplied and added up in float32.

Published weights are mostly bfloat16 or float16, and float16 numbers, all moved by one power of two, hold every digit
of either that counts in float32. So what comes out is what float32 weights give. A token of one reply takes half the
time, since that goes by how much is read, and a few rows at once a third of it: FBGEMM's kernel was made for few. It
fills up a matrix to a multiple of 512 in width, which is not read. Packing takes longer than reading the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ENGINES = ("x86", "fbgemm")
"""Of torch's engines for packed weights those that have the kernel."""
LARGEST = 15
"""Weights are moved to lie below 2**15; float16 goes to 2**16, which leaves room for rounding."""


SMALLEST = -60
"""Matrices of nothing larger than 2**-60 are moved no further, lest their bias grow out of float32."""


def here() -> bool:
    """Whether torch has the kernel for this processor."""
    import torch

    return torch.backends.quantized.engine in ENGINES


@dataclass(frozen=True, slots=True)
class Halved:
    """``x @ weight + bias`` for float32 ``x``, ``[rows, in]``."""

    packed: Any
    """float16 weights and the float32 bias as the kernel wants them, divided by ``scale``."""
    scale: float
    """A power of two, which changes no digit."""

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        found: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return found.mul_(self.scale)


@dataclass(frozen=True, slots=True)
class Stacked:
    """Maps of the same input: their outputs one behind the other."""

    parts: Sequence[Halved]

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        return torch.cat([part(x) for part in self.parts], -1) if len(self.parts) > 1 else self.parts[0](x)


def halve(weight: Tensor, bias: Tensor | None) -> Halved | None:
    """The map of float32 ``weight``, ``[out, in]``, which is used up; ``None``, and it stays, if that cannot be.

    Of each weight the first 11 binary digits are kept, all that bfloat16 and float16 have, down to 2**-39 of the
    largest: float32 itself loses 2**-24 with each addition. There is no map of a matrix with a NaN or an infinity, and
    none where there is no kernel.
    """
    import torch

    least, most = torch.aminmax(weight)
    largest = max(-float(least), float(most))
    if not here() or not math.isfinite(largest):
        return None
    scale = 2.0 ** (max(math.frexp(largest)[1], SMALLEST) - LARGEST)
    packed = torch.ops.quantized.linear_prepack_fp16(weight.div_(scale), None if bias is None else bias / scale)
    return Halved(packed, scale)
