"""The own decoder with its memory: what the scheduler runs, many sequences in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmsdk_providers.local.arena import PAGE, Arenas, Copies, Layout, Memory
from llmsdk_providers.local.attention import Branches, crews
from llmsdk_providers.local.context import Context, Piece, common
from llmsdk_providers.local.decoder import Decoder
from llmsdk_providers.local.prefix import Prefixes
from llmsdk_providers.local.sampler import Sampler, pick
from llmsdk_providers.local.shape import Shape, why_not
from llmsdk_providers.local.weights import Files, Progress, expected, in_16_bits, load_weights, why_not_files

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Native:
    """A model in our own decoder, and the keys and values of its sequences in at most ``kv_bytes``."""

    together = True
    whole_prompts = False
    guesses = True
    budget: int | None = None

    def __init__(self, decoder: Decoder, kv_bytes: int) -> None:
        shape = decoder.shape
        layout = Layout(len(shape.windows), shape.kv_heads, shape.head_dim, decoder.dtype)
        self._decoder = decoder
        self.arenas = Arenas(layout, Memory(max(1, kv_bytes // layout.page_bytes)))
        self.prefixes = Prefixes(Copies(self.arenas.memory))
        self.embeddings = self.vocabulary = shape.vocabulary

    @property
    def longest(self) -> int:
        """The most tokens that one sequence can have."""
        return self.arenas.longest

    def place(self, context: Context) -> bool:
        """Make room for all ids of a context; not if memory is short. What is known of a new one is computed then."""
        new = context.home is None
        while not self.arenas.place(context, len(context.ids)):
            if not self.prefixes.drop():
                return False
        if new:
            self.prefixes.lend(context)
            # One that starts anew finds what it has computed itself, which it did not get from others.
            context.lent = context.computed if context.lent is None else context.lent
        return True

    def soon(self, context: Context, others: Sequence[Context]) -> bool:
        """Whether one of ``others``, which are being computed, will spare a context a page or more."""
        ids = context.ids[:-1]
        shared = max((common(ids, other.ids) for other in others), default=0)
        return shared >= PAGE and shared // PAGE > self.prefixes.known(ids) // PAGE

    def keep(self, context: Context) -> None:
        """Remember what is computed of a context, as far as memory reaches."""
        self.prefixes.keep(context)

    def release(self, context: Context) -> None:
        """Take the memory of a context. It may be computed anew."""
        self.arenas.release(context)

    def forward(self, pieces: Sequence[Piece]) -> Tensor:
        """Compute pieces of placed contexts; ``[rows, vocabulary]`` float32 logits for what is wanted of them.

        Doing it again after a fault does no harm.
        """
        company = crews(pieces)
        ordered = [piece for crew in company for piece in crew.pieces]
        ends = dict(zip((piece.context for piece in ordered), accumulate(piece.size for piece in ordered), strict=True))
        wanted = [row for piece in pieces for row in range(ends[piece.context] - piece.wanted, ends[piece.context])]
        logits = self._decoder.run(company, wanted)
        for piece in pieces:
            piece.context.computed = piece.end
        return logits

    def pick(self, contexts: Sequence[Context], samplers: Sequence[Sampler], logits: Tensor) -> list[int | None]:
        """The next token of each of ``contexts``."""
        return pick(samplers, logits)

    def retract(self, context: Context, size: int) -> None:
        """Take back what is computed of a context beyond its first ``size`` ids."""
        if size < context.computed:
            for kv in context.home.layers():
                kv[:, :, size : context.computed] = 0
            context.computed = size

    def branches(self, context: Context, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """The float32 logits after each id of every row, each row continuing ``context``, which stays as it is."""
        layers = list(context.home.layers())
        crew = Branches(context.computed, rows, lambda layer: layers[layer][:, :, : context.computed])
        logits = self._decoder.run([crew], range(len(crew.ids)))
        return list(logits.split([len(row) for row in rows]))


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model that the own decoder can run, before its weights are read."""

    config: Any
    shape: Shape
    files: Files

    @property
    def parameters(self) -> int:
        return sum(prod(size) for size in expected(self.shape).values())

    def in_16_bits(self, dtype: torch.dtype, device: torch.device) -> bool:
        """Whether its weights are kept in 16 bits to compute in float32."""
        return in_16_bits(self.files, self.shape, dtype, device)

    def build(
        self, dtype: torch.dtype, show: Progress = iter, *, int8: bool = False, device: torch.device | None = None
    ) -> Decoder:
        """Read the weights onto ``device``, the CPU if none is named; ``show`` is given the numbers of the layers."""
        weights = load_weights(self.files, self.shape, dtype, show, int8=int8, device=device)
        return Decoder(self.shape, weights, self.config)


def draw_up(path: Path, dtype: torch.dtype, device: torch.device) -> Blueprint | str:
    """What is in a checked folder, or why the own decoder cannot run it exactly."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if (reason := why_not(config, dtype, device)) is not None:
        return reason
    found = Blueprint(config, Shape.of(config), Files(path))
    return why_not_files(found.files, found.shape) or found
