"""The models that the local benchmarks run, and what is asked of them: ever the same."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from llmsdk.tasks import answer

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
    """An untied random model that never ends a reply: a tied one would say the same token for ever.

    Its weights are bfloat16, as most that are published; beside it, in a folder named ``-wide``, the same as float32.
    """
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(
        Qwen3Config(tie_word_embeddings=False, eos_token_id=None, **SHAPES[size])
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1 if "embed" in name else weight.shape[-1] ** -0.5 * 1.6)
    model.bfloat16().save_pretrained(Path(folder) / size)
    model.float().save_pretrained(Path(folder) / f"{size}-wide")


def convert(size: str, folder: str) -> None:
    """The same model as CTranslate2 wants it, in float32 and in 8 bits. It insists on names for the ids."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, models

    whole = Path(folder) / f"{size}-wide"
    names = {f"t{n}": n for n in range(SHAPES[size]["vocab_size"])}
    Tokenizer(models.WordLevel(names, unk_token="t0")).save(str(whole / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "t0", "bos_token": "t1", "eos_token": "t2"}
    (whole / "tokenizer_config.json").write_text(json.dumps(config))
    for kind in ("float32", "int8"):
        TransformersConverter(str(whole)).convert(f"{folder}/{size}-{kind}", quantization=kind)


def write_gguf(size: str, folder: str) -> None:
    """The same model as llama.cpp wants it, with matrices in float32, float16 and 8 bits. It has no vocabulary."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants
    from safetensors.numpy import load_file

    shape, types = SHAPES[size], GGMLQuantizationType
    for kind, matrices in (("float32", types.F32), ("float16", types.F16), ("q8_0", types.Q8_0)):
        writer = GGUFWriter(f"{folder}/{size}-{kind}.gguf", "qwen3")
        writer.add_vocab_size(shape["vocab_size"])
        writer.add_context_length(shape["max_position_embeddings"])
        writer.add_embedding_length(shape["hidden_size"])
        writer.add_block_count(shape["num_hidden_layers"])
        writer.add_feed_forward_length(shape["intermediate_size"])
        writer.add_head_count(shape["num_attention_heads"])
        writer.add_head_count_kv(shape["num_key_value_heads"])
        writer.add_key_length(shape["head_dim"])
        writer.add_value_length(shape["head_dim"])
        writer.add_rope_freq_base(10_000.0)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_tokenizer_model("none")
        for name, weight in load_file(f"{folder}/{size}-wide/model.safetensors").items():
            kept = matrices if weight.ndim > 1 else types.F32
            writer.add_tensor(_gguf_name(name), quants.quantize(weight, kept), raw_dtype=kept)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


GGUF = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.o_proj": "attn_output",
    "self_attn.": "attn_",
    "mlp.": "ffn_",
    "_proj": "",
}


def _gguf_name(name: str) -> str:
    for theirs, gguf in GGUF.items():
        name = name.replace(theirs, gguf)
    return name


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


def quoting_replies() -> list[tuple[list[int], list[int]]]:
    """Prompts of ``client.answer`` about passages of XQuAD, and the replies that it asks for: the answer, then the
    sentence that proves it, word for word. In GPT-2's tokens, as numbers of the random model's vocabulary."""
    from tokenizers import ByteLevelBPETokenizer

    shared = os.environ.get("LLMSDK_TEST_DATA") or Path(__file__).parents[2] / "shared"
    data = Path(shared) / "data"
    gpt2 = data / "tokenizer-gpt2"
    tokenizer = ByteLevelBPETokenizer(str(gpt2 / "vocab.json"), str(gpt2 / "merges.txt"))
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text("utf-8"))["data"]
    found = [asked for article in articles[:8] if (asked := _quoting(article["paragraphs"][0])) is not None]
    return [tuple([token % 16384 for token in tokenizer.encode(text).ids] for text in pair) for pair in found]  # type: ignore[misc]


def _quoting(paragraph: dict[str, Any]) -> tuple[str, str] | None:
    passage, asked = paragraph["context"], paragraph["qas"][0]
    right = asked["answers"][0]
    sentence = next((each for each in re.split(r"(?<=[.!?]) +", passage) if right["text"] in each), None)
    if sentence is None:
        return None
    prompt = "\n".join(turn.text for turn in answer.prompt(asked["question"], [passage]))
    return f"{prompt}\n", f"{right['text']}\n[1] {sentence}"
