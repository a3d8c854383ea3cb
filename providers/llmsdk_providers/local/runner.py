"""The forward pass, through the transformers module of a model and its own cache. Only the engine's thread runs it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHUNK = 512
"""Tokens of a prompt that one step computes, so that a long prompt neither blocks others nor a cancellation."""
_CHUNKED = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Layers whose state does not depend on how the prompt is cut."""


@dataclass(slots=True)
class Slot:
    """What the model remembers of one sequence: its cache, or all ids where the model has no cache."""

    cache: Any
    ids: list[int] = field(default_factory=list)


class Runner:
    """Runs sequences through one model.

    Every sequence is computed by itself, so that its logits are the same to the last bit whatever else runs.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self.device = device
        names = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in ("past_key_values", "cache_params") if name in names), None)
        if not _standard_cache(model):
            self._cache_name = None
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self.embeddings = int(model.get_input_embeddings().weight.shape[0])
        """Ids that the model can read."""
        head = model.get_output_embeddings()
        self.vocabulary = int(head.weight.shape[0]) if head is not None else self.embeddings
        """Ids that the model can write."""
        self.chunk = CHUNK if self._cuts_prompts() else None
        """Tokens to give at a time; ``None`` where a prompt must be given whole."""

    def slot(self) -> Slot:
        """Room for a new sequence."""
        from transformers import DynamicCache

        return Slot(DynamicCache(config=self._model.config) if self._cache_name else None)

    def forward(self, slot: Slot, ids: Sequence[int]) -> Tensor:
        """Append ``ids`` to a sequence and give the float32 logits of what comes next, on the CPU."""
        import torch

        slot.ids.extend(ids)
        given = ids if self._cache_name else slot.ids
        with torch.inference_mode():
            output = self._model(**self._inputs([given], slot.cache), **self._last_only)
            return output.logits[0, -1].to("cpu", torch.float32, copy=True)

    def branches(self, slot: Slot, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The float32 logits after each id of every row, each row continuing ``slot``, which stays as it is."""
        import torch

        if not _repeats(slot.cache):
            return [self._walk(slot, row) for row in rows]
        longest = max(map(len, rows))
        # Padded behind: causal attention never looks there, so that no mask is needed.
        given = [[*row, *[row[-1]] * (longest - len(row))] for row in rows]
        cache = copy.deepcopy(slot.cache)
        if cache is None:
            given = [[*slot.ids, *row] for row in given]
        elif len(rows) > 1:
            cache.batch_repeat_interleave(len(rows))
        with torch.inference_mode():
            logits = self._model(**self._inputs(given, cache)).logits[:, -longest:].float().cpu()
        return [line[: len(row)] for line, row in zip(logits, rows, strict=True)]

    def _walk(self, slot: Slot, row: Sequence[int]) -> Tensor:
        """One row, an id at a time: a recurrent state takes no more once it has begun."""
        import torch

        twin = copy.deepcopy(slot)
        return torch.stack([self.forward(twin, [token]) for token in row])

    def _inputs(self, rows: Sequence[Sequence[int]], cache: Any) -> dict[str, Any]:
        import torch

        ids = torch.tensor([list(row) for row in rows], dtype=torch.long, device=self.device)
        named = {self._cache_name: cache} if self._cache_name else {}
        return {"input_ids": ids, "use_cache": bool(self._cache_name), **named}

    def _cuts_prompts(self) -> bool:
        if self._cache_name != "past_key_values":
            return False
        kinds = getattr(self._model.config.get_text_config(decoder=True), "layer_types", None)
        return kinds is None or _CHUNKED.issuperset(kinds)


def _standard_cache(model: Any) -> bool:
    """Whether the model takes the library's cache, as far as the library says."""
    says = getattr(model, "_supports_default_dynamic_cache", None)
    return bool(says()) if callable(says) else True


def _repeats(cache: Any) -> bool:
    """Whether a cache can be copied for several rows; states of recurrent layers cannot."""
    return cache is None or all(hasattr(layer, "batch_repeat_interleave") for layer in cache.layers)
