"""Runs texts through models with an encoder and a decoder, in batches: each read once, then a token a step.

Texts of about the same length that wait together make a batch, and stay together: the decoders of transformers know
one position for all their rows. A text that comes while others of its length are under way waits a few steps for
company, but not for long. Rows that have ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from llmsdk.errors import ModelFileError, OutOfMemory
from llmsdk_providers.local.beams import Top, Width
from llmsdk_providers.local.faults import fault
from llmsdk_providers.local.rewriting import Rewriting
from llmsdk_providers.local.rules import rules
from llmsdk_providers.local.runner import cache_name
from llmsdk_providers.local.scheduler import not_a_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

READ = 2048
"""Tokens that are read in one batch, padding included."""
SHORT = 32
"""Tokens up to which texts count as of the same length."""
PATIENCE = 16
"""Steps that a text waits at most for others to share a batch with."""


class Batch:
    """Texts whose replies are written together, and what the model keeps of them: nothing yet, where it is new."""

    def __init__(self, works: Sequence[Rewriting]) -> None:
        self.works = list(works)
        self.cache: Any = None
        self.hidden: Any = None
        self.mask: Any = None

    @property
    def paths(self) -> list[list[int]]:
        return [path for work in self.works for path in work.paths]

    def leave(self) -> None:
        """Let those go that have ended."""
        if any(work.over for work in self.works):
            self.follow([[] if work.over else list(range(len(work.paths))) for work in self.works], self._sizes())

    def follow(self, parents: Sequence[Sequence[int]], sizes: Sequence[int]) -> None:
        """Go on with the rows that each work wants, of the ``sizes`` that each had."""
        import torch

        starts = [0, *accumulate(sizes)]
        rows = [start + row for start, wanted in zip(starts, parents, strict=False) for row in wanted]
        self.works = [work for work, wanted in zip(self.works, parents, strict=True) if wanted]
        if self.cache is not None and rows and rows != list(range(sum(sizes))):
            index = torch.tensor(rows, device=self.hidden.device)
            self.hidden, self.mask = self.hidden[index], self.mask[index]
            self.cache.batch_select_indices(index)

    def _sizes(self) -> list[int]:
        return [len(work.paths) for work in self.works]


class Seq2Seq:
    """One model with an encoder and a decoder, and the batches under way in it."""

    def __init__(self, module: Any, device: torch.device, beams: int | None = None, memory: int = 2**62) -> None:
        self._module = module
        self._device = device
        self._memory = memory
        """Bytes for what is kept of all texts."""
        self._cache_name = cache_name(module) or "past_key_values"
        config = module.generation_config
        self.embeddings = int(module.get_input_embeddings().weight.shape[0])
        self.start = _start(config, module.config)
        self.ends = frozenset(_ids(config.eos_token_id))
        self.width = _width(config, beams)
        self._per_token = _bytes_per_token(module)
        self._pad = module.config.pad_token_id or 0
        self._batches: list[Batch] = []
        self._waiting: dict[Rewriting, int] = {}
        self._known: set[Rewriting] = set()

    def step(self, works: Sequence[Rewriting]) -> None:
        """Advance ``works``, which are in the order of their arrival and not over."""
        for work in works:
            if work not in self._known:
                self._known.add(work)
                self._begin(work)
        self._start()
        for batch in tuple(self._batches):
            self._advance(batch)
        self._batches = [batch for batch in self._batches if batch.works]

    def release(self, work: Rewriting) -> None:
        """Forget a work that is over."""
        self._known.discard(work)
        self._waiting.pop(work, None)
        self._batches = [batch for batch in self._batches if not all(work.over for work in batch.works)]

    # --- batches ------------------------------------------------------------------------------------------------

    def _begin(self, work: Rewriting) -> None:
        try:
            work.begin(self)
            self._check_memory(work)
        except Exception as error:  # noqa: BLE001 - see below
            work.fail(fault(error))
        else:
            self._waiting[work] = 0

    def _start(self) -> None:
        """Begin one batch, if it is time: reading holds up those that write."""
        self._waiting = {work: waited + 1 for work, waited in self._waiting.items() if not work.over}
        for work, waited in self._waiting.items():
            alike = [other for other in self._waiting if _kind(other) == _kind(work)]
            running = sum(_kind(other) == _kind(work) for batch in self._batches for other in batch.works)
            if len(alike) >= running or waited > PATIENCE:
                chosen = self._with_room(_fitting(alike))
                if not chosen:
                    return  # those that run have to end first, and nobody overtakes
                self._batches.append(Batch(chosen))
                for other in chosen:
                    del self._waiting[other]
                return

    def _check_memory(self, work: Rewriting) -> None:
        """Check that a text can be kept, before anything of it is computed.

        Raises:
            OutOfMemory: it cannot, even if it were alone.
        """
        if self._bytes(work) > self._memory:
            hint = "Shorten the text, lower max_tokens or beams, or raise providers.local.kv_memory."
            needed, there = self._bytes(work) / 2**20, self._memory / 2**20
            raise OutOfMemory(f"the text and its reply need {needed:.1f} MiB, and there are {there:.1f}", hint=hint)

    def _bytes(self, work: Rewriting) -> int:
        """What is kept of a text at most: of each of its paths the text as it was read, padding included, and the
        reply."""
        read = 1 << _kind(work)[0]
        written = 1 + len(work.source.first) + work.limit
        return (1 if self.width is None else self.width.paths) * (read + written) * self._per_token

    def _with_room(self, works: Sequence[Rewriting]) -> list[Rewriting]:
        """The first of them, as many as there is memory for beside what runs."""
        taken = sum(self._bytes(work) for batch in self._batches for work in batch.works)
        ends = accumulate((self._bytes(work) for work in works), initial=taken)
        return [work for work, end in zip(works, list(ends)[1:], strict=True) if end <= self._memory]

    def _advance(self, batch: Batch) -> None:
        """One token for each text. If that fails, each begins anew by itself, so that the faulty one ends alone."""
        try:
            batch.leave()
            if not batch.works:
                return
            tops, sound = self._compute(batch)
        except Exception as error:  # noqa: BLE001 - whatever one request does wrong, the others go on
            found = fault(error)
            works, batch.works, batch.cache = batch.works, [], None
            if len(works) == 1:
                works[0].fail(found)
                return
            for work in works:
                self._batches.append(Batch([work]))
                self._advance(self._batches[-1])
            return
        self._give(batch, tops, sound)

    def _give(self, batch: Batch, tops: Sequence[Top], sound: Sequence[bool]) -> None:
        works, sizes = batch.works, [len(work.paths) for work in batch.works]
        starts = [0, *accumulate(sizes)]
        rows = [slice(start, start + size) for start, size in zip(starts, sizes, strict=False)]
        parents = [_accepted(work, tops[row], sound[row]) for work, row in zip(works, rows, strict=True)]
        try:
            batch.follow(parents, sizes)
        except Exception as error:  # noqa: BLE001 - what is known is enough to begin anew, each by itself
            fault(error)
            batch.works, batch.cache = [], None
            self._batches += [Batch([work]) for work in works if not work.over]

    # --- the pass -----------------------------------------------------------------------------------------------

    def _compute(self, batch: Batch) -> tuple[list[Top], list[bool]]:
        """What may follow each path, the best first, and whether it was computed from numbers."""
        import torch

        with torch.inference_mode():
            logits = self._forward(batch)
            sound = logits.amax(-1).isfinite().tolist()
            scores = logits if self.width is None else logits.log_softmax(-1)
            if limits := self._rules(batch):
                scores = limits(self._tensor(batch.paths), scores)
            if self.width is None:
                return [((0.0,), (token,)) for token in scores.argmax(-1).tolist()], sound
            known = [score for work in batch.works for score in work.scores]
            keep = min(self.width.keep(len(self.ends)), scores.shape[-1])
            values, tokens = scores.topk(keep)
            values = values + torch.tensor(known, device=values.device)[:, None]
            return list(zip(values.tolist(), tokens.tolist(), strict=True)), sound

    def _forward(self, batch: Batch) -> Tensor:
        """``[paths, vocabulary]`` float32 logits of what follows each path."""
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        given = batch.paths
        if batch.cache is None:
            self._read(batch)
            batch.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        else:
            given = [path[-1:] for path in given]
        output = self._module(
            encoder_outputs=BaseModelOutput(last_hidden_state=batch.hidden),
            attention_mask=batch.mask,
            decoder_input_ids=self._tensor(given),
            **{self._cache_name: batch.cache},
            use_cache=True,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _read(self, batch: Batch) -> None:
        """Run the encoder: once for each text, whatever the number of its paths."""
        import torch

        rows = [work.source.ids for work in batch.works]
        ids = self._padded(rows)
        mask = self._tensor([[1] * len(row) + [0] * (ids.shape[1] - len(row)) for row in rows])
        hidden = self._module.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        index = torch.tensor([n for n, work in enumerate(batch.works) for _ in work.paths], device=self._device)
        batch.hidden, batch.mask = hidden[index], mask[index]

    def _rules(self, batch: Batch) -> Any:
        """What the model's own settings forbid of the next tokens."""
        begin = 1 + len(batch.works[0].source.first)
        rows = [work.source.ids for work in batch.works for _ in work.paths]
        config = self._module.generation_config
        return rules(config, self.ends, begin, lambda: self._padded(rows), self._device)

    def _padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        longest = max(map(len, rows))
        return self._tensor([[*row, *[self._pad] * (longest - len(row))] for row in rows])

    def _tensor(self, rows: Sequence[Sequence[int]]) -> Tensor:
        import torch

        return torch.tensor([list(row) for row in rows], dtype=torch.long, device=self._device)


def _bytes_per_token(module: Any) -> int:
    """Keys and values of a token in all layers of the decoder, and of one that was read what the encoder says of it."""
    config = module.config.get_text_config(decoder=True)
    names = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
    layers = next(int(found) for name in names if (found := getattr(config, name, None)))
    hidden = int(getattr(config, "d_model", None) or config.hidden_size)
    inner = int(config.num_heads * config.d_kv) if hasattr(config, "d_kv") else hidden
    size: int = module.dtype.itemsize
    return (2 * layers * inner + hidden) * size


def _accepted(work: Rewriting, tops: Sequence[Top], sound: Sequence[bool]) -> list[int]:
    """The rows with which a work goes on."""
    try:
        if not all(sound):
            raise not_a_number()
        parents = work.accept(tops)
    except Exception as error:  # noqa: BLE001 - see above
        work.fail(fault(error))
        return []
    return [] if work.over else parents


def _kind(work: Rewriting) -> tuple[int, int]:
    """Works of the same kind may share a batch: their lengths are alike, and their replies begin alike."""
    size = max(len(work.source.ids), SHORT)
    return (size - 1).bit_length(), len(work.source.first)


def _fitting(works: Sequence[Rewriting]) -> list[Rewriting]:
    """The first of them, as many as may be read together."""
    longest = max(len(work.source.ids) for work in works)
    return list(works[: max(1, READ // longest)])


def _start(generation: Any, config: Any) -> int:
    """The id before every reply.

    Raises:
        ModelFileError: the folder names none.
    """
    for table, name in ((generation, "decoder_start_token_id"), (config, "decoder_start_token_id"),
                        (generation, "bos_token_id")):  # fmt: skip
        found = getattr(table, name, None)
        if isinstance(found, int):
            return found
    raise ModelFileError("the model does not say with which token a reply begins", hint="config.json must name its "
                         "decoder_start_token_id.")  # fmt: skip


def _width(generation: Any, beams: int | None) -> Width | None:
    paths = beams or generation.num_beams or 1
    if paths == 1:
        return None
    penalty = 1.0 if generation.length_penalty is None else float(generation.length_penalty)
    return Width(paths, penalty, generation.early_stopping or False)


def _ids(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
