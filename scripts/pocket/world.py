"""The grammar of the small world: facts that are true sentences in English and Chinese at once.

``fact`` draws one fact; what is held out for the evaluation is decided by hash, of the combination of words
(``Fact.combination``) and of the whole frame (``Fact.frame``), so that no order of drawing can leak one.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import world_words as words
from world_frames import ASKS, PATTERNS, STATES, WRAPPERS, Pattern, State
from world_words import Noun, Verb, Word

Tongue = Literal["en", "zh"]
Pair = tuple[str, str]
"""The same in English and in Chinese, the Chinese spaced between words."""
HELD_PERCENT = 10
MADE_UP = 0.15
"""How many of the people in a document have a made-up name, so that names are copied and not recalled."""

PRONOUNS = (Word("I", "我"), Word("we", "我们"), Word("he", "他"), Word("she", "她"), Word("they", "他们"))
TIMES: Mapping[str, Pair] = {
    "yesterday": ("yesterday", "昨天"), "yesterday_city": ("yesterday", "昨天"), "yesterday_plain": ("yesterday", "昨天"),
    "this_morning": ("this morning", "今天 早上"), "last_week": ("last week", "上周"),
    "tomorrow": ("tomorrow", "明天"), "next_week": ("next week", "下周"),
}  # fmt: skip
CLEAR_TOPIC = (
    "plain", "day", "day_first", "this_morning", "hour", "together", "tomorrow", "want", "must", "habit", "often", "did",
    "month", "also", "felt", "not",
)  # fmt: skip
"""Patterns that add nothing of another topic than the verb's own."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about a fact: which slot it asks for and what it takes as given."""

    slot: str
    text: Pair
    given: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fact:
    """One clause without its full stop. ``values`` maps each slot to what a short answer would say."""

    core: str
    tense: str
    frame: str
    combination: str
    topic: str
    text: Pair
    values: Mapping[str, Pair]
    asks: tuple[Ask, ...] = ()
    asking: bool = False

    def answers(self, core: str, tense: str, ask: Ask) -> bool:
        """Whether this fact tells what ``ask``, a question about (``core``, ``tense``), wants to know."""
        return (
            (self.core, self.tense) == (core, tense)
            and ask.slot in self.values
            and all(self.values.get(slot, ("",))[0] == value for slot, value in ask.given.items())
        )


@cache
def held(kind: str, key: str) -> bool:
    """Whether this combination or frame is kept for the evaluation."""
    return int.from_bytes(hashlib.sha256(f"{kind}:{key}".encode()).digest()[:4]) % 100 < HELD_PERCENT


def is_held(fact: Fact) -> bool:
    """By its words or by its frame. A state says what nothing else says, so it is held out only inside a wrapper."""
    return held("combination", fact.combination) or (fact.tense != "is" and held("frame", fact.frame))


def written(text: Pair, tongue: Tongue, end: str = ".") -> str:
    """A sentence as it stands in a text: with its capital, article and full stop, Chinese without spaces."""
    if tongue == "zh":
        return text[1].replace(" ", "") + {".": "。", "?": "？", "!": "！", "": ""}[end]
    return re.sub(r"\b([aA]) (?=[aeiou])", r"\1n ", text[0][:1].upper() + text[0][1:]) + end


def phrase(text: Pair, tongue: Tongue) -> str:
    """Part of a sentence: no capital, no full stop."""
    return text[1].replace(" ", "") if tongue == "zh" else re.sub(r"\b([aA]) (?=[aeiou])", r"\1n ", text[0])


# --- slots ------------------------------------------------------------------------------------------------------


def made_up_name(rng: random.Random) -> Word:
    """A name that no list has."""
    en = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))
    zh = "".join(rng.sample("阿贝卡德尔法格哈吉金克拉罗马娜诺帕琪瑞森塔维雅", rng.choice((2, 3))))
    return Word((en + rng.choice(("", "n", "r", "s"))).title(), zh)


def _number(rng: random.Random) -> Word:
    return rng.choice(words.NUMBERS[2:])


def _hour(rng: random.Random) -> Word:
    word = rng.choice(words.NUMBERS[:12])
    return Word("two", "两") if word.en == "two" else word


def _price(rng: random.Random) -> Word:
    digits = str(rng.choice((rng.randint(3, 20), rng.randint(10, 99), rng.randint(100, 999))))
    return Word(digits, digits)


def _code(rng: random.Random) -> Word:
    digits = "".join(rng.choice(string.digits) for _ in range(rng.choice((3, 4, 4, 5))))
    return Word(digits, digits)


def _from(lexicon: tuple[Word, ...]) -> Callable[[random.Random], Word]:
    return lambda rng: rng.choice(lexicon)


SLOTS: Mapping[str, Callable[[random.Random], Word]] = {
    "name": _from(words.NAMES), "city": _from(words.CITIES), "day": _from(words.DAYS), "month": _from(words.MONTHS),
    "season": _from(words.SEASONS), "number": _number, "hour": _hour, "price": _price, "code": _code,
    "color": _from(words.COLORS), "look": _from(words.LOOKS), "place": _from(words.PLACES), "job": _from(words.JOBS),
    "relative": _from(words.RELATIVES), "mood": _from(words.MOODS), "weather": _from(words.WEATHER),
    "sky": _from(words.SKIES), "sport": _from(words.SPORTS), "exercise": _from(words.EXERCISES),
    "instrument": _from(words.INSTRUMENTS), "subject": _from(words.SUBJECTS), "vehicle": _from(words.VEHICLES),
    "illness": _from(words.ILLNESSES), "pet": _from(words.PET_NAMES), "fare": _from(words.FARE), "daytime": _from(words.DAYTIMES),
}  # fmt: skip
NOUNS: Mapping[str, tuple[Noun, ...]] = {
    "food": tuple(n for n in words.FOODS if " " not in n.en), "good": tuple(n for n in words.GOODS if " " not in n.en),
    "animal": words.ANIMALS,
}  # fmt: skip
COUNTED: Mapping[str, tuple[Noun, ...]] = {
    "food": words.FOODS, "dish": words.FOODS, "drink": words.DRINKS, "goods": words.GOODS, "animal": words.ANIMALS,
    "paper": words.PAPERS,
}  # fmt: skip
LOOKS: Mapping[str, tuple[Word, ...]] = {"goods": words.LOOKS, "animal": words.BEASTLY}
UNCOUNTED: Mapping[str, tuple[Word, ...]] = {
    "sport": words.SPORTS, "instrument": words.INSTRUMENTS, "subject": words.SUBJECTS, "person": words.NAMES,
}  # fmt: skip
SPORT_VERBS = {"足球": "踢", "象棋": "下"}


def slots_of(template: str) -> list[str]:
    """The names in braces, each once, in order."""
    return list(dict.fromkeys(re.findall(r"\{([a-zA-Z0-9]+)", template)))


@dataclass(slots=True)
class Filled:
    """What the slots of one frame hold: text in both languages, and the values that answers give."""

    en: dict[str, str] = field(default_factory=dict)
    zh: dict[str, str] = field(default_factory=dict)
    values: dict[str, Pair] = field(default_factory=dict)

    def put(self, slot: str, en: str, zh: str) -> None:
        self.en[slot], self.zh[slot] = en, zh
        self.values[slot] = (en, zh)

    def render(self, en: str, zh: str) -> Pair:
        return en.format(**self.en), zh.replace(".m}", "_m}").format(**self.zh)


def _fill(slot: str, rng: random.Random, filled: Filled) -> None:
    """Draw a value for a slot; a digit at the end of its name only tells two slots of one kind apart."""
    kind = slot.rstrip("2")
    if kind in SLOTS:
        taken = {value[0] for value in filled.values.values()}
        word = SLOTS[kind](rng)
        while word.en in taken:
            word = SLOTS[kind](rng)
        filled.put(slot, word.en, word.zh)
        return
    many = kind.endswith("s") and kind[:-1] in NOUNS
    noun = rng.choice(NOUNS[kind[:-1] if many else kind])
    while (noun.en, noun.zh) in filled.values.values() or noun.zh in filled.zh.values():
        noun = rng.choice(NOUNS[kind[:-1] if many else kind])
    filled.put(slot, noun.plural if many else noun.en, noun.zh)
    filled.zh.setdefault(kind[:-1] if many else slot, noun.zh)
    filled.zh[f"{kind[:-1] if many else slot}_m"] = noun.measure


def filled_for(lines: Sequence[Pair], rng: random.Random) -> Filled:
    """Values for all slots of several sentences that belong together."""
    filled = Filled()
    for slot in slots_of(" ".join(en for en, _ in lines)):
        _fill(slot, rng, filled)
    return filled


def state(frame: State, rng: random.Random, names: tuple[Word, ...] = ()) -> Fact:
    """A fact of one of the ``STATES``; ``names`` takes the place of the world's own names."""
    filled = Filled()
    for slot in slots_of(frame.en):
        if slot == "name" and names:
            word = rng.choice(names)
            filled.put(slot, word.en, word.zh)
        else:
            _fill(slot, rng, filled)
    asks = tuple(
        Ask(slot, filled.render(en, zh), {s: filled.en[s] for s in slots_of(en)}) for slot, en, zh in frame.asks
    )
    combination = ".".join([frame.key, *list(filled.en.values())[:2]])
    text = filled.render(frame.en, frame.zh)
    return Fact(frame.key, "is", f"state.{frame.key}", combination, frame.topic, text, dict(filled.values), asks)


# --- actions ----------------------------------------------------------------------------------------------------


def _subject(rng: random.Random, names: tuple[Word, ...]) -> Word:
    """A name, a relative, somebody with a job or, where nobody asks who, a pronoun."""
    pick = rng.random()
    name = rng.choice(names or words.NAMES)
    relative, job = rng.choice(words.RELATIVES), rng.choice(words.JOBS)
    if pick < 0.1:
        return Word(f"{name.en}'s {relative.en}", f"{name.zh} 的 {relative.zh}")
    if pick < 0.2:
        return Word(f"my {relative.en}", f"我 {relative.zh}")
    if pick < 0.3:
        return Word(f"the {job.en}", job.zh)
    return rng.choice(PRONOUNS) if pick < 0.45 and not names else name


def counted(noun: Noun, number: int, look: Word | None = None) -> Pair:
    """Three red apples."""
    lead, look_zh = (look.en + " ", look.zh + " ") if look else ("", "")
    if number == 1:
        return f"a {lead}{noun.en}", f"一 {noun.measure} {look_zh}{noun.zh}"
    word = Word("two", "两") if number == 2 else words.NUMBERS[number - 1]
    return f"{word.en} {lead}{noun.plural}", f"{word.zh} {noun.measure} {look_zh}{noun.zh}"


def _object(verb: Verb, rng: random.Random, filled: Filled) -> str:
    """Fill ``O``; returns what the object is, without number and looks."""
    kind = rng.choice(verb.objects.split(","))
    if kind in UNCOUNTED:
        word = rng.choice([w for w in UNCOUNTED[kind] if w.en not in filled.en.get("S", "")])
        filled.put("O", f"the {word.en}" if kind == "instrument" else word.en, word.zh)
        filled.en["many"] = filled.en["bare"] = filled.en["O"]
        filled.zh["bare"] = filled.zh["many"] = word.zh
        filled.values["noun"] = (filled.en["O"], word.zh)
        filled.zh["V"] = SPORT_VERBS.get(word.zh, verb.zh) if verb.base == "play" else verb.zh
        return word.en
    noun = rng.choice(COUNTED[kind])
    number = rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    look = rng.choice(LOOKS[kind]) if kind in LOOKS and " " not in noun.en and rng.random() < 0.35 else None
    filled.put("O", *counted(noun, number, look))
    filled.en["many"], filled.zh["many"] = noun.plural, noun.zh
    filled.en["bare"], filled.zh["bare"] = f"the {noun.en if number == 1 else noun.plural}", noun.zh
    filled.values["noun"] = (noun.en, noun.zh)
    if number > 1 and look is None:
        count = filled.values["O"]
        filled.values["n"] = (count[0].split()[0], " ".join(count[1].split()[:2]))
    return noun.en


def _agree(verb: Verb, subject: Word, filled: Filled) -> None:
    plain = subject.en in ("I", "we", "they")
    filled.en |= {"B": verb.base, "P": verb.past, "T": verb.base if plain else verb.third}
    filled.en["wants"] = "want" if plain else "wants"
    filled.zh.setdefault("V", verb.zh)


def _when_and_where(pattern: Pattern, filled: Filled) -> None:
    """Say in ``values`` what a question for the time or the place would be answered with."""
    values = filled.values
    if pattern.key in TIMES:
        values["when"] = TIMES[pattern.key]
    elif pattern.key == "habit":
        values["when"] = (f"every {filled.en['day']}", f"每个 {filled.zh['day']}")
    elif pattern.key == "often":
        values["when"] = (f"the {filled.en['daytime']}", filled.zh["daytime"])
    elif "hour" in values:
        values["when"] = (f"{filled.en['hour']} o'clock", f"{filled.zh['hour']} 点")
    else:
        for slot in ("day", "month", "season"):
            if slot in values:
                values["when"] = values[slot]
    if "place" in values:
        values["where"] = (f"the {filled.en['place']}", filled.zh["place"])
    elif "city" in values:
        values["where"] = values["city"]


def _asks(pattern: Pattern, filled: Filled, rng: random.Random) -> tuple[Ask, ...]:
    found = []
    for slot, en, zh in ASKS.get(pattern.tense, ()):
        if slot not in filled.values or pattern.key == "together" or (pattern.tense == "must" and slot != "S"):
            continue
        if rng.random() < 0.4 and slot != "S":
            en, zh = en.replace("{O}", "{bare}"), zh.replace("{O}", "{bare}")
        given = {}
        for name in slots_of(en):
            if name in ("S", "O"):
                given[name] = filled.values[name][0]
            elif name in ("many", "bare"):
                given["noun"] = filled.values["noun"][0]
        found.append(Ask(slot, filled.render(en, zh), given))
    return tuple(found)


def action(verb: Verb, pattern: Pattern, rng: random.Random, names: tuple[Word, ...] = ()) -> Fact:
    """A fact of a verb in a pattern."""
    filled = Filled()
    subject = _subject(rng, names)
    filled.put("S", subject.en, subject.zh)
    noun = _object(verb, rng, filled)
    _agree(verb, subject, filled)
    for slot in slots_of(pattern.en):
        if slot == "X":
            other = rng.choice([n for n in words.NAMES if n.en not in subject.en and n.en != noun])
            filled.en["X"], filled.zh["X"] = other.en, other.zh
        elif slot not in filled.en:
            _fill(slot, rng, filled)
    _when_and_where(pattern, filled)
    text = filled.render(pattern.en, pattern.zh)
    asks = _asks(pattern, filled, rng)
    if verb.objects == "person":
        asks = tuple(_whom(ask) for ask in asks)
    return Fact(
        verb.base, pattern.tense, f"{verb.base}.{pattern.key}", f"{verb.base}.{subject.en}.{noun}", verb.topic, text,
        dict(filled.values), asks, pattern.tense == "did",
    )  # fmt: skip


def _whom(ask: Ask) -> Ask:
    """Ask for a person with who."""
    if ask.slot != "O":
        return ask
    en, zh = ask.text
    return Ask(ask.slot, (en.replace("what", "who", 1), zh.replace("什么", "谁")), ask.given)


# --- drawing ----------------------------------------------------------------------------------------------------


def any_fact(rng: random.Random, names: tuple[Word, ...] = ()) -> Fact:
    """Any fact, held out or not."""
    if rng.random() < 0.5:
        return state(rng.choice(STATES), rng, names)
    return action(rng.choice(words.VERBS), rng.choice(PATTERNS), rng, names)


def fact(rng: random.Random, test: bool, make: Callable[[], Fact]) -> Fact:
    """A fact of ``make`` on the right side of the split."""
    while is_held(drawn := make()) != test:
        pass
    return drawn


@dataclass(frozen=True, slots=True)
class Sentence:
    """A fact in a frame of its own: plain, or said by somebody, or joined to a second fact."""

    text: Pair
    end: str
    frame: str
    held: bool


def sentence(rng: random.Random, make: Callable[[], Fact]) -> Sentence:
    """Any sentence, held out when a fact in it is or when its whole frame is."""
    first = make()
    if first.asking:
        return Sentence(first.text, "?", first.frame, is_held(first))
    if rng.random() < 0.6:
        return Sentence(first.text, ".", first.frame, is_held(first))
    wrapper = rng.choice(WRAPPERS)
    parts = {"c": first.text}
    facts = [first]
    if "{d}" in wrapper.en:
        second = make()
        while second.asking:
            second = make()
        facts.append(second)
        parts["d"] = second.text
    if "{who}" in wrapper.en:
        who = _subject(rng, words.NAMES)
        parts["who"] = (who.en, who.zh)
    text = tuple(t.format(**{k: v[n] for k, v in parts.items()}) for n, t in enumerate((wrapper.en, wrapper.zh)))
    frame = f"{wrapper.key}({','.join(f.frame for f in facts)})"
    end = "?" if wrapper.key == "remember" else "."
    return Sentence((text[0], text[1]), end, frame, any(map(is_held, facts)) or held("frame", frame))
