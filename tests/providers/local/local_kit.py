"""What the tests of the local runtime share: small models made on the spot, real tokenizers, and ways to ask."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from llmsdk.io.drive import iterate
from llmsdk.io.sync import SyncIO
from llmsdk.types import Event, Finish, Message, Output, Request, Score, TextDelta, Usage
from llmsdk_providers.local import Local

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' and not loop.first %}{{ raise_exception('system only first') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CORPUS = [
    "Once upon a time there was a little dog who liked to play in the garden with a big red ball.",
    "The weather is good today, and the children are happy. Is it good or bad? It is very good!",
    "今天是星期五，天气很好，我们去公园玩。你好，世界。",
    "def add(a, b):\n    return a + b\n",
]
COMMON = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {**COMMON, "num_key_value_heads": 2, "max_position_embeddings": 256},
    "qwen2": {**COMMON, "num_key_value_heads": 2, "max_position_embeddings": 256},
    "qwen3": {**COMMON, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 256},
    "mistral": {**COMMON, "num_key_value_heads": 2, "sliding_window": 24, "max_position_embeddings": 256},
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "rwkv": {"hidden_size": 48, "num_hidden_layers": 2, "attention_hidden_size": 48},
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 1,
    },
}


# --- models -------------------------------------------------------------------------------------------------------


def make_tokenizer(
    folder: Path, *, template: str | None = TEMPLATE, words: Sequence[str] = (), control: bool = False
) -> int:
    """Write a byte-level tokenizer with its own control tokens. Says how many tokens it has.

    ``words`` are tokens besides, control tokens too if ``control``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_tokens([AddedToken(word, special=control, normalized=False) for word in words])
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "clean_up_tokenization_spaces": False,
    }
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return int(made.get_vocab_size())


def make_model(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    template: str | None = TEMPLATE,
    words: Sequence[str] = (),
    control: bool = False,
    stored: str = "float32",
    **changes: Any,
) -> Path:
    """A folder with an untied random model whose greedy text is not one repeated token, its weights ``stored`` so."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    size = make_tokenizer(folder, template=template, words=words, control=control)
    torch.manual_seed(seed)
    ends = {"bos_token_id": size - 5, "eos_token_id": size - 4, "pad_token_id": None}
    config = AutoConfig.for_model(
        kind, vocab_size=size, **{"tie_word_embeddings": False, **ends, **SHAPES[kind], **changes}
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1 if "embed" in name or "wte" in name else 0.3)
            elif "norm" in name or name.endswith("bias"):
                weight += 0.1 * torch.randn_like(weight)
    model.to(getattr(torch, stored)).save_pretrained(folder)
    return folder


def make_talker(folder: Path, script: Sequence[str], **how: Any) -> Path:
    """A model that replies to every conversation with the same, in which no token comes twice: each calls for the next.

    ``how`` is as for ``make_model``.
    """
    from transformers import AutoTokenizer

    make_model(folder, max_position_embeddings=1024, **how)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    conversation = [{"role": "user", "content": "a"}]
    prompt = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=False)
    chain = [prompt[-1], *(token for part in script for token in tokenizer.encode(part, add_special_tokens=False))]
    assert len({*chain}) == len(chain), tokenizer.convert_ids_to_tokens(chain)

    def change(weights: dict[str, Any]) -> None:
        for name, weight in weights.items():
            if "o_proj" in name or "down_proj" in name or "lm_head" in name:
                weight.zero_()
            elif "norm" in name:
                weight.fill_(1)
        for token, following in pairwise(chain):
            weights["lm_head.weight"][following] = weights["model.embed_tokens.weight"][token]

    poison(folder, change)
    return folder


@lru_cache
def load_reference(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model of a folder as transformers loads them by itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM
    return AutoTokenizer.from_pretrained(folder), model.from_pretrained(folder, dtype=torch.float32).eval()


def reference_text(folder: Path, prompt: str, count: int) -> tuple[str, list[int]]:
    """What ``generate`` continues greedily: the text behind the prompt, and the new ids up to the end."""
    import torch

    tokenizer, model = load_reference(folder)
    ids = tokenizer.encode(prompt)
    given = torch.tensor([ids])
    with torch.inference_mode():
        output = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
    new = output[0, len(ids) :].tolist()
    if tokenizer.eos_token_id in new:
        new = new[: new.index(tokenizer.eos_token_id) + 1]
    whole = tokenizer.decode([*ids, *new], skip_special_tokens=True)
    return whole[len(tokenizer.decode(ids, skip_special_tokens=True)) :], new


def poison(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a folder's weights after ``change`` had its way with them."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_weights(file: Path, *, extra: bytes = b"") -> None:
    """The smallest safetensors file there is: one number."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0" + extra)


# --- asking -------------------------------------------------------------------------------------------------------


def ask(provider: Local, request: Request) -> list[Event]:
    """All events of a reply, on the blocking face."""
    with closing(iterate(provider.generate(request, SyncIO()))) as events:
        return list(events)


def text_of(events: Sequence[Event], index: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.index == index)


def finish_of(events: Sequence[Event], index: int = 0) -> Finish:
    (finish,) = [event for event in events if isinstance(event, Finish) and event.index == index]
    return finish


def usage_of(events: Sequence[Event]) -> Usage:
    return [event for event in events if isinstance(event, Usage)][-1]


def complete(provider: Local, model: object, prompt: str, **fields: Any) -> str:
    return text_of(ask(provider, Request(str(model), prompt, **fields)))


def chat(provider: Local, model: object, *turns: str, **fields: Any) -> str:
    """The reply to a conversation that begins with the user."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[n % 2], turn) for n, turn in enumerate(turns))  # type: ignore[arg-type]
    return text_of(ask(provider, Request(str(model), messages, **fields)))


def scores(provider: Local, request: Request, candidates: Sequence[str]) -> tuple[Score, ...]:
    with closing(iterate(provider.score(request, candidates, SyncIO()))) as events:
        (output,) = [event for event in events if isinstance(event, Output)]
    value: tuple[Score, ...] = output.value
    return value


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


# --- real tokenizers ----------------------------------------------------------------------------------------------


@lru_cache
def gpt2_tokenizer(data: Path) -> Any:
    """The real GPT-2 tokenizer of the shared data."""
    from transformers import GPT2Tokenizer

    kind: Any = GPT2Tokenizer
    return kind.from_pretrained(data / "tokenizer-gpt2")


def tiktoken_tokenizer(data: Path, file: str, special: str) -> Any:
    """A byte-level tokenizer with the pieces of a tiktoken file. It decodes; encoding would need the merges."""
    import base64

    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    ranks = [line.split() for line in (data / "tiktoken-cache" / file).read_text("ascii").splitlines()]
    letters = {byte: letter for letter, byte in alphabet().items()}
    vocabulary = {"".join(letters[byte] for byte in base64.b64decode(piece)): int(rank) for piece, rank in ranks}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(special, special=True, normalized=False)])
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=made, eos_token=special)


def alphabet() -> dict[str, int]:
    """The characters of byte-level tokenizers and their bytes, by the rule of GPT-2's own encoder."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(shifted)}


@lru_cache
def mistral_tokenizer(data: Path) -> Any:
    """The real Mistral v3 tokenizer: its SentencePiece pieces in the tokenizer that transformers makes of them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = list(sentencepieces((data / "tokenizer-mistral-v3" / "tokenizer.model").read_bytes()))
    vocabulary = {name: n for n, (name, _, _) in enumerate(pieces)}
    merges = []
    for name, _, kind in pieces:
        if kind == 1 and len(name) > 1:
            halves = [(name[:n], name[n:]) for n in range(1, len(name))]
            merges += [(vocabulary[name], left, right) for left, right in halves if {left, right} <= vocabulary.keys()]
    ordered = [(left, right) for _, left, right in sorted(merges)]
    made = Tokenizer(models.BPE(vocabulary, ordered, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    control = [name for name, _, kind in pieces if kind in (2, 3)]
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in control])
    kind_of: Any = PreTrainedTokenizerFast
    return kind_of(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def sentencepieces(model: bytes) -> Iterator[tuple[str, float, int]]:
    """The pieces of a SentencePiece file, a protobuf: name, score, and kind (1 normal, 2 unknown, 3 control)."""
    at = 0
    while at < len(model):
        key, at = _varint(model, at)
        if key & 7 != 2:
            at = _varint(model, at)[1] if key & 7 == 0 else at + (8 if key & 7 == 1 else 4)
            continue
        size, at = _varint(model, at)
        if key >> 3 == 1:
            yield _piece(model[at : at + size])
        at += size


def _piece(data: bytes) -> tuple[str, float, int]:
    name, score, kind, at = "", 0.0, 1, 0
    while at < len(data):
        key, at = _varint(data, at)
        if key == 0x0A:
            size, at = _varint(data, at)
            name, at = data[at : at + size].decode(), at + size
        elif key == 0x15:
            score, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            kind, at = _varint(data, at)
    return name, score, kind


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
