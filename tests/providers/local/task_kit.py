"""Small random models that were made for one task, and what transformers says of them by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from local_kit import CORPUS

from llmsdk.io.drive import iterate
from llmsdk.types import Event, Output

SHAPE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 96,
}
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "marian": {**SHAPE, "share_encoder_decoder_embeddings": True, "scale_embedding": True},
    "m2m_100": {**SHAPE, "scale_embedding": True},
    "mbart": {**SHAPE, "scale_embedding": True},
    "bart": SHAPE,
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "n_positions": 96},
}
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
CODES = {
    "m2m_100": ["__en__", "__de__", "__zh__"],
    "mbart": ["en_XX", "de_DE", "zh_CN"],
    "nllb": ["eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant"],
}
T5_TASKS = {
    "translation_en_to_de": {"prefix": "translate English to German: "},
    "translation_en_to_fr": {"prefix": "translate English to French: "},
    "summarization": {"prefix": "summarize: "},
}


# --- tokenizers ---------------------------------------------------------------------------------------------------


def make_end_tokenizer(folder: Path, codes: Sequence[str] = (), **config: Any) -> dict[str, int]:
    """A byte-level tokenizer that closes each text with ``</s>``, as those of translation models do."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    names = ["<pad>", "</s>", "<unk>", *codes]
    special = [AddedToken(name, special=True, normalized=False) for name in names]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    _write_config(folder, {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", **config})
    return dict(made.get_vocab())


def make_pair_tokenizer(folder: Path) -> dict[str, int]:
    """A tokenizer of word pieces that frames a text, or two, as BERT's does."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=names, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.save(str(folder / "tokenizer.json"))
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    _write_config(folder, {**marks, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]})
    return dict(made.get_vocab())


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    table = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(table), "utf-8")


# --- models -------------------------------------------------------------------------------------------------------


def make_seq2seq(
    folder: Path,
    kind: str = "marian",
    *,
    seed: int = 0,
    codes: Sequence[str] | None = None,
    tokenizer: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A folder with an untied random model that rewrites texts; ``generation`` are its own settings."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    folder.mkdir(parents=True, exist_ok=True)
    known = {"marian": {"source_lang": "en", "target_lang": "de"}}.get(kind, {}) if tokenizer is None else tokenizer
    vocabulary = make_end_tokenizer(folder, CODES.get(kind, ()) if codes is None else codes, **known)
    marks = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 0}
    start = {"decoder_start_token_id": 0 if kind in ("marian", "t5") else 1}
    fields = {"tie_word_embeddings": False, **marks, **start, **SEQ2SEQ[kind], **changes}
    if kind == "marian":
        fields["decoder_vocab_size"] = len(vocabulary)
    config = AutoConfig.for_model(kind, vocab_size=len(vocabulary), forced_eos_token_id=None, **fields)
    auto: Any = AutoModelForSeq2SeqLM
    model = _randomized(lambda: auto.from_config(config), seed)
    for name, value in {**marks, **start, "max_length": None, **(generation or {})}.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    return folder


def make_encoder(folder: Path, head: str, *, seed: int = 0, **changes: Any) -> Path:
    """A folder with a random BERT; ``head`` is the rest of its class, such as ``ForQuestionAnswering``."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = make_pair_tokenizer(folder)
    config = transformers.BertConfig(vocab_size=len(vocabulary), **{**BERT, **changes})
    model = _randomized(lambda: getattr(transformers, f"Bert{head}")(config), seed)
    model.save_pretrained(folder)
    return folder


def make_sentences(folder: Path, *, modules: Sequence[str] = (), seed: int = 0, **pooling: Any) -> Path:
    """A folder of sentence-transformers."""
    make_encoder(folder, "Model", seed=seed)
    steps = ["Transformer", "Pooling", *modules]
    table = [
        {"idx": n, "path": f"{n}_{step}" if n else "", "type": f"sentence_transformers.models.{step}"}
        for n, step in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(table), "utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    return folder


def _randomized(make: Callable[[], Any], seed: int) -> Any:
    import torch

    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "embed_positions" not in name:
                weight.normal_(0, 0.2 if "embed" in name or "shared" in name else 0.5)
            elif weight.dim() == 1:
                weight += 0.1 * torch.randn_like(weight)
    return model


# --- references ---------------------------------------------------------------------------------------------------


@lru_cache
def load_seq2seq(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model of a folder as transformers loads them by itself."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    auto: Any = AutoModelForSeq2SeqLM
    return AutoTokenizer.from_pretrained(folder), auto.from_pretrained(folder, dtype=torch.float32).eval()


def generated(folder: Path, ids: Sequence[int], count: int, **settings: Any) -> list[int]:
    """What ``generate`` makes of ids, without its first one and without padding."""
    import torch

    _, model = load_seq2seq(folder)
    given = torch.tensor([list(ids)])
    with torch.inference_mode():
        output = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False, **settings
        )
    found: list[int] = output[0, 1:].tolist()
    ends = model.generation_config.eos_token_id
    return found[: found.index(ends) + 1] if ends in found else found


# --- asking -------------------------------------------------------------------------------------------------------


def events_of(events: AsyncIterator[Event]) -> list[Event]:
    """All events of an operation, on the blocking face."""
    with closing(iterate(events)) as found:
        return list(found)


def output_of(events: Sequence[Event]) -> Any:
    (output,) = [event for event in events if isinstance(event, Output)]
    return output.value
