"""How a translator is told what to translate to and from: by tokens, by words, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llmsdk.errors import InputError
from llmsdk.wire.languages import is_language, match
from llmsdk_providers.local.folder import ModelFolder
from llmsdk_providers.local.purpose import CODED, pair, prefixes

_TOKEN = re.compile(r"__([a-z]{2,3})__|([a-z]{3}_[A-Z][a-z]{3})|([a-z]{2}_[A-Z]{2})")
"""How vocabularies spell languages."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands around a text, and what its translation begins with."""

    words: str = ""
    """Before the text, as a part of it."""
    around: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Ids before and behind it; ``None`` leaves that to the tokenizer."""
    first: int | None = None
    """The id of its language, with which the translation begins."""
    warning: str | None = None


class Languages(Protocol):
    """What one translator knows."""

    def framing(self, to: str, source: str | None) -> Framing:
        """How to ask for a translation between two BCP-47 tags.

        Raises:
            InputError: a language that it does not know, or ``source`` missing where it needs one.
        """
        ...


def languages(folder: ModelFolder, tokenizer: Any, model: str) -> Languages:
    """What the translator in a folder knows."""
    if folder.config.get("model_type") in CODED:
        behind = folder.config["model_type"] == "mbart" or bool(getattr(tokenizer, "legacy_behaviour", False))
        return Coded(model, _codes(tokenizer), int(tokenizer.eos_token_id), behind)
    if asked := list(prefixes(folder)):
        return InWords(model, {(source, to): words for source, to, words in asked})
    origin, target = pair(folder) or (None, None)
    targets = {code.strip("<>"): f"{code} " for code in getattr(tokenizer, "supported_language_codes", ())}
    return Fixed(model, origin, target, targets)


@dataclass(frozen=True, slots=True)
class Coded:
    """A translator between any two of its languages, told by tokens (M2M100, NLLB, mBART)."""

    model: str
    codes: Mapping[str, int]
    end: int
    behind: bool
    """The token of the source stands behind the text, not before it."""

    def framing(self, to: str, source: str | None) -> Framing:
        into = self._id("to", to)
        if source is None:
            hint = f'Pass source="en", or what it is; {self.model} does not find out.'
            raise InputError("the language of the text is not given", argument="source", hint=hint)
        code = self._id("source", source)
        around = ((), (self.end, code)) if self.behind else ((code,), (self.end,))
        return Framing(around=around, first=into)

    def _id(self, argument: str, tag: str) -> int:
        found = match(tag, self.codes)
        if found is None:
            raise _unknown(self.model, argument, tag, sorted(self.codes))
        return self.codes[found]


@dataclass(frozen=True, slots=True)
class InWords:
    """A model that is told its task in words before the text (T5)."""

    model: str
    words: Mapping[tuple[str, str], str]

    def framing(self, to: str, source: str | None) -> Framing:
        fits = [
            words
            for (origin, target), words in self.words.items()
            if match(to, [target]) and (source is None or match(source, [origin]))
        ]
        if not fits:
            pairs = ", ".join(f"{origin} to {target}" for origin, target in self.words)
            hint = f"It translates {pairs}."
            asked = f"to {to!r}" if source is None else f"from {source!r} to {to!r}"
            raise InputError(f"{self.model} does not translate {asked}", argument="to", hint=hint)
        if len(fits) > 1:
            hint = 'Pass source="en", or what it is.'
            raise InputError("the language of the text is not given", argument="source", hint=hint)
        return Framing(words=fits[0])


@dataclass(frozen=True, slots=True)
class Fixed:
    """A translator of one pair, or from one language to several that are named before the text (Marian).

    ``source`` and ``to`` are ``None`` where the folder does not say; other codes than those of languages are groups
    of them, which cannot be checked.
    """

    model: str
    source: str | None
    to: str | None
    targets: Mapping[str, str]

    def framing(self, to: str, source: str | None) -> Framing:
        if source is not None and self.source is not None and is_language(self.source):
            self._check("source", source, [self.source])
        if self.targets:
            return Framing(words=self.targets[self._check("to", to, list(self.targets))])
        if self.to is not None and is_language(self.to):
            self._check("to", to, [self.to])
            return Framing()
        return Framing(warning=f"the files of {self.model} do not say to which language it translates")

    def _check(self, argument: str, tag: str, known: Sequence[str]) -> str:
        found = match(tag, known)
        if found is None:
            pair = f"{self.source or '?'} to {', '.join(self.targets) or self.to}"
            raise _unknown(self.model, argument, tag, [pair])
        return found


def _unknown(model: str, argument: str, tag: str, known: Sequence[str]) -> InputError:
    where = "to" if argument == "to" else "from"
    hint = f"It translates {', '.join(known)}."
    return InputError(f"{model} does not translate {where} {tag!r}", argument=argument, hint=hint)


# --- codes --------------------------------------------------------------------------------------------------------


def _codes(tokenizer: Any) -> dict[str, int]:
    """The languages of a vocabulary with their tokens."""
    found = getattr(tokenizer, "lang_code_to_id", None)
    if isinstance(found, dict) and found:
        return {str(code): int(token) for code, token in found.items()}
    return dict(_spelt(tokenizer.get_vocab()))


def _spelt(vocabulary: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for name, token in vocabulary.items():
        if spelt := _TOKEN.fullmatch(name):
            yield next(filter(None, spelt.groups())), token
