"""The tokenizer of pocket: BPE over the world's own words, with bytes for everything else.

A text begins with a space and so does each of its lines, so that a word is the same token wherever it stands; the
decoder takes those spaces away again. Chinese merges stay inside the generator's words; digits are split one by one.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from examples import group
from rendering import BEGIN, END, PAD, ROLES
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from world import any_fact
from world_frames import PATTERNS, STATES, WRAPPERS
from world_opinions import DISLIKED, FRAMES, LIKED, SO_SO, opinion
from world_stories import STORIES
from world_words import CITIES, NAMES

SIZE = 4096
PIECES = r"\n| ?[A-Za-z]+|[0-9]|[\u4e00-\u9fff]+| ?[^\sA-Za-z0-9\u4e00-\u9fff]+|\s"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('pocket knows the roles system, user and assistant only') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_SPECIAL = (PAD, BEGIN, END, *ROLES)
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_BREAK = "\x00"


def _spaced(rng: random.Random) -> Iterator[str]:
    """Chinese with spaces between its words."""
    for rows in (PATTERNS, STATES, WRAPPERS):
        yield from (re.sub(r"\{.*?\}", " ", row.zh) for row in rows)
    yield from (re.sub(r"\{.*?\}", " ", zh) for _, zh in (*FRAMES, *LIKED, *DISLIKED, *SO_SO))
    yield from (re.sub(r"\{.*?\}", " ", zh) for lines in STORIES for _, zh in lines)
    for _ in range(30_000):
        yield any_fact(rng).text[1]
    for mood in ("good", "bad", "neutral"):
        for _ in range(4_000):
            yield opinion(rng, mood, CITIES, NAMES).text[1]


def _segment(run: str, known: Counter[str]) -> Iterator[str]:
    """Cut a run of Chinese into the longest known words."""
    at = 0
    while at < len(run):
        size = next((n for n in (6, 5, 4, 3, 2) if run[at : at + n] in known and len(run) - at >= n), 1)
        yield run[at : at + size]
        at += size


def _pieces(rng: random.Random, groups: int) -> Counter[str]:
    """How often each piece stands in the training texts; the language of requests from beyond counts little."""
    known: Counter[str] = Counter(w for line in _spaced(rng) for w in line.split() if _HAN.fullmatch(w))
    counts = Counter({word: min(count, 400) for word, count in known.items()})
    splitter = re.compile(PIECES)
    for _ in range(groups):
        for n, example in enumerate(group(rng)):
            if example.task == "beyond" and (rng.random() < 0.7 or _HAN.search(example.prompt)):
                continue
            text = (example.prompt if n == 0 else example.prompt[example.prompt.rfind("<|user|>") :]) + example.reply
            for part in re.split(r"<\|\w+\|>", text):
                for piece in splitter.findall((" " + part).replace("\n", "\n ")):
                    counts.update(_segment(piece, known) if _HAN.fullmatch(piece) else (piece,))
    return counts


def _corpus(rng: random.Random, groups: int) -> Iterator[str]:
    """The pieces with breaks where no token may reach across; rare ones count for more than they are."""
    for piece, count in sorted(_pieces(rng, groups).items()):
        if count >= 3:
            yield _BREAK.join([piece] * round(max(count, 250 if count > 5 else 0) ** 0.5))


def build(seed: int, groups: int = 9_000) -> Tokenizer:
    """Train the tokenizer on the generator's own texts."""
    draft = Tokenizer(models.BPE())
    draft.pre_tokenizer = pre_tokenizers.Split(_BREAK, "removed")
    ascii_characters = [chr(code) for code in range(32, 127)] + ["\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 256 - len(_SPECIAL), initial_alphabet=ascii_characters, show_progress=False, min_frequency=2,
        limit_alphabet=4000,
    )  # fmt: skip
    draft.train_from_iterator(_corpus(random.Random(seed), groups), trainer)
    learnt = json.loads(draft.to_str())["model"]
    words = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    names = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    merges = [tuple(merge) for merge in learnt["merges"]]
    made = Tokenizer(models.BPE({name: n for n, name in enumerate(names)}, merges, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Replace("\n", "\n "), normalizers.Prepend(" ")])
    made.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    made.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("\n ", "\n"), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in _SPECIAL])
    made.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, names.index(BEGIN))]
    )
    return made


def save(made: Tokenizer, folder: Path) -> None:
    """Write the tokenizer as transformers reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BEGIN, "eos_token": END, "pad_token": PAD,
        "model_max_length": 1024, "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE,
        "additional_special_tokens": list(ROLES),
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", "utf-8")
