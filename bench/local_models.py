"""The models that the local benchmarks run, and what is asked of them: ever the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config

from llmsdk.tasks import answer
from llmsdk_providers.local.folder import POCKET_FOLDER

SHAPES: dict[str, dict[str, Any]] = {
    "5m": {
        "vocab_size": 4096,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "intermediate_size": 768,
        "max_position_embeddings": 2048,
    },
    "150m": {
        "vocab_size": 16384,
        "hidden_size": 768,
        "num_hidden_layers": 18,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "intermediate_size": 2304,
        "max_position_embeddings": 2048,
    },
}
Asked = tuple[list[int], int]
"""The ids of a prompt, and how many the reply is to have."""


def make(size: str, folder: str) -> None:
    """An untied random model that never ends a reply: a tied one would say the same token for ever."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(
        Qwen3Config(tie_word_embeddings=False, eos_token_id=None, **SHAPES[size])
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1 if "embed" in name else weight.shape[-1] ** -0.5 * 1.6)
    model.save_pretrained(Path(folder) / size)


def convert(size: str, folder: str) -> None:
    """The same model as CTranslate2 wants it, in float32 and in 8 bits. It insists on names for the ids."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, models

    whole = Path(folder) / size
    names = {f"t{n}": n for n in range(SHAPES[size]["vocab_size"])}
    Tokenizer(models.WordLevel(names, unk_token="t0")).save(str(whole / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t0", "bos_token": "t1", "eos_token": "t2"}
    (whole / "tokenizer_config.json").write_text(json.dumps(config))
    for kind in ("float32", "int8"):
        TransformersConverter(str(whole)).convert(f"{whole}-{kind}", quantization=kind)


def module(folder: str, dtype: torch.dtype = torch.float32) -> Any:
    load: Any = AutoModelForCausalLM
    return load.from_pretrained(folder, dtype=dtype).eval()


def ids(rng: random.Random, size: int) -> list[int]:
    return [rng.randrange(4096) for _ in range(size)]


def mixed(count: int) -> list[Asked]:
    rng = random.Random(1)
    sizes = [(rng.randint(20, 180), rng.randint(16, 96)) for _ in range(count)]
    return [(ids(rng, size), length) for size, length in sizes]


def questions() -> list[Asked]:
    """Of 30 tokens each, on the same 1,000."""
    rng = random.Random(2)
    shared = ids(rng, 1000)
    return [([*shared, *ids(rng, 30)], 24) for _ in range(32)]


def pocket_questions() -> list[list[int]]:
    """Questions to ``local:pocket`` about a few sentences, each of which is proved by one of them."""
    rng, tokenizer = random.Random(6), AutoTokenizer.from_pretrained(POCKET_FOLDER)
    names, places = ("Anna", "Tom", "Maria", "Peter", "Lisa", "Jack"), ("library", "hospital", "school", "bank")

    def prompt() -> list[int]:
        lines = [f"{name} works in the {rng.choice(places)}." for name in rng.sample(names, 4)]
        turns = answer.prompt(f"Where does {lines[1].split()[0]} work?", lines)
        chat = [{"role": turn.role, "content": turn.text} for turn in turns]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        found: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return found

    return [prompt() for _ in range(24)]
