"""Texts with labels: one of several, or whether one fits; in any order and spelling, described or not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import world_opinions as opinions
import world_words as words
from rendering import TONGUES, Example, render
from world import CLEAR_TOPIC, Fact, Pair, Tongue, action, any_fact, fact, phrase, state, written
from world_beyond import made_up_word
from world_frames import PATTERNS, STATES

from llmsdk.tasks import classify

PATTERN = {pattern.key: pattern for pattern in PATTERNS}
CLASHES = ({"work", "family"}, {"work", "school"}, {"work", "health"}, {"food", "shopping"}, {"school", "music"})
_TOPIC_STATES = {t: tuple(s for s in STATES if s.topic == t and s.key != "food_price") for t in opinions.TOPICS}
_TOPIC_VERBS = {t: tuple(v for v in words.VERBS if v.topic == t) for t in opinions.TOPICS}


def topic_text(rng: random.Random, test: bool, topic: str) -> Pair:
    """A sentence that is about one topic."""
    if topic == "food" and rng.random() < 0.2:
        found = opinions.opinion(rng, rng.choice(("good", "bad")), words.CITIES, words.NAMES)
        if found.about == "food" and found.held == test and "{t}" in found.frame:
            return found.text
    verbs = _TOPIC_VERBS[topic]

    def make() -> Fact:
        if verbs and rng.random() < 0.4:
            return action(rng.choice(verbs), PATTERN[rng.choice(CLEAR_TOPIC)], rng)
        return state(rng.choice(_TOPIC_STATES[topic]), rng)

    return fact(rng, test, make).text


def opinion_text(rng: random.Random, test: bool, mood: str) -> Pair:
    """A sentence of one mood."""
    if mood == "neutral" and rng.random() < 0.5:
        return fact(rng, test, lambda: any_fact(rng)).text
    for _ in range(200):
        found = opinions.opinion(rng, mood, words.CITIES, words.NAMES)
        if found.held == test or (test and mood == "neutral"):
            return found.text
    raise AssertionError(mood)


def _typed(text: Pair, tongue: Tongue, rng: random.Random) -> str:
    """A text as people type it."""
    line = written(text, tongue, rng.choice((".", ".", ".", "", "!")))
    if tongue == "en" and rng.random() < 0.3:
        line = rng.choice((line.lower(), line.lower(), line[:1].lower() + line[1:], line.upper() if rng.random() < 0.2 else line))
    return line


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels to choose from: the meaning of each, its spelling, and its description (often empty)."""

    kind: str
    named: dict[str, str]
    says: dict[str, str]

    @property
    def mapping(self) -> dict[str, str]:
        return {name: self.says[meaning] for meaning, name in self.named.items()}


def _arbitrary(rng: random.Random, meanings: Sequence[str]) -> dict[str, str]:
    style = rng.choice(("letter", "number", "word", "class"))
    start = rng.randint(1, 9)
    spelt: Iterator[str] = iter(
        {
            "letter": "ABCDEFG", "number": [str(start + n) for n in range(7)], "word": [made_up_word(rng) + made_up_word(rng) for _ in range(7)],
            "class": [f"class {n}" for n in range(start, start + 7)],
        }[style]
    )  # fmt: skip
    return {meaning: next(spelt) for meaning in meanings}


def labels(rng: random.Random) -> Labels:
    """A set of labels, in any order and spelling."""
    describe = rng.random() < 0.25
    if rng.random() < 0.6:
        kind = "sentiment"
        spelling = rng.choice(opinions.COMMON if rng.random() < 0.65 else opinions.SENTIMENT)
        meanings = ["good", "bad"] if rng.random() < 0.6 else ["good", "bad", "neutral"]
        named = dict(zip(("good", "bad", "neutral"), spelling, strict=True))
        says = {m: rng.choice(opinions.SENTIMENT_SAYS[m]) for m in meanings}
    else:
        kind = "topic"
        meanings = rng.sample(tuple(opinions.TOPICS), rng.randint(2, 6))
        while any(clash <= set(meanings) for clash in CLASHES):
            meanings = rng.sample(tuple(opinions.TOPICS), rng.randint(2, 6))
        han = rng.random() < 0.35
        named = {m: rng.choice([s for s in opinions.TOPICS[m][0] if (ord(s[0]) > 255) == han]) for m in meanings}
        if not han and rng.random() < 0.5:
            named = {m: m for m in meanings}
        says = {m: opinions.TOPICS[m][1][han] for m in meanings}
    rng.shuffle(meanings)
    if describe and rng.random() < 0.35:
        named = _arbitrary(rng, meanings)
    partly = describe and rng.random() < 0.2 and named[meanings[0]] == meanings[0]
    shown = {m: phrase((says[m], says[m]), "zh" if ord(says[m][0]) > 255 else "en") if describe and not (partly and rng.random() < 0.5) else "" for m in meanings}
    return Labels(kind, {m: named[m] for m in meanings}, shown)


def _text(rng: random.Random, test: bool, kind: str, meaning: str, tongue: Tongue) -> str:
    pair = opinion_text(rng, test, meaning) if kind == "sentiment" else topic_text(rng, test, meaning)
    return _typed(pair, tongue, rng)


def picks(rng: random.Random, test: bool, count: int = 7) -> list[Example]:
    """Texts to be given one of the same labels."""
    chosen = labels(rng)
    options = tuple(chosen.named.values())
    found = []
    for _ in range(count):
        meaning = rng.choice(tuple(chosen.named))
        text = _text(rng, test, chosen.kind, meaning, rng.choice(TONGUES))
        prompt = render(classify.pick(text, chosen.mapping))
        found.append(Example(f"pick {chosen.kind}", prompt, chosen.named[meaning], (chosen.named[meaning],), options))
    return found


def fits(rng: random.Random, test: bool, count: int = 6) -> list[Example]:
    """Texts that one label fits or not."""
    chosen = labels(rng)
    label = rng.choice(tuple(chosen.named))
    others = [m for m in chosen.named if m != label]
    found = []
    for _ in range(count):
        meaning = label if rng.random() < 0.5 else rng.choice(others)
        text = _text(rng, test, chosen.kind, meaning, rng.choice(TONGUES))
        prompt = render(classify.fits(text, chosen.named[label], chosen.says[label]))
        reply = classify.YES if meaning == label else classify.NO
        found.append(Example("fits", prompt, reply, (reply,), (classify.YES, classify.NO)))
    return found
