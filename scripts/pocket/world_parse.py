"""Whether a text is one the grammar could have written: used to call a continuation fluent."""

from __future__ import annotations

import re
from functools import cache

import world_words as words
from world import COUNTED, NOUNS, PRONOUNS, SPORT_VERBS, UNCOUNTED, Tongue
from world_frames import PATTERNS, STATES, WRAPPERS
from world_stories import STORIES
from world_words import Noun, Word

_WORDS: dict[str, tuple[Word, ...]] = {
    "name": words.NAMES, "city": words.CITIES, "day": words.DAYS, "month": words.MONTHS, "season": words.SEASONS,
    "number": words.NUMBERS, "hour": (*words.NUMBERS, Word("two", "两")), "color": words.COLORS,
    "look": words.LOOKS + words.BEASTLY, "place": words.PLACES, "job": words.JOBS, "relative": words.RELATIVES, "mood": words.MOODS,
    "weather": words.WEATHER, "sky": words.SKIES, "sport": words.SPORTS, "exercise": words.EXERCISES,
    "instrument": words.INSTRUMENTS, "subject": words.SUBJECTS, "vehicle": words.VEHICLES, "illness": words.ILLNESSES,
    "pet": words.PET_NAMES, "fare": words.FARE, "daytime": words.DAYTIMES,
}  # fmt: skip


def _any(options: set[str]) -> str:
    return "(?:" + "|".join(re.escape(o) for o in sorted(options, key=len, reverse=True)) + ")"


def _texts(row: tuple[Word, ...], tongue: Tongue) -> set[str]:
    return {(w.en if tongue == "en" else w.zh.replace(" ", "")) for w in row}


def _object(tongue: Tongue) -> str:
    nouns: set[Noun] = {noun for row in COUNTED.values() for noun in row}
    plain = _any({text for row in UNCOUNTED.values() for text in _texts(row, tongue)})
    number, look = _any(_texts(_WORDS["hour"], tongue)), _any(_texts(_WORDS["look"], tongue))
    if tongue == "zh":
        return f"(?:(?:{number}|一){_any({n.measure for n in nouns})}{look}?{_any({n.zh for n in nouns})}|{plain})"
    noun = _any({n.en for n in nouns} | {n.plural for n in nouns})
    return f"(?:(?:an?|{number}) (?:{look} )?{noun}|(?:the )?{plain})"


@cache
def _slot(name: str, tongue: Tongue) -> str:
    """A pattern for everything that may fill a slot."""
    kind = name.removesuffix("_m").rstrip("2")
    if name.endswith("_m"):
        return _any({n.measure for row in NOUNS.values() for n in row})
    if kind in _WORDS:
        return _any(_texts(_WORDS[kind], tongue))
    if kind in ("price", "code"):
        return "[0-9]+"
    verbs = words.VERBS
    if kind in ("B", "T", "P"):
        return _any({form for v in verbs for form in (v.base, v.third, v.past)})
    if kind == "V":
        return _any({v.zh.replace(" ", "") for v in verbs} | set(SPORT_VERBS.values()))
    if kind == "wants":
        return "(?:wants|want)"
    if kind == "O":
        return _object(tongue)
    if kind in ("S", "X", "who"):
        names, relatives, jobs = (_slot(k, tongue) for k in ("name", "relative", "job"))
        alone = _any(_texts(PRONOUNS, tongue))
        if tongue == "zh":
            return f"(?:{names}的{relatives}|我{relatives}|{jobs}|{alone}|{names})"
        return f"(?:{names}'s {relatives}|my {relatives}|the {jobs}|{alone}|{names})"
    many = kind.endswith("s") and kind[:-1] in NOUNS
    nouns = NOUNS[kind[:-1] if many else kind]
    return _any({n.zh if tongue == "zh" else (n.plural if many else n.en) for n in nouns})


def _pattern(template: str, tongue: Tongue) -> re.Pattern[str]:
    if tongue == "zh":
        template = template.replace(" ", "").replace(".m}", "_m}")
    parts = re.split(r"\{(\w+)\}", template)
    pieces = [re.escape(part) if n % 2 == 0 else _slot(part, tongue) for n, part in enumerate(parts)]
    text = "".join(pieces)
    if tongue == "en":
        text = re.sub(r"(^|\\ )a\\ ", r"\1an?\\ ", text)
    return re.compile(text, re.IGNORECASE)


@cache
def _frames(tongue: Tongue) -> tuple[re.Pattern[str], ...]:
    rows = [(f.en, f.zh) for f in (*PATTERNS, *STATES)] + [line for lines in STORIES for line in lines]
    return tuple(_pattern(en if tongue == "en" else zh, tongue) for en, zh in rows)


def clause(text: str, tongue: Tongue) -> bool:
    """Whether a clause without its full stop is one of the grammar's."""
    if any(frame.fullmatch(text) for frame in _frames(tongue)):
        return True
    heads = (w.en if tongue == "en" else w.zh.replace(" ", "") for w in WRAPPERS)
    for head in heads:
        parts = re.split(r"\{(\w+)\}", head)
        made = "".join(
            re.escape(p) if n % 2 == 0 else "(.+?)" if p in ("c", "d") else _slot(p, tongue) for n, p in enumerate(parts)
        )
        match = re.fullmatch(made, text, re.IGNORECASE)
        if match and all(clause(inner, tongue) for inner in match.groups()):
            return True
    return False


def fluent(text: str) -> bool:
    """Whether a whole text is made of the grammar's sentences only."""
    tongue: Tongue = "zh" if re.search(r"[\u4e00-\u9fff]", text) else "en"
    found = [part.strip() for part in re.split(r"[.?!。？！]", text)]
    return len(found) > 1 and found[-1] == "" and all(clause(part, tongue) for part in found[:-1])

