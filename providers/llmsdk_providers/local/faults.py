"""From whatever a step raised to the typed error that a caller gets."""

from __future__ import annotations

import copy
import sys
import traceback
from typing import Any, TypeVar

from llmsdk.errors import LLMError, OutOfMemory, RuntimeFault

E = TypeVar("E", bound=BaseException)


def copied(error: E) -> E:
    """An error of the waiter's own: what is noted in one must not show in another's."""
    twin = copy.copy(error) if isinstance(error, LLMError) else error
    twin.__cause__ = error.__cause__
    return twin


def fault(error: Exception) -> LLMError:
    """The typed error for whatever a step raised. Its traceback no longer holds the tensors of that step."""
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, LLMError):
        return error
    if is_out_of_memory(error):
        free_memory()
        found: LLMError = OutOfMemory(
            "memory ran out while the reply was computed",
            hint="Shorten the prompt, lower max_tokens or providers.local.max_batch, or choose a smaller model.",
        )
    else:
        found = RuntimeFault(f"the model failed: {type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is any of the ways in which torch says that memory ran out."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text))
    )


def free_memory() -> None:
    """Give back what a CUDA device holds in reserve."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
