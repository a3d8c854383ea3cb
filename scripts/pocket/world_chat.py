"""Conversations of the small world: small talk, easy questions, orders, and what was said a moment ago."""

from __future__ import annotations

import random
from dataclasses import dataclass

import world_words as words
from world import Pair, Tongue, counted, held, made_up_name, written
from world_talk import CHINESE, ENGLISH

BEFORE: dict[Tongue, tuple[str, ...]] = {
    "en": ("", "", "", "", "Hey, ", "Hi! ", "Well, ", "Hello, ", "Please tell me, ", "So, ", "Pocket, ", "Oh, "),
    "zh": ("", "", "", "", "嗨，", "那个，", "请问，", "你好，", "哦，", "嗯，"),
}
AFTER: dict[Tongue, tuple[str, ...]] = {
    "en": ("", "", ".", "!", "?", ", my friend.", ", pocket."),
    "zh": ("", "", "。", "！", "？", "，朋友。", "，pocket。"),
}
SYSTEMS = (
    "", "", "", "You are a helpful assistant.", "You are pocket.", "You are a friendly assistant.", "Be brief.", "你是一个有用的助手。",
    "You are a helpful assistant", "请简短回答。",
)  # fmt: skip
COLOURED = tuple(
    tuple(row.split(":"))
    for row in ["banana:香蕉:yellow:黄色", "lemon:柠檬:yellow:黄色", "tomato:西红柿:red:红色", "carrot:胡萝卜:orange:橙色", "cucumber:黄瓜:green:绿色", "frog:青蛙:green:绿色", "snow:雪:white:白色", "sheep:羊:white:白色", "milk:牛奶:white:白色", "strawberry:草莓:red:红色", "grass:草:green:绿色", "sky:天空:blue:蓝色", "elephant:大象:grey:灰色", "chocolate:巧克力:brown:棕色", "salt:盐:white:白色"]
)
OPPOSITES = tuple(
    tuple(row.split(":"))
    for row in ["big:大:small:小", "hot:热:cold:冷", "good:好:bad:坏", "new:新:old:旧", "happy:高兴:sad:难过", "fast:快:slow:慢", "cheap:便宜:expensive:贵", "clean:干净:dirty:脏", "black:黑:white:白", "long:长:short:短", "early:早:late:晚", "open:开:closed:关", "strong:强:weak:弱", "wet:湿:dry:干", "day:白天:night:黑夜", "yes:是:no:不"]
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said, the replies that are acceptable (the first is the one to learn), and whether it is held out."""

    said: str
    replies: tuple[str, ...]
    held: bool
    intent: str


def dressed(text: str, rng: random.Random, tongue: Tongue) -> str:
    """A phrase as people type it: with an opening or not, with a full stop or not, in any case."""
    before, after = rng.choice(BEFORE[tongue]), rng.choice(AFTER[tongue])
    if tongue == "zh":
        return before + text + after
    if not before or before.endswith(("! ", "? ")):
        text = text if rng.random() < 0.2 else text[:1].upper() + text[1:]
    return before + text + after


def small_talk(rng: random.Random, tongue: Tongue) -> Turn:
    """One phrase of one intent."""
    intent = rng.choice(ENGLISH if tongue == "en" else CHINESE)
    said = rng.choice(intent.phrases)
    text = dressed(said, rng, tongue)
    rare = intent.phrases.index(said) > 2 and held("phrase", f"{tongue}:{said}")
    start = rng.randrange(len(intent.replies))
    replies = (*intent.replies[start:], *intent.replies[:start])
    return Turn(text, replies, rare or held("talk", text.casefold().strip(" .!?。！？")), intent.name)


def _neighbour(rng: random.Random) -> tuple[Pair, Pair]:
    """What comes after or before a day, a month or a number."""
    row, en_kind, zh_kind = rng.choice(
        ((words.DAYS, "day", "星期几"), (words.MONTHS, "month", "哪个月"), (words.NUMBERS[:20], "number", "哪个数字"))
    )
    step = rng.choice((1, -1))
    if en_kind == "number":
        n = rng.randrange(1, 19)
        here, there = row[n], row[n + step]
    else:
        n = rng.randrange(len(row))
        here, there = row[n], row[(n + step) % len(row)]
    word, zh_word = ("after", "后面") if step == 1 else ("before", "前面")
    en = rng.choice((
        f"what {en_kind} comes {word} {here.en}", f"which {en_kind} is {word} {here.en}", f"what comes {word} {here.en}",
        f"what {en_kind} is {word} {here.en}", f"tell me the {en_kind} {word} {here.en}", f"which {en_kind} comes {word} {here.en}",
    ))  # fmt: skip
    zh = rng.choice((
        f"{here.zh}{zh_word}是{zh_kind}", f"{here.zh}的{zh_word}是什么", f"{here.zh}{zh_word}是什么", f"{here.zh}的{zh_word}是{zh_kind}",
        f"{zh_kind}在{here.zh}{zh_word}",
    ))  # fmt: skip
    return (en, zh), (there.en, there.zh)


def knowledge(rng: random.Random, tongue: Tongue) -> Turn:
    """A question about the world that needs no document; held out are single ways to ask for a fact, not facts."""
    kind = rng.choice(("next", "next", "colour", "opposite", "plus", "isa"))
    if kind == "next":
        asked, told = _neighbour(rng)
    elif kind == "colour":
        en, zh, colour, colour_zh = rng.choice(COLOURED)
        asked = (
            rng.choice((f"what color is the {en}", f"which color does the {en} have", f"what color does the {en} have", f"tell me the color of the {en}")),
            rng.choice((f"{zh}是什么颜色的", f"{zh}是什么颜色", f"{zh}的颜色是什么", f"{zh}有什么颜色")),
        )  # fmt: skip
        told = colour, colour_zh
    elif kind == "opposite":
        a, a_zh, b, b_zh = rng.choice(OPPOSITES)
        if rng.random() < 0.5:
            a, a_zh, b, b_zh = b, b_zh, a, a_zh
        asked = (
            rng.choice((f"what is the opposite of {a}", f"tell me the opposite of {a}", f"which word is the opposite of {a}", f"the opposite of {a}")),
            rng.choice((f"{a_zh}的反义词是什么", f"什么是{a_zh}的反义词", f"告诉我{a_zh}的反义词", f"{a_zh}的反义词")),
        )  # fmt: skip
        told = b, b_zh
    elif kind == "plus":
        a, b = rng.randint(1, 10), rng.randint(1, 10)
        n = words.NUMBERS
        as_digits = rng.random() < 0.5
        left = (str(a), str(a)) if as_digits else (n[a - 1].en, n[a - 1].zh)
        right = (str(b), str(b)) if as_digits else (n[b - 1].en, n[b - 1].zh)
        total = n[a + b - 1]
        asked = (
            rng.choice((f"what is {left[0]} plus {right[0]}", f"how much is {left[0]} plus {right[0]}", f"what is {left[0]} and {right[0]}")),
            rng.choice((f"{left[1]}加{right[1]}等于多少", f"{left[1]}加{right[1]}是多少", f"{left[1]}加{right[1]}等于几")),
        )  # fmt: skip
        told = (str(a + b),) * 2 if as_digits else (total.en, total.zh)
    else:
        lists = (("animal", "动物", words.ANIMALS), ("city", "城市", words.CITIES), ("color", "颜色", words.COLORS))
        kinds = rng.sample(lists, 2)
        item = rng.choice(kinds[0][2])
        right = rng.random() < 0.5
        of = kinds[0] if right else kinds[1]
        asked = f"is {item.en} a {of[0]}", f"{item.zh}是{of[1]}吗"
        told = ("yes", "是的") if right else ("no", "不是")
    said = dressed(written(asked, "en", "") if tongue == "en" else asked[1], rng, tongue)
    if tongue == "en":
        said = said.rstrip("?.!") + "?" if rng.random() < 0.7 else said
    return Turn(said, (written(told, tongue),), held("knowledge", asked[tongue == "zh"]), kind)


def order(rng: random.Random, tongue: Tongue) -> Turn:
    """Somebody buys food; each thing costs three yuan and is repeated with the price."""
    noun = rng.choice([n for n in (*words.FOODS, *words.DRINKS) if " " not in n.en or n in words.DRINKS])
    number = rng.randint(1, 9)
    en, zh = counted(noun, number)
    price = words.NUMBERS[number * 2 - 1]
    verb = "is" if number == 1 else "are"
    asked = rng.choice((
        (f"I would like {en}", f"我 想 要 {zh}"), (f"I want to buy {en}", f"我 想 买 {zh}"), (f"{en}, please", f"请 给 我 {zh}"),
        (f"can I have {en}", f"可以 给 我 {zh} 吗"), (f"give me {en}", f"来 {zh}"), (f"how much are {en}" if number > 1 else f"how much is {en}", f"{zh} 多少 钱"),
    ))  # fmt: skip
    reply = f"{en} {verb} {price.en} yuan", f"{zh} {price.zh if number != 1 else '两'} 元"
    said = written(asked, tongue, rng.choice((".", "", "?", "!")) if tongue == "en" else rng.choice(("", ".")))
    return Turn(said, (written(reply, tongue),), held("order", f"{number}.{noun.en}"), "order")


def remembered(rng: random.Random, tongue: Tongue) -> tuple[tuple[tuple[str, str], ...], str]:
    """A conversation in which something said earlier is asked for: its turns, and a key for the split."""
    name = made_up_name(rng) if rng.random() < 0.3 else rng.choice(words.NAMES)
    city, color = rng.choice(words.CITIES), rng.choice(words.COLORS)
    food, job, number = rng.choice(words.FOODS), rng.choice(words.JOBS), rng.choice(words.NUMBERS[4:])
    rows: tuple[tuple[Pair, Pair, Pair, Pair], ...] = (
        ((f"my name is {name.en}", f"我 叫 {name.zh}"), (f"nice to meet you, {name.en}", f"很 高兴 认识 你 ， {name.zh}"),
         ("what is my name", "我 叫 什么 名字"), (f"your name is {name.en}", f"你 叫 {name.zh}")),
        ((f"I live in {city.en}", f"我 住 在 {city.zh}"), (f"{city.en} is a beautiful city", f"{city.zh} 是 一 座 美丽 的 城市"),
         ("where do I live", "我 住 在 哪里"), (f"you live in {city.en}", f"你 住 在 {city.zh}")),
        ((f"my favourite color is {color.en}", f"我 最 喜欢 的 颜色 是 {color.zh}"), (f"{color.en} is a nice color", f"{color.zh} 很 好看"),
         ("what is my favourite color", "我 最 喜欢 的 颜色 是 什么"), (f"your favourite color is {color.en}", f"你 最 喜欢 的 颜色 是 {color.zh}")),
        ((f"I like {food.plural}", f"我 喜欢 {food.zh}"), (f"{food.plural} are very good", f"{food.zh} 很 好吃"),
         ("what do I like", "我 喜欢 什么"), (f"you like {food.plural}", f"你 喜欢 {food.zh}")),
        ((f"I am a {job.en}", f"我 是 一名 {job.zh}"), (f"a {job.en} has an important job", f"{job.zh} 的 工作 很 重要"),
         ("what is my job", "我 的 工作 是 什么"), (f"you are a {job.en}", f"你 是 一名 {job.zh}")),
        ((f"I am {number.en} years old", f"我 {number.zh} 岁"), (f"{number.en} is a good age", f"{number.zh} 岁 很 好"),
         ("how old am I", "我 几 岁"), (f"you are {number.en} years old", f"你 {number.zh} 岁")),
    )  # fmt: skip
    chosen = rng.sample(rows, rng.choice((1, 1, 2)))
    greeting = rng.choice(("", "", "", "Hello! ", "Hi! ") if tongue == "en" else ("", "", "", "你好！"))
    turns = [(written(told, tongue), written(reply, tongue)) for told, reply, _, _ in chosen]
    turns[0] = (greeting + turns[0][0], turns[0][1])
    if rng.random() < 0.3:
        between = small_talk(rng, tongue)
        turns.append((between.said, between.replies[0]))
    _, _, asked, reply = rng.choice(chosen)
    turns.append((written(asked, tongue, "?"), written(reply, tongue)))
    return tuple(turns), ".".join(turns[0])
