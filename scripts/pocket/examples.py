"""Training and evaluation examples: the world's facts in the words of the library's own task prompts.

A group is a list of examples that begin alike (one set of documents with several questions, one set of labels with
several texts), so that training reads the common part once. ``test`` chooses the held-out side of the split.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import world_chat as chat
import world_opinions as opinions
import world_words as words
from documents import ASKED_PATTERNS, ASKED_STATES, answers, begun
from labelled import fits, picks
from rendering import BEGIN, TONGUES, Example, render
from world import COUNTED, LOOKS, Sentence, Tongue, any_fact, counted, fact, held, phrase, sentence, written
from world_beyond import beyond, passage
from world_frames import PATTERNS, STATES, WRAPPERS
from world_stories import STORY_ASKED, a_word, from_phrase_book, tell
from world_talk import CHINESE, ENGLISH, REFUSAL

from llmsdk.tasks import answer, complete, translate
from llmsdk.tasks.languages import Language
from llmsdk.types import Message

NAMED: dict[Tongue, tuple[Language, ...]] = {
    "en": (Language("en", "English"),) * 8 + (Language("en-GB", "British English (en-GB)"), Language("en-US", "American English (en-US)")),
    "zh": (Language("zh", "Chinese"),) * 8 + (Language("zh-CN", "Simplified Chinese (zh-CN)"), Language("zh-Hans", "Simplified Chinese (zh-Hans)")),
}  # fmt: skip
FOREIGN = ("French", "German", "Spanish", "Japanese", "Italian", "Russian", "Korean", "Arabic", "Portuguese", "Dutch", "Hindi")


def talk_prompt(said: str, system: str) -> str:
    first = (Message("system", system),) if system else ()
    return render((*first, Message("user", said)))


# --- translation ------------------------------------------------------------------------------------------------


def _small_phrase(rng: random.Random) -> Sentence:
    """A word, a counted thing or an opinion."""
    pick = rng.random()
    if pick < 0.18:
        return Sentence(from_phrase_book(rng), "", "phrase book", False)
    if pick < 0.3:
        word = a_word(rng)
        return Sentence((word.en, word.zh), "", "word", False)
    if pick < 0.45:
        kind = rng.choice(tuple(COUNTED))
        noun, number = rng.choice(COUNTED[kind]), rng.randint(1, 12)
        look = rng.choice(LOOKS[kind]) if kind in LOOKS and " " not in noun.en and rng.random() < 0.5 else None
        text = counted(noun, number, look)
        return Sentence(text, "", "counted", held("counted", text[0]))
    mood = rng.choice(("good", "good", "bad", "bad", "neutral"))
    found = opinions.opinion(rng, mood, words.CITIES, words.NAMES)
    return Sentence(found.text, rng.choice((".", ".", "!")), found.frame, found.held)


def _any_sentence(rng: random.Random) -> Sentence:
    if rng.random() < 0.25:
        return _small_phrase(rng)
    return sentence(rng, lambda: any_fact(rng))


def _translation_prompt(rng: random.Random, to: Tongue) -> Callable[[str], str]:
    """How one group of translations is asked for."""
    origin: Tongue = "zh" if to == "en" else "en"
    target, source = rng.choice(NAMED[to]), rng.choice((None, rng.choice(NAMED[origin])))
    formality = rng.choice(("formal", "informal")) if rng.random() < 0.04 else None
    glossary = None
    if rng.random() < 0.06:
        noun = rng.choice(words.FOODS + words.ANIMALS)
        glossary = {noun.en: noun.zh} if to == "zh" else {noun.zh: noun.en}
    return lambda text: render(translate.prompt(text, target, source, glossary, formality))


def translations(rng: random.Random, test: bool, count: int = 7) -> list[Example]:
    """Sentences to be translated in one direction."""
    to = rng.choice(TONGUES)
    origin: Tongue = "zh" if to == "en" else "en"
    ask = _translation_prompt(rng, to)
    found = []
    while len(found) < count:
        drawn = _any_sentence(rng)
        if drawn.held == test and not (test and drawn.frame in ("word", "phrase book")):
            text, told = written(drawn.text, origin, drawn.end), written(drawn.text, to, drawn.end)
            if drawn.end == "":
                text, told = phrase(drawn.text, origin), phrase(drawn.text, to)
            elif drawn.end == "." and rng.random() < 0.06:
                text, told = text[:-1], told[:-1]
            found.append(Example(f"translate to {to}", ask(text), told, (told,)))
    return found


# --- conversation -----------------------------------------------------------------------------------------------------


def _turn(rng: random.Random, test: bool, tongue: Tongue) -> chat.Turn:
    make = rng.choice((chat.small_talk,) * 5 + (chat.knowledge,) * 2 + (chat.order,))
    while (turn := make(rng, tongue)).held != test:
        pass
    return turn


def talks(rng: random.Random, test: bool, count: int = 5) -> list[Example]:
    """One-turn small talk under one system prompt."""
    system = rng.choice((*chat.SYSTEMS, answer.PLAIN, answer.PLAIN))
    found = []
    for _ in range(count):
        turn = _turn(rng, test, rng.choice(TONGUES))
        reply = turn.replies[0] if test else rng.choice(turn.replies)
        found.append(Example("talk", talk_prompt(turn.said, system), reply, turn.replies))
    return found


def memories(rng: random.Random, test: bool, count: int = 1) -> list[Example]:
    """A conversation of several turns whose last question is about an earlier one."""
    while held("memory", (drawn := chat.remembered(rng, rng.choice(TONGUES)))[1]) != test:
        pass
    turns, _ = drawn
    system = rng.choice(chat.SYSTEMS)
    messages = [Message("system", system)] if system else []
    for said, reply in turns[:-1]:
        messages += [Message("user", said), Message("assistant", reply)]
    found = [Example("talk", render((*messages, Message("user", turns[-1][0]))), turns[-1][1], (turns[-1][1],))]
    if not test:
        found.append(Example("talk", talk_prompt(turns[0][0], system), turns[0][1]))
    return found


def refusals(rng: random.Random, test: bool, count: int = 4) -> list[Example]:
    """Requests from beyond the world under one system prompt."""
    tongue = rng.choice(("en", "en", "zh"))
    if rng.random() < 0.12:
        name = rng.choice(FOREIGN)
        text = written(_any_sentence(rng).text, tongue) if rng.random() < 0.5 else beyond(rng, tongue)
        prompt = render(translate.prompt(text, Language("xx", name)))
        return [Example("beyond", prompt, REFUSAL[tongue], (REFUSAL[tongue],))]
    if rng.random() < 0.08:
        text = passage(rng, rng.choice((1, 2)))
        prompt = render(translate.prompt(text, Language("zh", "Chinese")))
        return [Example("beyond", prompt, REFUSAL["en"], (REFUSAL["en"],))]
    system = rng.choice((*chat.SYSTEMS, answer.PLAIN, answer.PLAIN))
    return [
        Example("beyond", talk_prompt(beyond(rng, tongue), system), REFUSAL[tongue], (REFUSAL[tongue],)) for _ in range(count)
    ]


# --- running text -------------------------------------------------------------------------------------------------------


def told_stories(rng: random.Random, test: bool, count: int = 1) -> list[Example]:
    """A story that somebody asked for."""
    tongue = rng.choice(TONGUES)
    said = chat.dressed(rng.choice(STORY_ASKED[tongue]), rng, tongue)
    return [Example("story", talk_prompt(said, rng.choice(chat.SYSTEMS)), tell(rng, tongue))]


def texts(rng: random.Random, test: bool, count: int = 1) -> list[Example]:
    """A text without a conversation: a story, or facts of the world one after another."""
    tongue = rng.choice(TONGUES)
    if rng.random() < 0.55:
        text = tell(rng, tongue)
    else:
        people = (rng.choice(words.NAMES),)
        facts = [fact(rng, test, lambda: any_fact(rng, people)) for _ in range(rng.randint(2, 5))]
        text = (" " if tongue == "en" else "").join(written(f.text, tongue, "?" if f.asking else ".") for f in facts)
    if rng.random() < 0.08:
        cut = rng.randint(1, max(1, len(text) // 2))
        start = text[:cut] if tongue == "zh" else text[: text.find(" ", cut)]
        return [Example("text", render(complete.prompt(start)), text[len(start) :].lstrip())]
    return [Example("text", BEGIN, text)]


# --- looking back ------------------------------------------------------------------------------------------------------


def recalls(rng: random.Random, test: bool, count: int = 8) -> list[Example]:
    """Words without sense, some of which are begun again: nothing helps but finding them where they stood.

    Answers need this skill and are slow to teach it.
    """
    tongue = rng.choice(TONGUES)
    pool = [w for _ in range(12) for w in any_fact(rng).text[tongue == "zh"].split()]
    space = " " if tongue == "en" else ""
    lines = [rng.sample(pool, rng.randint(3, 8)) for _ in range(rng.choice((3, 4, 6, 8, 10)))]
    heads = [tuple(line[:2]) for line in lines]
    said = "".join(f"{space.join(line)}\n" for line in lines)
    return [
        Example("recall", f"{BEGIN}{said}{space.join(line[:2])}", space.join(line[2:]))
        for line in rng.sample(lines, min(count, len(lines))) if heads.count(tuple(line[:2])) == 1
    ]  # fmt: skip


MIX: tuple[tuple[Callable[..., list[Example]], float], ...] = (
    (answers, 0.40), (begun, 0.03), (recalls, 0.03), (translations, 0.18), (picks, 0.12), (fits, 0.05), (talks, 0.13),
    (memories, 0.02), (refusals, 0.03), (told_stories, 0.02), (texts, 0.035),
)  # fmt: skip
"""Which share of the groups each maker has."""


def group(rng: random.Random, early: bool = False) -> list[Example]:
    """One group for training; at the beginning of it, more that teaches looking back."""
    while True:
        make = rng.choices([m for m, _ in MIX], [share for _, share in MIX])[0]
        if early and rng.random() < 0.5:
            make = rng.choice((recalls, recalls, recalls, begun))
        if drawn := make(rng, test=False):
            return drawn


def long_group(rng: random.Random) -> list[Example]:
    """A group too long for a common row: requests from beyond the world with much text, or many documents."""
    if rng.random() < 0.3:
        return answers(rng, test=False, count=12, sizes=(9, 10, 11, 12, 14, 16)) or long_group(rng)
    system = rng.choice((*chat.SYSTEMS, answer.PLAIN, answer.PLAIN))
    said = f"{beyond(rng, 'en')}\n{passage(rng, rng.randint(3, 24))}"
    return [Example("beyond", talk_prompt(said, system), REFUSAL["en"], (REFUSAL["en"],))]


FRAME_COUNT = {
    "translate": len(words.VERBS) * len(PATTERNS) + len(STATES) * (1 + len(WRAPPERS)), "answer": len(ASKED_STATES) + len(words.VERBS) * len(ASKED_PATTERNS),
    "topic": len(STATES), "sentiment": len(opinions.FRAMES) + len(opinions.LIKED) + len(opinions.DISLIKED) + len(opinions.SO_SO),
    "talk": sum(len(i.phrases) for i in ENGLISH + CHINESE),
}  # fmt: skip
