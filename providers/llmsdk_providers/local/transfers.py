"""Between the CPU and a device, without waiting for what the device still does. On the CPU nothing has to move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def upload(numbers: Tensor, into: Tensor) -> None:
    """Copy numbers of the CPU into a tensor of the device. Pinned memory is kept by torch until the copy is made."""
    into.copy_(numbers.pin_memory() if into.is_cuda else numbers, non_blocking=True)


def uploaded(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Values of Python, or a tensor of the CPU, as a tensor of the device."""
    import torch

    numbers = torch.as_tensor(values, dtype=dtype)
    if device.type != "cuda":
        return numbers.to(device)
    return numbers.pin_memory().to(device, non_blocking=True)


class Download:
    """Whole numbers on their way to the CPU. What the device is given to do from now on is not waited for."""

    def __init__(self, numbers: Tensor) -> None:
        import torch

        self._numbers, self._done = numbers, None
        if numbers.is_cuda:
            self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record()

    def wait(self) -> list[int]:
        if self._done is not None:
            self._done.synchronize()
        found: list[int] = self._numbers.tolist()
        return found
