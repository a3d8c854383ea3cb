"""The same operations again and again on the same memory: a graph on CUDA, where starting them one by one takes longer
than doing them; elsewhere they are simply done again.

A graph knows nothing of Python. What differs from run to run must be in tensors that stay where they are, and its
result is where the last one was: whoever wants to keep it copies it before the next run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmsdk_providers.local.faults import is_out_of_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Work = Callable[[], "Tensor"]
Capture = Callable[[Work], Work]
"""Makes of some work what does it again, in the same memory. To make it the work may be done, more than once."""

WARM_UP = 2
"""Runs before a capture, in which libraries take the memory that they keep."""


def again(work: Work) -> Work:
    """For any device: the work itself, and its result where the last one was."""
    result = work()

    def repeat() -> Tensor:
        return result.copy_(work())

    return repeat


class CudaGraphs:
    """Captures works for one device. They share memory, since no two of them run at the same time.

    What cannot be captured runs as it is, with a warning.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: Any = None

    def __call__(self, work: Work) -> Work:
        try:
            return self._captured(work)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            warnings.warn(f"local runs without CUDA graphs, which is slower: {error}", RuntimeWarning, stacklevel=2)
            return work

    def _captured(self, work: Work) -> Work:
        import torch

        with torch.cuda.device(self._device):
            self._warm_up(work)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile; only what this one does must fit into a graph.
            with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
                result = work()
            self._memory = graph.pool()

        def repeat() -> Tensor:
            graph.replay()
            return result

        return repeat

    def _warm_up(self, work: Work) -> None:
        import torch

        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                work()
        here.wait_stream(aside)


def capture_on(device: torch.device) -> Capture:
    return CudaGraphs(device) if device.type == "cuda" else again
