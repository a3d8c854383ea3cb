"""Running text of the small world: stories, and the phrase book for translation."""

from __future__ import annotations

import random

import world_words as words
from world import Pair, Tongue, filled_for, written
from world_words import Word

STORIES: tuple[tuple[Pair, ...], ...] = (
    (("once upon a time, there was a {look} {animal} called {pet}", "从前 ， 有 一 {animal.m} {look} {animal} ， 名字 叫 {pet}"),
     ("{pet} lived in a {place} near {city}", "{pet} 住 在 {city} 附近 的 {place}"),
     ("one {day}, {pet} met {name}", "有 一 个 {day} ， {pet} 遇见 了 {name}"),
     ("{name} gave {pet} a {food}", "{name} 给 了 {pet} 一 {food.m} {food}"),
     ("{pet} was very {mood}", "{pet} 很 {mood}"),
     ("from that day on they were good friends", "从 那 天 起 他们 成 了 好 朋友")),
    (("on {day} the weather was {weather}", "{day} 天气 {weather}"),
     ("{name} was {mood} and went to the {place}", "{name} 很 {mood} ， 去 了 {place}"),
     ("there {name} found a {color} {good}", "在 那里 {name} 找到 了 一 {good.m} {color} 的 {good}"),
     ("it was a present from {name2}", "这 是 {name2} 的 礼物"),
     ("in the evening they ate {foods} together", "晚上 他们 一起 吃 了 {foods}")),
    (("{name} was a {job} in {city}", "{name} 是 {city} 的 一名 {job}"),
     ("every {day}, {name} went to the {place}", "每个 {day} ， {name} 都 去 {place}"),
     ("one day a {animal} stood at the door", "有 一 天 ， 一 {animal.m} {animal} 站 在 门口"),
     ("the {animal} was {mood}", "{animal} 很 {mood}"),
     ("{name} gave it some {foods}, and the {animal} stayed", "{name} 给 了 它 一些 {foods} ， {animal} 就 留下 了")),
    (("in {season} {name} went to {city} by {vehicle}", "{season} {name} 坐 {vehicle} 去 了 {city}"),
     ("the weather was {weather}", "天气 {weather}"),
     ("at the {place} {name} met {name2}", "在 {place} {name} 遇见 了 {name2}"),
     ("they bought {foods} and talked about {animals}", "他们 买 了 {foods} ， 聊 了 {animals}"),
     ("{name2} was {mood}, and it was a good day", "{name2} 很 {mood} ， 那 是 美好 的 一 天")),
    (("today is {day}, and it is {weather}", "今天 是 {day} ， 天气 {weather}"),
     ("{name} wakes up and feels {mood}", "{name} 醒来 ， 感到 {mood}"),
     ("for breakfast there are {foods} and {foods2}", "早饭 有 {foods} 和 {foods2}"),
     ("then {name} goes to the {place}", "然后 {name} 去 {place}"),
     ("in the evening {name} reads a book", "晚上 {name} 看 一 本 书")),
    (("once upon a time, a {job} lived in {city}", "从前 ， 有 一名 {job} 住 在 {city}"),
     ("the {job} had {color} shoes and a {animal}", "{job} 有 一 双 {color} 的 鞋子 和 一 {animal.m} {animal}"),
     ("on {day} they went to the {place}", "{day} 他们 去 了 {place}"),
     ("the {animal} saw a {animal2} and was {mood}", "{animal} 看见 一 {animal2.m} {animal2} ， 很 {mood}"),
     ("the two animals played until the evening", "两 只 动物 一直 玩 到 晚上")),
)  # fmt: skip
"""Stories of the world, sentence by sentence."""

STORY_ASKED: dict[Tongue, tuple[str, ...]] = {
    "en": ("tell me a story", "tell a story", "can you tell me a story", "I want to hear a story", "do you know a story",
           "a story, please", "please tell me a short story", "tell me a short story", "write a story", "tell me another story"),
    "zh": ("讲个故事", "给我讲个故事", "讲一个故事", "我想听故事", "你会讲故事吗", "请讲个故事", "说个故事", "讲个小故事", "写个故事", "再讲一个故事"),
}  # fmt: skip

PHRASES: tuple[Pair, ...] = tuple(
    (row.split("|")[0].strip(), row.split("|")[1].strip())
    for row in """
    Hello!|你好 ！
    Good morning!|早上 好 ！
    Good evening!|晚上 好 ！
    Good night!|晚安 ！
    Goodbye!|再见 ！
    Thank you!|谢谢 你 ！
    Thank you very much!|非常 感谢 ！
    How are you?|你 好 吗 ？
    What is your name?|你 叫 什么 名字 ？
    I am very well.|我 很 好 。
    You are welcome.|不 客气 。
    I am sorry.|对不起 。
    The weather is good today.|今天 天气 很 好 。
    The weather is bad today.|今天 天气 很 差 。
    I am {mood}.|我 很 {mood} 。
    I am {mood} today.|我 今天 很 {mood} 。
    Are you {mood}?|你 {mood} 吗 ？
    I like {foods}.|我 喜欢 {foods} 。
    I do not like {foods}.|我 不 喜欢 {foods} 。
    Do you like {animals}?|你 喜欢 {animals} 吗 ？
    I live in {city}.|我 住 在 {city} 。
    My name is {name}.|我 叫 {name} 。
    Where is the {place}?|{place} 在 哪里 ？
    How much is the {good}?|这 {good.m} {good} 多少 钱 ？
    I would like a {food}.|我 想 要 一 {food.m} {food} 。
    What day is today?|今天 星期 几 ？
    I am a {job}.|我 是 一名 {job} 。
    See you on {day}!|{day} 见 ！
    It is {weather} today.|今天 天气 {weather} 。
    She is my {relative}.|她 是 我 的 {relative} 。
    I love you.|我 爱 你 。
    Tell me a story.|给 我 讲 一个 故事 。
    I have a {animal}.|我 有 一 {animal.m} {animal} 。
    The {animal} is {color}.|{animal} 是 {color} 的 。
    We are in {city}.|我们 在 {city} 。
    This is my {good}.|这 是 我 的 {good} 。
    """.strip().splitlines()
)
"""What a phrase book has, for translation. Full stops are part of the phrase."""


def from_phrase_book(rng: random.Random) -> Pair:
    """One phrase with its slots filled."""
    line = rng.choice(PHRASES)
    return filled_for((line,), rng).render(*line)


def a_word(rng: random.Random) -> Word:
    """Any word that has a plain translation."""
    lists = (words.CITIES, words.DAYS, words.MONTHS, words.SEASONS, words.COLORS, words.NAMES, words.JOBS, words.SPORTS)
    return rng.choice(rng.choice(lists))


def tell(rng: random.Random, tongue: Tongue) -> str:
    """A whole story, in one language."""
    lines = rng.choice(STORIES)
    filled = filled_for(lines, rng)
    sentences = [written(filled.render(*line), tongue) for line in lines]
    return (" " if tongue == "en" else "").join(sentences)
