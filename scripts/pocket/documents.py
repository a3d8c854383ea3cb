"""Questions about documents: some are answered with their proof, and some the documents leave open."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import world_words as words
from rendering import TONGUES, Example, render
from world import MADE_UP, Ask, Fact, Pair, Tongue, action, is_held, made_up_name, phrase, state, written
from world_beyond import beyond
from world_frames import PATTERNS, STATES

from llmsdk.tasks import answer


def _people(rng: random.Random) -> tuple[words.Word, ...]:
    """Who the documents are about."""
    return tuple(made_up_name(rng) if rng.random() < MADE_UP else rng.choice(words.NAMES) for _ in range(6))


PATTERN = {pattern.key: pattern for pattern in PATTERNS}
ASKED_STATES = tuple(s for s in STATES if s.asks)
_FILLERS = tuple(s for s in STATES if not s.asks)
ASKED_PATTERNS = tuple(p for p in PATTERNS if p.tense in ("past", "future", "want", "must", "habit", "not") and p.key != "together")


def _maker(rng: random.Random, people: tuple[words.Word, ...]) -> Callable[[], Fact]:
    """One kind of fact, so that the documents hold several that differ only in their words."""
    if rng.random() < 0.5:
        frame = rng.choice(ASKED_STATES)
        return lambda: state(frame, rng, people)
    verb = rng.choice(words.VERBS)
    if rng.random() < 0.5:
        pattern = rng.choice(ASKED_PATTERNS)
        return lambda: action(verb, pattern, rng, people)
    return lambda: action(verb, rng.choice(ASKED_PATTERNS), rng, people)


def _any_asked(rng: random.Random, people: tuple[words.Word, ...]) -> Fact:
    return _maker(rng, people)()


def _twins(rng: random.Random, people: tuple[words.Word, ...]) -> tuple[Fact, Fact]:
    """Two tellings of one action: a full one, whose questions a shorter one leaves open."""
    verb, seed = rng.choice(words.VERBS), rng.getrandbits(32)
    full = action(verb, PATTERN[rng.choice(("city_day", "yesterday", "will_place", "last_week", "want_place"))], random.Random(seed), people)
    short = {"past": ("plain", "plain", "day", "city"), "future": ("tomorrow", "will_month"), "want": ("want",)}[full.tense]
    return full, action(verb, PATTERN[rng.choice(short)], random.Random(seed), people)


def _span(value: str, line: str) -> str:
    """The value as the sentence spells it."""
    at = line.casefold().find(value.casefold())
    return line[at : at + len(value)] if at >= 0 else value


@dataclass(frozen=True, slots=True)
class Library:
    """Documents of facts, with the sentences as written."""

    tongue: Tongue
    pages: tuple[tuple[Fact, ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple((" " if self.tongue == "en" else "").join(written(f.text, self.tongue) for f in page) for page in self.pages)

    def found(self, core: str, tense: str, ask: Ask) -> list[tuple[int, Fact, str]]:
        """The number of the document, the fact and its slot, for each fact that answers; one may be of another core."""
        hits = []
        for n, page in enumerate(self.pages, start=1):
            for f in page:
                same = [other.slot for other in f.asks if other.text == ask.text]
                if f.answers(core, tense, ask):
                    hits.append((n, f, ask.slot))
                elif same:
                    hits.append((n, f, same[0]))
        return hits

    def reply(self, number: int, fact: Fact, slot: str) -> str:
        line = written(fact.text, self.tongue)
        return f"{_span(phrase(fact.values[slot], self.tongue), line)}\n[{number}] {line}"


SIZES = (1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8)
"""How many facts a library has."""


def _library(
    rng: random.Random, test: bool, people: tuple[words.Word, ...], extra: tuple[Fact, ...] = (), sizes: tuple[int, ...] = SIZES,
) -> Library:  # fmt: skip
    size = rng.choice(sizes)
    focus = _maker(rng, people)
    facts = list(extra)
    while len(facts) < size:
        pick = rng.random()
        drawn = focus() if pick < 0.6 else _any_asked(rng, people) if pick < 0.92 else state(rng.choice(_FILLERS), rng, people)
        if test or not is_held(drawn):
            facts.append(drawn)
    rng.shuffle(facts)
    count = min(rng.choice((1, 1, 2, 3, 4)), len(facts))
    count = max(count, (len(facts) + 4) // 5)
    cuts = sorted(rng.sample(range(1, len(facts)), count - 1))
    pages = tuple(tuple(facts[a:b]) for a, b in zip((0, *cuts), (*cuts, len(facts)), strict=True))
    return Library(rng.choice(TONGUES), pages)


def _question(text: Pair, tongue: Tongue) -> str:
    return written(text, tongue, "?")


Asked = tuple[str, str, Ask]
"""A question with the core and the tense that a fact must have to answer it."""


def _near_misses(library: Library, rng: random.Random, test: bool, people: tuple[words.Word, ...]) -> Iterator[Asked]:
    """Questions about facts like the ones in the documents, most of which are not in them."""
    cores = [f for page in library.pages for f in page]
    for _ in range(12):
        near = rng.choice(cores)
        other = _like(near, rng, people) if rng.random() < 0.7 else _any_asked(rng, people)
        if other.asks and (not test or is_held(other)):
            yield other.core, other.tense, rng.choice(other.asks)


def _example(library: Library, core: str, tense: str, ask: Ask) -> Example | None:
    """The question with its answer; none where two facts answer."""
    hits = library.found(core, tense, ask)
    prompt = render(answer.prompt(_question(ask.text, library.tongue), library.texts))
    if len(hits) > 1:
        return None
    reply = library.reply(*hits[0]) if hits else answer.NOT_FOUND
    return Example(f"answer {library.tongue}" if hits else "answer nothing", prompt, reply, (reply,))


def answers(rng: random.Random, test: bool, count: int = 6, sizes: tuple[int, ...] = SIZES) -> list[Example]:
    """Questions about one set of documents, some of which the documents leave open."""
    people = _people(rng)
    full, short = _twins(rng, people)
    twins = rng.random() < 0.5 and (test or (not is_held(full) and not is_held(short)))
    library = _library(rng, test, people, (short,) if twins else (), sizes)
    facts = [f for page in library.pages for f in page if not test or is_held(f)]
    asked: list[Asked] = [(f.core, f.tense, ask) for f in facts for ask in f.asks]
    rng.shuffle(asked)
    asked = asked[: max(1, round(count * 0.72))]
    if twins:
        asked += [(full.core, full.tense, ask) for ask in full.asks if ask.slot in ("where", "when")]
    asked += islice(_near_misses(library, rng, test, people), max(0, count + 1 - len(asked)))
    found = [made for one in asked[: count + 1] if (made := _example(library, *one))]
    known = [e for e in found if e.reply != answer.NOT_FOUND]
    unknown = [e for e in found if e.reply == answer.NOT_FOUND]
    found = known + unknown[: max(1, round(len(known) * 0.45))]
    if not test and rng.random() < 0.04:
        question = beyond(rng, library.tongue).split("\n")[0]
        found.append(Example("answer nothing", render(answer.prompt(question, library.texts)), answer.NOT_FOUND))
    return found


def _like(near: Fact, rng: random.Random, people: tuple[words.Word, ...]) -> Fact:
    """A fact of the same kind with other words."""
    for frame in STATES:
        if frame.key == near.core:
            return state(frame, rng, people)
    verb = next(v for v in words.VERBS if v.base == near.core)
    return action(verb, rng.choice([p for p in ASKED_PATTERNS if p.tense == near.tense]), rng, people)


def begun(rng: random.Random, test: bool, count: int = 5) -> list[Example]:
    """Sentences of the documents of which the question has only the beginning: finding one without understanding it."""
    library = _library(rng, test, _people(rng))
    tongue, found = library.tongue, []
    told = [(n, f.text[tongue == "zh"].split(), written(f.text, tongue)) for n, page in enumerate(library.pages, start=1) for f in page]
    for number, parts, line in rng.sample(told, min(count, len(told))):
        cut = rng.randint(1, len(parts) - 1)
        start = (" " if tongue == "en" else "").join(parts[:cut])
        start = line[: len(start)]
        if sum(other.startswith(start) for _, _, other in told) == 1:
            prompt = render(answer.prompt(f"{start}...", library.texts))
            found.append(Example("begun", prompt, f"{line[len(start) : -1].strip()}\n[{number}] {line}"))
    return found
