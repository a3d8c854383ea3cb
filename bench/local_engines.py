"""Who runs requests: our engine's scheduler and decoder, and three ways of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from local_models import Asked, module
from transformers import ContinuousBatchingConfig, GenerationConfig

from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.native import Native, draw_up
from llmsdk_providers.local.sampler import Sampler, Sampling
from llmsdk_providers.local.scheduler import Scheduler

Engine = Callable[[Sequence[Asked]], list[list[int]]]


class Reply:
    """A work that writes so many tokens, and says so."""

    def __init__(self, prompt: list[int], count: int, sampling: Sampling | None = None, *, guess: bool = False) -> None:
        self.cancelled = self.over = False
        self.context: Any = None
        self.sampler: Any = None
        self.lookup = Lookup(len(prompt) + count) if guess else None
        self.prompt, self.count, self.end = prompt, count, -1
        self.sampling = sampling or Sampling()
        self.text: list[int] = []

    def begin(self, model: Any) -> None:
        self.context, self.sampler = Context(list(self.prompt)), Sampler(self.sampling, self.prompt, model.vocabulary)

    def accept(self, logits: Any, token: int) -> None:
        self.text.append(token)
        self.context.ids.append(token)
        self.over = len(self.text) == self.count or token == self.end

    def fail(self, error: Exception) -> None:
        raise error


def native(folder: str, dtype: torch.dtype = torch.float32, *, int8: bool = False, kind: type[Native] = Native) -> Any:
    plan = draw_up(Path(folder), dtype, torch.device("cpu"))
    assert not isinstance(plan, str), plan
    return kind(plan.build(dtype, int8=int8), 2**30)


def run(model: Any, works: Sequence[Reply], together: int) -> list[list[int]]:
    """All works, at most so many at the same time."""
    scheduler, waiting, running = Scheduler(model), list(works), list[Reply]()
    while waiting or running:
        running += [waiting.pop(0) for _ in range(min(len(waiting), together - len(running)))]
        scheduler.step(running)
        for work in [work for work in running if work.over]:
            scheduler.release(work)
            running.remove(work)
    return [work.text for work in works]


class Overruled(Native):
    """Computes everything, and says what it is told: a random model would quote nothing. For one sequence at a time."""

    script: Sequence[int] = ()
    """The ids of prompt and reply."""

    def forward(self, pieces: Sequence[Piece]) -> Any:
        logits, (piece,) = super().forward(pieces).clone(), pieces
        for row, logit in enumerate(logits, start=piece.end - piece.wanted + 1):
            if row < len(self.script):
                logit[self.script[row]] = 1e4
        return logits


def ours(model: Native, together: int = 32) -> Engine:
    return lambda asked: run(model, [Reply(*one) for one in asked], together)


def generate(folder: str) -> Engine:
    model = module(folder)
    return lambda asked: [written(model, [ids], count)[0] for ids, count in asked]


def static(folder: str, size: int = 8) -> Engine:
    """Batches in order of arrival, padded before, each as long as its longest reply."""
    model = module(folder)

    def work(asked: Sequence[Asked]) -> list[list[int]]:
        found = []
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            rows = written(model, [ids for ids, _ in batch], max(count for _, count in batch))
            found += [row[:count] for row, (_, count) in zip(rows, batch, strict=True)]
        return found

    return work


def written(model: Any, prompts: list[list[int]], count: int) -> list[list[int]]:
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        output = model.generate(ids, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=0)
    rows: list[list[int]] = output[:, longest:].tolist()
    return rows


def continuous(folder: str, dtype: torch.dtype = torch.float32) -> Engine:
    """With room for all requests, and passes of 512 tokens, as ours."""
    manager = module(folder, dtype).init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=1),
        continuous_batching_config=ContinuousBatchingConfig(max_batch_tokens=512, num_blocks=64),
    )
    manager.start()

    def work(asked: Sequence[Asked]) -> list[list[int]]:
        names = [manager.add_request(ids, max_new_tokens=count) for ids, count in asked]
        found: dict[str, list[int]] = {}
        while len(found) < len(names):
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                found[result.request_id] = result.generated_tokens
        return [found[name] for name in names]

    return work


class LlamaCpp:
    """llama.cpp by its own functions: its wrapper knows no batches. Prompts are of one length, as are replies."""

    def __init__(self, file: str, most: int) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, None)
        llama_cpp.llama_backend_init()
        self._model: Any = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = 512 * most, 512, 512, most
        options.n_threads = options.n_threads_batch = 1
        self._context: Any = llama_cpp.llama_init_from_model(self._model, options)
        self._words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch: Any = llama_cpp.llama_batch_init(512, 0, 1)

    def __call__(self, asked: Sequence[Asked]) -> list[list[int]]:
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)
        ((count,), (size,)) = {count for _, count in asked}, {len(ids) for ids, _ in asked}
        replies = [[self._said([(sequence, size - 1)], ids)[0]] for sequence, (ids, _) in enumerate(asked)]
        for place in range(size, size + count - 1):
            last = [reply[-1] for reply in replies]
            said = self._said([(sequence, place) for sequence in range(len(asked))], last)
            for reply, token in zip(replies, said, strict=True):
                reply.append(token)
        return replies

    def _said(self, ends: Sequence[tuple[int, int]], ids: Sequence[int]) -> list[int]:
        """What follows each of ``ends``: sequences, and the places of their last ids."""
        import numpy

        rows = ends if len(ends) == len(ids) else [(ends[0][0], place) for place in range(len(ids))]
        batch = self._batch
        batch.n_tokens = len(ids)
        for row, (token, (sequence, place)) in enumerate(zip(ids, rows, strict=True)):
            batch.token[row], batch.pos[row], batch.n_seq_id[row], batch.seq_id[row][0] = token, place, 1, sequence
            batch.logits[row] = (sequence, place) in ends
        assert self._api.llama_decode(self._context, batch) == 0
        wanted = range(len(ids) - len(ends), len(ids))
        logits = [self._api.llama_get_logits_ith(self._context, row) for row in wanted]
        return [int(numpy.ctypeslib.as_array(row, (self._words,)).argmax()) for row in logits]


def ctranslate2(folder: str, kind: str) -> Engine:
    """Batches of all that is asked, which is to be of one length; the model as ``convert`` has written it."""
    import ctranslate2 as engine

    model = engine.Generator(f"{folder}-{kind}", device="cpu", compute_type=kind, inter_threads=1, intra_threads=1)

    def work(asked: Sequence[Asked]) -> list[list[int]]:
        ((count,), prompts) = {count for _, count in asked}, [[f"t{token}" for token in ids] for ids, _ in asked]
        found = model.generate_batch(prompts, max_length=count, include_prompt_in_result=False, end_token=[])
        return [reply.sequences_ids[0] for reply in found]

    return work
