"""One engine, one run: ``local_worker.py ENGINE FOLDER`` prints its seconds of CPU and the tokens of every request.

``make`` writes the model instead.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pin import pin
from transformers import AutoModelForCausalLM, GenerationConfig, Qwen3Config

VOCABULARY = 4096
SHAPE = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4}
Asked = tuple[list[int], int]


def requests() -> list[Asked]:
    """Prompts and the lengths of their replies, ever the same."""
    rng = random.Random(1)
    sizes = [(rng.randint(20, 180), rng.randint(16, 96)) for _ in range(32)]
    return [([rng.randrange(VOCABULARY) for _ in range(size)], count) for size, count in sizes]


def make(folder: str) -> None:
    """An untied random model that never ends a reply."""
    torch.manual_seed(0)
    wide = {"head_dim": 32, "intermediate_size": 768, "max_position_embeddings": 1024}
    config = Qwen3Config(vocab_size=VOCABULARY, tie_word_embeddings=False, eos_token_id=None, **SHAPE, **wide)
    model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1 if "embed" in name else 0.1)
    model.save_pretrained(folder)


# --- ours ---------------------------------------------------------------------------------------------------------


class Reply:
    """A work that writes so many tokens, and says so."""

    def __init__(self, prompt: list[int], count: int) -> None:
        self.cancelled = self.over = False
        self.context: Any = None
        self.sampler: Any = None
        self.prompt, self.count = prompt, count
        self.text: list[int] = []

    def begin(self, model: Any) -> None:
        from llmsdk_providers.local.context import Context
        from llmsdk_providers.local.sampler import Sampler, Sampling

        self.context, self.sampler = Context(list(self.prompt)), Sampler(Sampling(), self.prompt, model.vocabulary)

    def accept(self, logits: Any, token: int) -> None:
        self.text.append(token)
        self.context.ids.append(token)
        self.over = len(self.text) == self.count

    def fail(self, error: Exception) -> None:
        raise error


def ours(folder: str, together: int) -> Callable[[list[Asked]], list[list[int]]]:
    from llmsdk_providers.local.native import Native, draw_up
    from llmsdk_providers.local.scheduler import Scheduler

    plan = draw_up(Path(folder), torch.float32, torch.device("cpu"))
    assert not isinstance(plan, str), plan
    model = Native(plan.build(torch.float32), 2**30)

    def run(asked: list[Asked]) -> list[list[int]]:
        scheduler, works = Scheduler(model), [Reply(*one) for one in asked]
        waiting, running = list(works), list[Reply]()
        while waiting or running:
            running += [waiting.pop(0) for _ in range(min(len(waiting), together - len(running)))]
            scheduler.step(running)
            for work in [work for work in running if work.over]:
                scheduler.release(work)
                running.remove(work)
        return [work.text for work in works]

    return run


# --- theirs -------------------------------------------------------------------------------------------------------


def module(folder: str) -> Any:
    load: Any = AutoModelForCausalLM
    return load.from_pretrained(folder, dtype=torch.float32).eval()


def generate(folder: str) -> Callable[[list[Asked]], list[list[int]]]:
    model = module(folder)

    def run(asked: list[Asked]) -> list[list[int]]:
        return [written(model, [ids], count)[0] for ids, count in asked]

    return run


def static(folder: str, size: int = 8) -> Callable[[list[Asked]], list[list[int]]]:
    """Batches in order of arrival, padded before, each as long as its longest reply."""
    model = module(folder)

    def run(asked: list[Asked]) -> list[list[int]]:
        found = []
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            rows = written(model, [ids for ids, _ in batch], max(count for _, count in batch))
            found += [row[:count] for row, (_, count) in zip(rows, batch, strict=True)]
        return found

    return run


def written(model: Any, prompts: list[list[int]], count: int) -> list[list[int]]:
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        output = model.generate(ids, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=0)
    rows: list[list[int]] = output[:, longest:].tolist()
    return rows


def continuous(folder: str) -> Callable[[list[Asked]], list[list[int]]]:
    """With room for all requests, and passes of 512 tokens, as ours."""
    from transformers import ContinuousBatchingConfig

    model = module(folder)
    config = ContinuousBatchingConfig(max_batch_tokens=512, num_blocks=64)
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=1),
        continuous_batching_config=config,
    )
    manager.start()

    def run(asked: list[Asked]) -> list[list[int]]:
        names = [manager.add_request(ids, max_new_tokens=count) for ids, count in asked]
        found: dict[str, list[int]] = {}
        while len(found) < len(names):
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                found[result.request_id] = result.generated_tokens
        return [found[name] for name in names]

    return run


ENGINES: dict[str, Callable[[str], Any]] = {
    "llmsdk": lambda folder: ours(folder, 32),
    "alone": lambda folder: ours(folder, 1),
    "generate": generate,
    "static": static,
    "continuous": continuous,
}


def finish(engine: str, result: object) -> None:
    print(json.dumps(result), flush=True)
    if engine == "continuous":
        import os

        os._exit(0)  # its thread is no daemon


def main(engine: str, folder: str) -> None:
    torch.set_num_threads(1)
    pin(0)
    if engine == "make":
        make(folder)
        return finish(engine, {})
    run = ENGINES[engine](folder)
    run([(list(range(50)), 8)])
    began = time.process_time()
    tokens = run(requests())
    return finish(engine, {"seconds": time.process_time() - began, "tokens": tokens})


if __name__ == "__main__":
    main(*sys.argv[1:])
