"""What a model of the hub is for: as the settings say, or by the name of a family that is known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llmsdk.errors import ConfigError
from llmsdk.provider import Capabilities, Native
from llmsdk_providers.huggingface.languages import M2M100, MBART50, NLLB, Languages
from llmsdk_providers.huggingface.settings import Purpose, Settings, Task

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""Of a model on the hub. One with a provider behind a colon is for chat."""
_FAMILIES: tuple[tuple[re.Pattern[str], Task], ...] = (
    (re.compile(r"Helsinki-NLP/opus-mt-|facebook/(nllb-|m2m100|mbart-large-50-)"), "translation"),
    (re.compile(r".*squad", re.I), "question-answering"),
    (re.compile(r".*(mnli|xnli|zeroshot)", re.I), "zero-shot-classification"),
    (re.compile(r".*bert.*(sst-?2|sentiment|emotion|toxic)|unitary/toxic-bert|ProsusAI/finbert", re.I),
     "text-classification"),
    (re.compile(r"sentence-transformers/|BAAI/bge-(?!reranker)|intfloat/(multilingual-)?e5-|thenlper/gte-"),
     "feature-extraction"),
)  # fmt: skip
_NATIVE: Mapping[Task, Native] = {
    "translation": "translate",
    "question-answering": "answer",
    "zero-shot-classification": "classify",
    "text-classification": "classify",
}
_OPUS = re.compile(r"Helsinki-NLP/opus-mt-(?:tc-big-)?([a-z]{2,3})-([a-z]{2,3})")
_CODED: tuple[tuple[str, Sequence[str]], ...] = (
    ("facebook/nllb-", NLLB), ("facebook/m2m100", M2M100), ("facebook/mbart-large-50-many-to-many", MBART50),
)  # fmt: skip
_OF_OPUS = {"jap": "ja"}


def task(model: str, settings: Settings) -> Task:
    """What a model is for; one of which nothing is known chats."""
    said = settings.tasks.get(model)
    if said is not None:
        return said.task if isinstance(said, Purpose) else said
    if _ID.fullmatch(model) is None:
        return "chat"
    known: list[Task] = [name for pattern, name in _FAMILIES if pattern.match(model)]
    return known[0] if known else "chat"


def capabilities(task: Task, settings: Settings) -> Capabilities:
    """Of a model that does not chat: one thing, and no option of those that chats have."""
    native: frozenset[Native] = frozenset({_NATIVE[task]}) if task in _NATIVE else frozenset()
    return Capabilities(chat=False, options=frozenset(), context=settings.context, native=native)


def languages(model: str, settings: Settings) -> Languages:
    """What a translator knows.

    Raises:
        ConfigError: nothing says what that is.
    """
    said = settings.tasks.get(model)
    if isinstance(said, Purpose) and said.codes:
        return Languages.coded(model, said.codes)
    if isinstance(said, Purpose) and said.pair:
        return Languages.pair(model, *said.pair)
    if match := _OPUS.fullmatch(model):
        source, to = (_OF_OPUS.get(code, code) for code in match.groups())
        if len(source) == len(to) == 2:  # three letters are a group of languages
            return Languages.pair(model, source, to)
    table = next((table for name, table in _CODED if model.startswith(name)), None)
    if table is None:
        hint = f'Write "{model}" = {{ task = "translation", pair = ["en", "de"] }} into [providers.huggingface.tasks].'
        raise ConfigError(f"it is not known which languages {model} translates", hint=hint)
    return Languages.coded(model, table)
