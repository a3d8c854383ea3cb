"""The work of a local engine, each piece by ours and by its peers on the same model: seconds of CPU, as ratios."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from environments import library
from report import Report, table

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work, and who does it; the first is what the others are compared with."""

    name: str
    model: str
    what: str
    engines: dict[str, str]


SINGLE = {
    "generate": "`generate`, float32",
    "float32": "llmsdk, float32, weights of 16 bits",
    "wide": "llmsdk, float32",
    "ct2-float32": "CTranslate2, float32",
    "int8": "llmsdk, int8",
    "ct2-int8": "CTranslate2, int8",
    "llama-float32": "llama.cpp, float32",
    "llama-float16": "llama.cpp, float32, weights of 16 bits",
    "llama-q8_0": "llama.cpp, q8_0",
}
EIGHT = {"ct2-int8": SINGLE["ct2-int8"], **{name: said for name, said in SINGLE.items() if name != "generate"}}
WORKS = (
    Work(
        "mixed",
        "5m",
        "32 mixed requests, 5M, float32",
        {
            "generate": "`generate`, one by one",
            "static": "`generate`, in batches of 8",
            "continuous": "transformers' continuous batching",
            "alone": "llmsdk, one by one",
            "together": "llmsdk, together",
            "together-wide": "llmsdk, together, weights of 32 bits",
        },
    ),
    Work(
        "mixed8",
        "150m",
        "8 mixed requests, 150M",
        {
            "continuous-bf16": "transformers' continuous batching, bfloat16",
            "together-bf16": "llmsdk, bfloat16",
            "together-int8": "llmsdk, int8",
        },
    ),
    Work("token", "150m", "a token of one reply, 150M", SINGLE),
    Work("token8", "150m", "a token of each of 8 replies, 150M", EIGHT),
    Work("first", "150m", "first token, prompt of 128, 150M", SINGLE),
    Work(
        "prefix",
        "5m",
        "32 questions on 1,000 shared tokens, 5M",
        {"fresh": "llmsdk, nothing kept", "kept": "llmsdk"},
    ),
    Work(
        "labels",
        "5m",
        "16 labels on a prompt of 512, 5M",
        {"forwards": "a forward of transformers a label", "packed": "llmsdk"},
    ),
    Work(
        "quotes",
        "150m",
        "8 answers that quote, 150M, float32",
        {"plain": "llmsdk, token by token", "lookup": "llmsdk"},
    ),
    Work(
        "quoting",
        "150m",
        "writing them, when the documents are read",
        {"plain": "llmsdk, token by token", "lookup": "llmsdk"},
    ),
    Work(
        "host",
        "none",
        "a step of 32 requests without a model",
        {"greedy": "llmsdk, greedy", "sampled": "llmsdk, sampled"},
    ),
    Work(
        "loading",
        "150m",
        "MiB at most while 150M of 16 bits are loaded",
        {"weights": "the files", "float32": "llmsdk, float32", "int8": "llmsdk, int8"},
    ),
    Work(
        "loading-wide",
        "150m",
        "MiB at most while 150M of 32 bits are loaded",
        {"weights-wide": "the files", "wide": "llmsdk, float32"},
    ),
)
NOTE = """\
CPU milliseconds of a process on one core and one thread, after a warm-up: the least of all rounds (in brackets the
median), which here are {rounds}, interleaved, each in a fresh process; for loading, MiB. The ratio is to the first line
of each work in the same round, the median again: how many times faster. *The same*: replies with the tokens of the
first line (random weights: in bfloat16 and int8 near-ties fall otherwise). Random untied Qwen3-shaped models of 5 and
149 million parameters. Their weights are bfloat16, as most that are published. In float32 all compute with the same
numbers, kept in 32 bits; in 16 where it says so, and in ours where it says nothing. Mixed requests have 20 to 180
tokens and replies of 16 to 96. Answers that quote are given (passages of XQuAD, replies as `answer` asks for them): the
model computes every token and is overruled. One thread of this machine reads {bandwidth:.1f} GB/s from memory; of that
a token of one reply takes {shares}.
{llama}"""
BUILT = "llama.cpp is built from source, for this processor; its 8 bits are those of the embeddings and the head too."
NOT_BUILT = "llama.cpp, which is built from source, could not be built here and is left out."


def measure(rounds: int) -> Report:
    """``rounds`` times every engine of every work, in turn."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        once("make", "5m", folder)
        once("make", "150m", folder)
        once("convert", "150m", folder)
        if llama_cpp() is not None:
            once("write_gguf", "150m", folder)
        for work, _ in product(WORKS, range(rounds)):
            for engine in engines_of(work):
                found[work.name, engine].append(once(work.name, engine, f"{folder}/{work.model}"))
    figures = {work.name: figures_of(work, found) for work in WORKS}
    bandwidth = max(run["bandwidth"] for run in found["token", "float32"])
    rates = {engine: max(run["rate"] for run in found["token", engine]) for engine in ("float32", "wide", "int8")}
    shares = ", ".join(
        f"{rate / bandwidth:.0%} with weights of {bits} bits"
        for rate, bits in zip(rates.values(), (16, 32, 8), strict=True)
    )
    llama = NOT_BUILT if llama_cpp() is None else BUILT
    heads = ["work", "engine", "CPU ms", "ratio", "the same"]
    rows = [row for work in WORKS for row in rows_of(work, figures[work.name])]
    note = NOTE.format(rounds=rounds, bandwidth=bandwidth / 1e9, shares=shares, llama=llama)
    return Report(table(heads, rows, note), {**figures, "bandwidth": bandwidth, "rates": rates})


@cache
def llama_cpp() -> Path | None:
    """A folder with llama.cpp. It has no wheel: where it has not been built yet, that takes a compiler and minutes."""
    os.environ.setdefault("CMAKE_ARGS", "-DLLAVA_BUILD=OFF")
    try:
        return library("llama-cpp-python", "diskcache", "gguf")
    except subprocess.CalledProcessError:
        return None


def engines_of(work: Work) -> dict[str, str]:
    """Those that there are."""
    return {name: said for name, said in work.engines.items() if llama_cpp() or not name.startswith("llama-")}


def once(work: str, engine: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "local_worker.py"), work, engine, folder]
    libraries = [library("ctranslate2"), llama_cpp()]
    setting = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in libraries if folder)}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=setting).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def figures_of(work: Work, found: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    reference = found[work.name, next(iter(work.engines))]
    return {engine: summary(found[work.name, engine], reference) for engine in engines_of(work)}


def summary(runs: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    values = [run["value"] for run in runs]
    ratio = median(theirs["value"] / ours["value"] for ours, theirs in zip(runs, reference, strict=True))
    said, expected = runs[0].get("said", []), reference[0].get("said", [])
    same = sum(ours == theirs for ours, theirs in zip(said, expected, strict=True))
    return {"least": min(values), "median": median(values), "ratio": ratio, "same": same, "of": len(said)}


def rows_of(work: Work, figures: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = []
    for n, (engine, name) in enumerate(engines_of(work).items()):
        figure = figures[engine]
        same = f"{figure['same']}/{figure['of']}" if figure["of"] else ""
        shown = f"{number(figure['least'])} ({number(figure['median'])})"
        rows.append(["" if n else work.what, name, shown, f"{figure['ratio']:.2f}x", same])
    return rows


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
