"""What a model was made for, by what the files of its folder say. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from llmsdk.errors import Unsupported
from llmsdk.provider import Native
from llmsdk_providers.local.folder import ModelFolder

Kind = Literal["causal", "seq2seq", "labels", "entailment", "spans", "vectors"]
"""``causal`` continues a text, ``seq2seq`` rewrites one, ``labels`` has classes of its own, ``entailment`` judges any,
``spans`` finds answers, ``vectors`` embeds."""

CODED = frozenset({"m2m_100", "mbart", "nllb-moe"})
"""Types of models that are told languages by tokens."""
_SEQ2SEQ = CODED | {
    *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "fsmt", "led", "longt5", "marian", "mt5", "mvp"),
    *("pegasus", "pegasus_x", "plbart", "prophetnet", "switch_transformers", "t5", "umt5"),
}
_IN_WORDS = frozenset({"t5", "mt5", "umt5", "longt5", "switch_transformers"})
"""Types that are told what to do by words before the text."""
_HEADS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r".*ForSequenceClassification"), "labels"),
    (re.compile(r".*ForQuestionAnswering"), "spans"),
    (re.compile(r".*(?<!Head)(?<!Heads)(?<!MT)Model"), "vectors"),  # it has no head at all
)
_ENTAILED, _CONTRADICTED = ("entail",), ("contradict", "not_entail", "not entail", "not-entail")
_PAIR = re.compile(r"translation_([a-z]{2,3})_to_([a-z]{2,3})")
_NAMES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"Helsinki-NLP/opus-mt-|facebook/(nllb-|m2m100|mbart-large-50-)"), "seq2seq"),
    (re.compile(r".*squad", re.I), "spans"),
    (re.compile(r".*(mnli|xnli|zeroshot)", re.I), "entailment"),
    (re.compile(r"sentence-transformers/|BAAI/bge-(?!reranker)|intfloat/(multilingual-)?e5-"), "vectors"),
)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a model is for: its kind, and the verbs that it takes."""

    kind: Kind
    native: frozenset[Native] = frozenset()
    completes: bool = False
    chats: bool = False

    @property
    def verbs(self) -> tuple[str, ...]:
        """The client's methods that it is for."""
        also = {"chat": self.chats, "complete": self.completes, "embed": self.kind == "vectors"}
        return (*sorted(self.native), *(verb for verb, can in also.items() if can))

    def check(self, verb: str, model: str) -> None:
        """Check that the model takes ``verb``.

        Raises:
            Unsupported: it was made for others, which the hint names.
        """
        if self.kind == "causal" and verb in ("chat", "complete", "score"):
            return  # whether it chats its template decides
        if verb not in self.verbs:
            hint = f"It was made for {' and '.join(f'{name}()' for name in self.verbs)}."
            raise Unsupported(f"local:{model} does not support {verb}", capability=verb, hint=hint)

    def confirm(self, found: Purpose, verb: str, model: str) -> None:
        """Check, when a model of the hub is here at last, that it is of the kind for which the route was chosen.

        Raises:
            Unsupported: it is not; the next request will find its way.
        """
        found.check(verb, model)
        if found.kind != self.kind and verb != "embed":
            message = f"local:{model} was made for {' and '.join(found.verbs)}, which its name did not tell"
            raise Unsupported(message, capability=verb, hint="Ask again, now that it is here.")


def purpose(folder: ModelFolder) -> Purpose:
    """What the model in a folder is for."""
    kind = _kind(folder)
    if kind == "causal":
        return Purpose(kind, completes=True, chats=folder.has_template)
    if kind == "seq2seq":
        translates, completes = _rewrites(folder)
        return Purpose(kind, frozenset({"translate"} if translates else ()), completes)
    return Purpose(kind, _NATIVE[kind])


_NATIVE: Mapping[Kind, frozenset[Native]] = {
    "labels": frozenset({"classify"}), "entailment": frozenset({"classify"}), "spans": frozenset({"answer"}),
    "vectors": frozenset(),
}  # fmt: skip


@lru_cache(maxsize=64)
def supposed(model: str) -> Purpose:
    """What a model of the hub that is not here yet is for, by the name of a family that is known."""
    known: list[Kind] = [kind for pattern, kind in _NAMES if pattern.match(model)]
    if not known:
        return Purpose("causal", completes=True, chats=True)
    return Purpose(known[0], frozenset({"translate"}) if known[0] == "seq2seq" else _NATIVE[known[0]])


def _kind(folder: ModelFolder) -> Kind:
    if (folder.path / "modules.json").exists() or (folder.path / "1_Pooling").is_dir():
        return "vectors"
    config = folder.config
    names = [name for name in config.get("architectures") or () if isinstance(name, str)]
    heads: list[Kind] = [kind for name in names for pattern, kind in _HEADS if pattern.fullmatch(name)]
    if heads:
        return "entailment" if heads[0] == "labels" and entailment(folder) is not None else heads[0]
    seq2seq = config.get("is_encoder_decoder", config.get("model_type") in _SEQ2SEQ)
    return "seq2seq" if seq2seq and not any(name.endswith("ForCausalLM") for name in names) else "causal"


# --- texts to texts -----------------------------------------------------------------------------------------------


def _rewrites(folder: ModelFolder) -> tuple[bool, bool]:
    """Whether a model translates, and whether it takes texts as they are."""
    kind = folder.config.get("model_type")
    if kind in CODED or kind == "marian" or pair(folder) is not None:
        return True, False
    if any(True for _ in prefixes(folder)):
        return True, True
    summarizes = any(str(task).startswith("summarization") for task in _tasks(folder))
    return kind not in _IN_WORDS and not summarizes, True


def pair(folder: ModelFolder) -> tuple[str, str] | None:
    """The languages from which and to which a folder's model translates, if there is one pair and it says so."""
    for table in (folder.tokenizer, folder.config):
        source, to = (table.get(key) for key in ("source_lang", "target_lang"))
        if isinstance(source, str) and isinstance(to, str) and source and to:
            return source, to
        langs = table.get("langs")
        if isinstance(langs, list) and len(langs) == 2 and all(isinstance(lang, str) for lang in langs):
            return langs[0], langs[1]
    return None


def prefixes(folder: ModelFolder) -> Iterator[tuple[str, str, str]]:
    """Pairs of languages, each with the words that ask for it."""
    for name, task in _tasks(folder).items():
        match = _PAIR.fullmatch(str(name))
        words = task.get("prefix") if isinstance(task, dict) else None
        if match is not None and isinstance(words, str):
            yield match[1], match[2], words


def _tasks(folder: ModelFolder) -> Mapping[str, Any]:
    found = folder.config.get("task_specific_params")
    return found if isinstance(found, dict) else {}


# --- labels -------------------------------------------------------------------------------------------------------


def labels(folder: ModelFolder) -> tuple[str, ...]:
    """The classes of a model with a head for them, in the order of its outputs."""
    named = folder.config.get("id2label")
    if not isinstance(named, dict) or not named:
        count = folder.config.get("num_labels")
        return tuple(f"LABEL_{n}" for n in range(count if isinstance(count, int) else 2))
    try:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    except ValueError:
        return tuple(map(str, named.values()))


def entailment(folder: ModelFolder) -> tuple[int, int] | None:
    """Which outputs mean that one sentence follows from another, and that it does not; ``None`` for other labels."""
    names = [name.casefold() for name in labels(folder)]
    yes, no = (
        next((n for n, name in enumerate(names) if name.startswith(starts)), None)
        for starts in (_ENTAILED, _CONTRADICTED)
    )
    return None if yes is None or no is None else (yes, no)
