"""One work, one engine, one run: ``local_worker.py WORK ENGINE FOLDER`` prints what it took, and what was said.

``make`` writes a model instead, ``convert`` writes it anew for CTranslate2, and ``write_gguf`` for llama.cpp.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import local_models as models
import torch
from local_engines import LlamaCpp, Overruled, Reply, continuous, ctranslate2, generate, native, ours, run, static
from pin import pin

from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.sampler import Sampling, pick

Result = dict[str, Any]
BF16 = torch.bfloat16


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU milliseconds, and what came of it."""
    began = time.process_time()
    found = work()
    return 1000 * (time.process_time() - began), found


# --- works --------------------------------------------------------------------------------------------------------


def mixed(engine: str, folder: str, count: int = 32) -> Result:
    engines: dict[str, Callable[[], Any]] = {
        "generate": lambda: generate(folder),
        "static": lambda: static(folder),
        "continuous": lambda: continuous(folder),
        "continuous-bf16": lambda: continuous(folder, BF16),
        "alone": lambda: ours(native(folder), 1),
        "together": lambda: ours(native(folder)),
        "together-wide": lambda: ours(native(f"{folder}-wide")),
        "together-bf16": lambda: ours(native(folder, BF16)),
        "together-int8": lambda: ours(native(folder, int8=True)),
    }
    work = engines[engine]()
    work([(list(range(50)), 8)])
    value, said = timed(lambda: work(models.mixed(count)))
    return {"value": value, "said": said}


def single(engine: str, folder: str, rows: int = 1) -> Any:
    if engine.startswith("ct2-"):
        return ctranslate2(folder, engine.removeprefix("ct2-"))
    if engine.startswith("llama-"):
        return LlamaCpp(f"{folder}-{engine.removeprefix('llama-')}.gguf", rows)
    if engine == "generate":
        return generate(folder)
    return ours(native(f"{folder}-wide" if engine == "wide" else folder, int8=engine == "int8"))


def token(engine: str, folder: str, rows: int = 1) -> Result:
    """What a token more takes, of ``rows`` replies to 128 tokens each; and how much memory is read for it."""
    work, rng = single(engine, folder, rows), random.Random(3)
    prompts = [models.ids(rng, 128) for _ in range(rows)]
    work([(prompt[:16], 4) for prompt in prompts])
    # They begin with another id, so that nothing of the one is known for the other.
    short, _ = timed(lambda: work([([1, *prompt], 2) for prompt in prompts]))
    long, said = timed(lambda: work([([2, *prompt], 50) for prompt in prompts]))
    value = (long - short) / 48
    return {"value": value, "said": said, "rate": read(engine, folder) / value * 1000, "bandwidth": bandwidth()}


def read(engine: str, folder: str) -> float:
    """Bytes of our weights that a token reads: all but the embeddings, of which it reads one row."""
    shape = models.SHAPES["150m"]
    head = 2 * int(shape["vocab_size"]) * int(shape["hidden_size"])
    layers = stored(folder) - 2 * head
    return {"wide": 2, "int8": 0.5}.get(engine, 1) * layers + (2 if engine == "wide" else 1) * head


def stored(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def bandwidth() -> float:
    """Bytes a second that one thread reads."""
    many = torch.ones(2**26)
    return many.nbytes / min(timed(many.sum)[0] for _ in range(7)) * 1000


def first(engine: str, folder: str) -> Result:
    work, rng = single(engine, folder), random.Random(4)
    work([(models.ids(rng, 128), 1)])
    runs = [timed(lambda: work([(models.ids(rng, 128), 1)])) for _ in range(5)]
    return {"value": min(value for value, _ in runs), "said": [said[0] for _, said in runs]}


def prefix(engine: str, folder: str) -> Result:
    model = native(folder)
    if engine == "fresh":
        model.prefixes.keep = lambda context: None  # type: ignore[method-assign]
        model.soon = lambda context, others: False  # type: ignore[method-assign]
    work = ours(model, 8)
    work([(list(range(50)), 8)])
    value, said = timed(lambda: work(models.questions()))
    return {"value": value, "said": said}


def labels(engine: str, folder: str) -> Result:
    rng = random.Random(5)
    prompt, rows = models.ids(rng, 512), [models.ids(rng, rng.randint(2, 5)) for _ in range(16)]
    if engine == "forwards":
        module = models.module(folder)

        def work() -> list[Any]:
            with torch.inference_mode():
                return [module(torch.tensor([[*prompt, *row]])).logits[0, len(prompt) - 1 :] for row in rows]

    else:
        model = native(folder)

        def work() -> list[Any]:
            context = Context(list(prompt))
            model.place(context)
            before = model.forward([Piece(context, len(prompt))])
            found = [torch.cat([before, after]) for after in model.branches(context, rows)]
            model.release(context)
            return found

    work()
    value, logits = timed(work)
    chances = [float(each.log_softmax(-1)[range(len(row)), row].sum()) for each, row in zip(logits, rows, strict=True)]
    return {"value": value, "said": [round(chance, 2) for chance in chances]}


def quotes(engine: str, folder: str, *, reading: bool = True) -> Result:
    """Answers from documents, each with the sentence that proves it; with the reading of the documents, or without."""
    model = native(folder, kind=Overruled)

    def work(mark: int, asked: Sequence[tuple[list[int], list[int]]]) -> list[list[int]]:
        """Prompts behind another id each time, so that nothing of them is known."""
        found = []
        for prompt, reply in asked:
            model.script = [mark, *prompt, *reply]
            found += run(model, [Reply([mark, *prompt], len(reply), guess=engine == "lookup")], 1)
        return found

    asked = models.quoting_replies()
    work(0, [(prompt[:20], reply[:3]) for prompt, reply in asked[:1]])
    value, said = timed(lambda: work(1, asked))
    assert said == [reply for _, reply in asked]
    if not reading:
        value -= timed(lambda: work(2, [(prompt, reply[:1]) for prompt, reply in asked]))[0]
    return {"value": value, "said": said}


def host(engine: str, folder: str) -> Result:
    """Everything but the model: 32 requests that write, and logits that are there already."""

    class Nothing:
        together, whole_prompts, embeddings, vocabulary, longest, budget = True, False, 4096, 4096, 10**6, None

        def __init__(self) -> None:
            # As uneven as those of a model that has learnt something.
            self.logits = cycle(4 * torch.randn(64, 32, 4096, generator=torch.Generator().manual_seed(0)))

        def place(self, context: Context) -> bool:
            context.home = 1
            return True

        def soon(self, context: Context, others: object) -> bool:
            return False

        def keep(self, context: Context) -> None: ...

        def release(self, context: Context) -> None: ...

        def forward(self, pieces: list[Piece]) -> Any:
            rows = sum(piece.wanted for piece in pieces)
            for piece in pieces:
                piece.context.computed = piece.end
            return next(self.logits)[:rows]

        def pick(self, contexts: object, samplers: Any, logits: Any) -> Any:
            return pick(samplers, logits)

    sampling = Sampling(temperature=0.8, top_p=0.95, seed=1) if engine == "sampled" else Sampling()

    nothing = Nothing()

    def work(count: int) -> None:
        run(nothing, [Reply([1], count, sampling) for _ in range(32)], 32)

    work(20)
    value, _ = timed(lambda: work(300))
    return {"value": value / 300}


def loading(engine: str, folder: str) -> Result:
    """MiB: of the weights, or what the process had at most beyond what it had before."""
    if engine.endswith("wide"):
        folder += "-wide"
    if engine.startswith("weights"):
        return {"value": stored(folder) / 2**20}
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    kept = native(folder, int8=engine == "int8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del kept
    return {"value": (peak - before) / 2**20}


WORKS: dict[str, Callable[[str, str], Result]] = {
    "mixed": mixed,
    "mixed8": lambda engine, folder: mixed(engine, folder, 8),
    "token": token,
    "token8": lambda engine, folder: token(engine, folder, 8),
    "first": first,
    "prefix": prefix,
    "labels": labels,
    "quotes": quotes,
    "quoting": lambda engine, folder: quotes(engine, folder, reading=False),
    "host": host,
    "loading": loading,
    "loading-wide": loading,
}


def main(work: str, engine: str, folder: str) -> None:
    torch.set_num_threads(1)
    pin(0)
    result: Result = {}
    if work in ("make", "convert", "write_gguf"):
        getattr(models, work)(engine, folder)
    else:
        result = WORKS[work](engine, folder)
    print(json.dumps(result), flush=True)
    os._exit(0)  # the thread of transformers' continuous batching is no daemon


if __name__ == "__main__":
    main(*sys.argv[1:])
