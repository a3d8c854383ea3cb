"""One work on a GPU, one engine, one run: ``gpu_worker.py WORK ENGINE SIZE`` prints what it took.

Where there is no CUDA device it runs on the CPU all the same, which is good for trying whether it runs.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from local_engines import Reply, run
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig, Qwen3Config

from llmsdk_providers.local.decoder import Decoder
from llmsdk_providers.local.graphs import Work, again
from llmsdk_providers.local.native import Blueprint
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.shape import Shape
from llmsdk_providers.local.weights import EMBEDDINGS, expected

Result = dict[str, Any]
Asked = tuple[list[int], int]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BF16 = torch.bfloat16
SHAPES = {
    "tiny": (2, 64, 4, 2, 16, 128, 500),
    "0.6b": (28, 1024, 16, 8, 128, 3072, 151_936),
    "8b": (36, 4096, 32, 8, 128, 12_288, 151_936),
}
"""Of Qwen3 models: layers, width, heads, heads of keys, size of a head, inner width, vocabulary."""


def config(size: str) -> Any:
    layers, hidden, heads, kv_heads, head_dim, inner, vocabulary = SHAPES[size]
    return Qwen3Config(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=inner,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        eos_token_id=None,
    )


class Invented:
    """Weights as files would have them: random ones, made on the device, which no disk has to hold."""

    def __init__(self, shape: Shape) -> None:
        self.shapes = expected(shape)

    def read(self, name: str) -> Any:
        size = self.shapes[name]
        if "norm" in name:
            return torch.ones(size, device=DEVICE, dtype=BF16)
        scale = 1.0 if name == EMBEDDINGS else 1.6 * size[-1] ** -0.5
        return torch.randn(size, device=DEVICE, dtype=BF16) * scale


def decoder(size: str) -> Decoder:
    shape = Shape.of(config(size))
    invented: Any = Invented(shape)
    return Blueprint(config(size), shape, invented).build(BF16, device=DEVICE)


def uncaptured(work: Work) -> Work:
    return work


def ours(size: str, engine: str) -> Callable[[list[Asked]], Any]:
    room = 2**33 if DEVICE.type == "cuda" else 2**27
    plain = {"capture": uncaptured if DEVICE.type == "cuda" else again, "overlap": False}
    model = Paged(decoder(size), room, **(plain if engine == "plain" else {}))
    return lambda asked: run(model, [Reply(*one) for one in asked], 256)


def module(size: str) -> Any:
    with DEVICE:
        return AutoModelForCausalLM.from_config(config(size), dtype=BF16).eval()


def generate(size: str) -> Callable[[list[Asked]], Any]:
    model = module(size)

    def work(asked: list[Asked]) -> None:
        with torch.inference_mode():
            for ids, count in asked:
                given = torch.tensor([ids], device=DEVICE)
                mask = torch.ones_like(given)
                model.generate(given, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=0)

    return work


def continuous(size: str) -> Callable[[list[Asked]], Any]:
    manager = module(size).init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=1),
        # Room for all requests at once, as ours has; with more its masks over all of it would be larger too.
        continuous_batching_config=ContinuousBatchingConfig(
            max_batch_tokens=2048, num_blocks=1024 if DEVICE.type == "cuda" else 64
        ),
    )
    manager.start()

    def work(asked: list[Asked]) -> None:
        waiting = {manager.add_request(ids, max_new_tokens=count) for ids, count in asked}
        while waiting:
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                waiting.discard(result.request_id)

    return work


def engine_of(engine: str, size: str) -> Callable[[list[Asked]], Any]:
    peers = {"generate": generate, "continuous": continuous}
    return peers[engine](size) if engine in peers else ours(size, engine)


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds on the clock, until the device has done all of it."""
    wait = torch.cuda.synchronize if DEVICE.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    work()
    wait()
    return 1000 * (time.perf_counter() - began)


# --- works --------------------------------------------------------------------------------------------------------


def machine(engine: str, size: str) -> Result:
    """Whether there is a GPU, which, and how many bytes a second it reads."""
    if DEVICE.type != "cuda":
        return {"name": None}
    many = torch.ones(2**30, device=DEVICE)
    work = many.sum
    return {"name": torch.cuda.get_device_name(), "bandwidth": many.nbytes / min(timed(work) for _ in range(9)) * 1000}


def token(engine: str, size: str) -> Result:
    """What a token more takes of one reply, and how many bytes of weights are read for it in a second."""
    work, rng, count = engine_of(engine, size), random.Random(3), 256
    prompt = ids(rng, 128, size)
    work([(prompt, count)])
    short = timed(lambda: work([([*prompt, 1], 2)]))
    long = timed(lambda: work([([*prompt, 2], 2 + count)]))
    value = (long - short) / count
    sizes = expected(Shape.of(config(size)))
    read = 2 * sum(prod(each) for name, each in sizes.items() if name != EMBEDDINGS)
    return {"value": value, "rate": read / value * 1000}


def mixed(engine: str, size: str) -> Result:
    """Milliseconds a token of 256 replies of 64 to 256 to prompts of 64 to 512; one by one only the first 8."""
    work, rng = engine_of(engine, size), random.Random(1)
    asked = [(ids(rng, rng.randint(64, 512), size), rng.randint(64, 256)) for _ in range(256)]
    asked = asked[:8] if engine == "generate" or DEVICE.type == "cpu" else asked
    again_ = [(ids(rng, len(prompt), size), count) for prompt, count in asked]
    work(asked)
    return {"value": timed(lambda: work(again_)) / sum(count for _, count in again_)}


def ids(rng: random.Random, count: int, size: str) -> list[int]:
    return [rng.randrange(SHAPES[size][-1]) for _ in range(count)]


if __name__ == "__main__":
    if DEVICE.type == "cpu":
        torch.set_num_threads(1)
    print(json.dumps({"machine": machine, "token": token, "mixed": mixed}[sys.argv[1]](*sys.argv[2:])), flush=True)
    os._exit(0)  # the thread of transformers' continuous batching is no daemon
