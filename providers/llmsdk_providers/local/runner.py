"""The forward pass, through the transformers module of a model and its own cache. Only the engine's thread runs it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.sampler import Sampler, pick

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_CHUNKED = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Layers whose state does not depend on how the prompt is cut."""


@dataclass(slots=True)
class Home:
    """What the model keeps of one sequence: its cache, if it has any."""

    cache: Any


class Runner:
    """Runs sequences through one model of transformers, each by itself.

    For every model that the own decoder does not run; and to compare it with.
    """

    together = guesses = False
    budget: int | None = None
    longest = 2**62
    """The most tokens that one sequence can have: nothing is known of the memory that a cache takes."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self.device = device
        names = inspect.signature(model.forward).parameters
        self._cache_name = cache_name(model) if _standard_cache(model) else None
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in names else {}
        self.embeddings = int(model.get_input_embeddings().weight.shape[0])
        head = model.get_output_embeddings()
        self.vocabulary = int(head.weight.shape[0]) if head is not None else self.embeddings
        self.whole_prompts = not self._cuts_prompts()

    def place(self, context: Context) -> bool:
        """Give a context a cache. There is always room."""
        from transformers import DynamicCache

        if context.home is None:
            context.home = Home(DynamicCache(config=self._model.config) if self._cache_name else None)
        return True

    def soon(self, context: Context, others: Sequence[Context]) -> bool:
        """Never: nothing is shared between sequences here."""
        return False

    def keep(self, context: Context) -> None:
        """Nothing outlives its sequence here."""

    def release(self, context: Context) -> None:
        """Drop the cache of a context."""
        context.home, context.computed = None, 0

    def retract(self, context: Context, size: int) -> None:
        """Take nothing back: a sequence that is computed by itself gains nothing by guesses, and has none."""
        assert size >= context.computed

    def forward(self, pieces: Sequence[Piece]) -> Tensor:
        """Compute pieces, one after the other; ``[rows, vocabulary]`` float32 logits for those that are the last."""
        import torch

        rows = [self._step(piece) for piece in pieces]
        return torch.stack([row for row, piece in zip(rows, pieces, strict=True) if not piece.context.todo] or rows)

    def pick(self, contexts: Sequence[Context], samplers: Sequence[Sampler], logits: Tensor) -> list[int | None]:
        """The next token of each of ``contexts``."""
        return pick(samplers, logits)

    def _step(self, piece: Piece) -> Tensor:
        """The float32 logits of what follows a piece, on the CPU."""
        import torch

        context = piece.context
        given = piece.ids if self._cache_name else context.ids[: piece.end]
        with torch.inference_mode():
            output = self._model(**self._inputs([given], context.home.cache), **self._last_only)
            context.computed = piece.end
            return output.logits[0, -1].to("cpu", torch.float32, copy=True)

    def branches(self, context: Context, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The float32 logits after each id of every row, each row continuing ``context``, which stays as it is."""
        import torch

        if not _repeats(context.home.cache):
            return [self._walk(context, row) for row in rows]
        longest = max(map(len, rows))
        # Padded behind: causal attention never looks there, so that no mask is needed.
        given = [[*row, *[row[-1]] * (longest - len(row))] for row in rows]
        cache = copy.deepcopy(context.home.cache)
        if cache is None:
            given = [[*context.ids, *row] for row in given]
        elif len(rows) > 1:
            cache.batch_repeat_interleave(len(rows))
        with torch.inference_mode():
            logits = self._model(**self._inputs(given, cache)).logits[:, -longest:].float().cpu()
        return [line[: len(row)] for line, row in zip(logits, rows, strict=True)]

    def _walk(self, context: Context, row: Sequence[int]) -> Tensor:
        """One row, an id at a time: a recurrent state takes no more once it has begun."""
        import torch

        twin = copy.deepcopy(context)
        twin.ids += row
        return torch.stack([self._step(Piece(twin, 1)) for _ in row])

    def _inputs(self, rows: Sequence[Sequence[int]], cache: Any) -> dict[str, Any]:
        import torch

        ids = torch.tensor([list(row) for row in rows], dtype=torch.long, device=self.device)
        named = {self._cache_name: cache} if self._cache_name else {}
        return {"input_ids": ids, "use_cache": bool(self._cache_name), **named}

    def _cuts_prompts(self) -> bool:
        if self._cache_name is None or getattr(self._model, "_is_stateful", False):
            return False
        kinds = getattr(self._model.config.get_text_config(decoder=True), "layer_types", None)
        return kinds is None or _CHUNKED.issuperset(kinds)


def cache_name(model: Any) -> str | None:
    """What a model calls its cache, ``None`` if it takes none. From transformers 5.24 on that is ``cache``."""
    names = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values", "cache_params") if name in names), None)


def _standard_cache(model: Any) -> bool:
    """Whether the model takes the library's cache, as far as the library says."""
    says = getattr(model, "_supports_default_dynamic_cache", None)
    return bool(says()) if callable(says) else True


def _repeats(cache: Any) -> bool:
    """Whether a cache can be copied for several rows; states of recurrent layers cannot."""
    return cache is None or all(hasattr(layer, "batch_repeat_interleave") for layer in cache.layers)
