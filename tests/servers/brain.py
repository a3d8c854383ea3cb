"""What the test server says: a stand-in for a model that follows our task prompts, always in the same way.

It knows the prompts by their wording, which is frozen, and nothing else of the library. It translates by a small
dictionary, answers with the sentence that shares most words with the question, classifies by keywords.

Text is counted in *pieces*: a run of ASCII letters, a run of digits, or one other character, each together with the
white space before it; white space at the end is a piece of its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

_PIECE = re.compile(r"\s*(?:[A-Za-z]+|\d+|[^\sA-Za-z\d])|\s+")
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:'[a-z]+)?|\d+|[\u3400-\u9fff]")


def pieces(text: str) -> list[str]:
    """The pieces of a text; joined they are the text."""
    return _PIECE.findall(text)


SENTENCES = (
    ("good morning", "早上好", "guten Morgen", "bonjour"),
    ("good night", "晚安", "gute Nacht", "bonne nuit"),
    ("hello", "你好", "hallo", "bonjour"),
    ("thank you", "谢谢", "danke", "merci"),
    ("how are you", "你好吗", "wie geht es dir", "comment vas-tu"),
    ("the weather is nice today", "今天天气很好", "das Wetter ist heute schön", "il fait beau aujourd'hui"),
    ("i like apples", "我喜欢苹果", "ich mag Äpfel", "j'aime les pommes"),
    ("the cat is sleeping", "猫在睡觉", "die Katze schläft", "le chat dort"),
    ("where is the station", "车站在哪里", "wo ist der Bahnhof", "où est la gare"),
    ("today is friday", "今天是星期五", "heute ist Freitag", "aujourd'hui c'est vendredi"),
)
"""English, Chinese, German, French."""
COLUMNS = {"english": 0, "chinese": 1, "simplified chinese": 1, "german": 2, "french": 3}
WORDS = {
    "i": "我", "you": "你", "he": "他", "she": "她", "we": "我们", "like": "喜欢", "love": "爱", "see": "看见",
    "the": "", "a": "", "is": "是", "and": "和", "cat": "猫", "dog": "狗", "apple": "苹果", "apples": "苹果",
    "water": "水", "tea": "茶", "today": "今天", "tomorrow": "明天", "good": "好", "big": "大", "small": "小",
    "book": "书", "weather": "天气", "bank": "银行", "server": "服务器",
}  # fmt: skip
CHAT = {
    "hi": "Hello! How can I help you?",
    "hello": "Hello! How can I help you?",
    "你好": "你好！有什么可以帮你？",
    "thank you": "You are welcome.",
    "tell me a story": "Once upon a time there was a little cat. It found a red ball. It was happy.",
}
FACTS = {
    "what is the capital of france": "Paris",
    "how many days are in a week": "Seven",
    "法国的首都是哪里": "巴黎",
}
CONTINUATIONS = {
    "once upon a time": " there was a little cat who lived by the sea.",
    "今天是星期五，": "明天是星期六。",
    "the days of the week are monday, tuesday,": " Wednesday, Thursday, Friday, Saturday and Sunday.",
}
TOPICS = {
    "positive": "good great love loved excellent wonderful nice best happy enjoy amazing fine 好 棒 喜欢 爱 开心",
    "negative": "bad terrible hate awful boring worst poor sad broken disappointing slow 差 坏 讨厌 糟 难",
    "weather": "weather rain rains sunny cloud wind snow storm degrees warm cold 天气 雨 晴 云 风 雪",
    "food": "food eat apple apples rice noodles soup restaurant delicious cook dinner lunch 吃 饭 苹果 面 菜",
    "sports": "match team goal ball game player won score football 球 队 比赛",
    "animals": "cat dog bird horse fish animal tiger 猫 狗 鸟 马 鱼",
    "travel": "train station ticket hotel airport trip flight city 车 票 旅 机场",
    "technology": "computer phone software server code internet data robot 电脑 手机 软件",
}
SYNONYMS = {
    "good": "positive", "happy": "positive", "pos": "positive", "正面": "positive", "bad": "negative",
    "sad": "negative", "neg": "negative", "负面": "negative", "sport": "sports", "tech": "technology",
    "animal": "animals", "天气": "weather", "食物": "food", "动物": "animals",
}  # fmt: skip
_STOP = (
    "a an the is are was were be been do does did of in on at to for from and or who what when where why how which "
    "many much it its this that he she they his her their with by as 的 了 是 在 吗 呢 什 么 哪 里 谁 多 少 有"
)
STOP = frozenset(_STOP.split())


@dataclass
class Knowledge:
    """What a test adds to what the server knows. Keys are compared without case and without marks at the end."""

    translations: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(English name of the target language, text) -> translation."""
    facts: Mapping[str, str] = field(default_factory=dict)
    chat: Mapping[str, str] = field(default_factory=dict)
    continuations: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Said:
    """A reply. ``first`` are probabilities of the first piece, where the question was a choice."""

    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    first: dict[str, float] | None = None


@dataclass(frozen=True)
class Script:
    """What a server says whatever it is asked, and what it says that this cost."""

    said: Said
    prompt: int
    written: int
    cached: int = 0
    thought: str = ""


SCRIPT: ContextVar[Script | None] = ContextVar("SCRIPT", default=None)


def counted(prompt: int, written: int) -> tuple[int, int]:
    """Tokens of the prompt and of the reply: those that were counted, or those of the script."""
    script = SCRIPT.get()
    return (script.prompt, script.written) if script else (prompt, written)


def cached(otherwise: int = 0) -> int:
    """Tokens of the prompt that came from a cache."""
    script = SCRIPT.get()
    return script.cached if script else otherwise


def thought(otherwise: str = "") -> str:
    """What the model thinks before it speaks."""
    script = SCRIPT.get()
    return script.thought if script else otherwise


def say(body: Mapping[str, Any], known: Knowledge) -> Said:
    """The reply to the body of a chat request."""
    if (script := SCRIPT.get()) is not None:
        return script.said
    messages = body["messages"]
    system = "\n".join(_content(m) for m in messages if m["role"] in ("system", "developer"))
    asked = messages[-1]
    user = next((_content(m) for m in reversed(messages) if m["role"] == "user"), "")
    if asked["role"] != "tool" and (calls := _calls(body, user)):
        return Said(calls=calls)
    schema = _schema(body, system)
    if system.startswith("How probable is it"):
        return Said(json.dumps(_state(system, user), ensure_ascii=False))
    if system.startswith(("Which label fits", "Does the label fit")):
        return _pick(system, user)
    text = f"The tool says: {_content(asked)}" if asked["role"] == "tool" else _talk(system, user, known)
    if schema is not None:
        return Said(json.dumps(example(schema, schema, user, text), ensure_ascii=False))
    return Said(text)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _talk(system: str, user: str, known: Knowledge) -> str:
    if match := re.match(r"Translate the text (?:from (.+?) )?to (.+?)\. Reply", system):
        glossary = dict(re.findall(r"^- (.+?) = (.+)$", system, re.MULTILINE))
        return translate(user, match[2], glossary, known)
    if system.startswith("Answer the question briefly, from the documents only."):
        return answer(user)
    if system.startswith("Answer the question briefly."):
        return _look_up(user, known.facts, FACTS) or "I do not know."
    if system.startswith("Continue the text."):
        return continuation(user, known)
    if match := re.search(r"<before>\n(.*)\n</before>\n<after>\n(.*)\n</after>", user, re.DOTALL):
        return infill(match[1], match[2])
    return _look_up(user, known.chat, CHAT) or f"You said: {user}"


def _plain(text: str) -> str:
    return text.strip().rstrip(".!?。！？").strip().casefold()


def _look_up(text: str, *tables: Mapping[str, str]) -> str | None:
    for table in tables:
        for key, value in table.items():
            if _plain(key) == _plain(text):
                return value
    return None


# --- complete -----------------------------------------------------------------------------------------------------


def continuation(text: str, known: Knowledge) -> str:
    """How a text goes on: by the first known beginning that it ends with."""
    if (script := SCRIPT.get()) is not None:
        return script.said.text
    for table in (known.continuations, CONTINUATIONS):
        for start, rest in table.items():
            if text.strip().casefold().endswith(start.casefold()):
                return rest
    return "，就这样。" if re.search(r"[\u3400-\u9fff]", text[-3:]) else " and that was all."


def infill(before: str, after: str) -> str:
    """What stands between two texts."""
    return "和" if re.search(r"[\u3400-\u9fff]", (before[-3:] + after[:3])) else " and "


# --- translate ----------------------------------------------------------------------------------------------------


def translate(text: str, language: str, glossary: Mapping[str, str], known: Knowledge) -> str:
    """By the whole sentence where it is known, else word by word into Chinese, else with the language in front."""
    name = re.sub(r" \(.*\)$", "", language)
    for (target, source), translation in known.translations.items():
        if target.casefold() in (language.casefold(), name.casefold()) and _plain(source) == _plain(text):
            return translation
    column = COLUMNS.get(name.casefold())
    row = next((row for row in SENTENCES if _plain(text) in map(_plain, row)), None)
    if row is not None and column is not None:
        return _finished(row[column], text, column)
    for term, translation in glossary.items():
        text = text.replace(term, translation)
    if column == 1:
        kept = set(_WORD.findall(" ".join(glossary.values())))
        words = (word if word in kept else WORDS.get(word.lower(), word) for word in _WORD.findall(text))
        return "".join(words) + ("。" if text.rstrip().endswith(".") else "")
    return f"[{name}] {text}"


def _finished(translation: str, source: str, column: int) -> str:
    mark = source.strip()[-1:]
    marks = {".": "。", "!": "！", "?": "？"} if column == 1 else {"。": ".", "！": "!", "？": "?"}
    end = marks.get(mark, mark) if mark in ".!?。！？" else ""
    return (translation[0].upper() + translation[1:] if end and column != 1 else translation) + end


# --- answer -------------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    """Words without their endings, so that "lives" and "live" are the same."""
    return [re.sub(r"(?<=[a-z]{2})(?:es|s|ed|d|e)$", "", word.lower()) for word in _WORD.findall(text)]


def answer(user: str) -> str:
    """In the line protocol: the words that the question lacks, then the sentence after the number of its document."""
    question = user.rpartition("Question: ")[2]
    wanted = {word for word in _words(question) if word not in STOP}
    best: tuple[float, int, str] = (0.0, 0, "")
    for number, page in re.findall(r"<document (\d+)>\n(.*?)\n</document \1>", user, re.DOTALL):
        for sentence in _SENTENCE.findall(page):
            share = len(wanted & set(_words(sentence))) / max(len(wanted), 1)
            if share > best[0]:
                best = (share, int(number), sentence.strip())
    share, number, sentence = best
    if share < 0.6:
        return "NOT FOUND"
    return f"{_short(sentence, wanted)}\n[{number}] {sentence}"


def _short(sentence: str, asked: set[str]) -> str:
    """The longest run of the sentence that the question does not have."""
    words = list(_WORD.finditer(sentence))
    new = [not set(_words(match[0])) <= asked for match in words]
    longest, start = (0, 0), 0
    for index, is_new in enumerate([*new, False]):
        if not is_new:
            longest, start = max(longest, (index - start, -start)), index + 1
    size, first = longest[0], -longest[1]
    if not size:
        return sentence.rstrip(".!?。！？")
    return sentence[words[first].start() : words[first + size - 1].end()]


# --- classify -----------------------------------------------------------------------------------------------------


def _score(text: str, label: str, description: str = "") -> float:
    """How many words of the text belong to the label."""
    topic = SYNONYMS.get(label.casefold(), label.casefold())
    lexicon = {word for word in f"{TOPICS.get(topic, '')} {label} {description}".casefold().split() if word not in STOP}
    found = sum(word.casefold() in lexicon for word in re.findall(r"[a-zA-ZÀ-ÿ]+", text))
    return found + sum(word in text for word in lexicon if not word.isascii())


def _labels(system: str) -> dict[str, str]:
    """Each label, with its description, out of a system prompt."""
    lines = re.findall(r"^(?:- |[A-Z]\. |Label: )(.+)$", system, re.MULTILINE)
    return {label: description for label, _, description in (line.partition(": ") for line in lines)}


def _softmax(scores: Sequence[float]) -> list[float]:
    weights = [math.exp(2 * score) for score in scores]
    return [weight / sum(weights) for weight in weights]


def _pick(system: str, user: str) -> Said:
    labels = _labels(system)
    if system.startswith("Does the label fit"):
        fits = 1 / (1 + math.exp(2 - 4 * max(_score(user, *item) for item in labels.items())))
        choices = {"yes": fits, "no": 1 - fits}
    else:
        names = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if "its letter only" in system else list(labels)
        probabilities = _softmax([_score(user, *item) for item in labels.items()])
        choices = dict(zip(names, probabilities, strict=False))
    return Said(max(choices, key=lambda name: choices[name]), first=choices)


def _state(system: str, user: str) -> dict[str, float]:
    labels = _labels(system)
    scores = [_score(user, *item) for item in labels.items()]
    if "independent of the others" in system:
        return {label: round(1 / (1 + math.exp(2 - 4 * score)), 4) for label, score in zip(labels, scores, strict=True)}
    return {label: round(share, 4) for label, share in zip(labels, _softmax(scores), strict=True)}


# --- tools and schemas --------------------------------------------------------------------------------------------


def _calls(body: Mapping[str, Any], user: str) -> list[tuple[str, dict[str, Any]]]:
    """A call of each tool whose name stands in the question, or of the one that is forced."""
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, Mapping):
        names = [choice["function"]["name"]]
    else:
        named = [name for name in tools if re.search(rf"\b{re.escape(name)}\b", user)]
        names = [] if choice == "none" else named or (list(tools)[:1] if choice == "required" else [])
    if body.get("parallel_tool_calls") is False:
        names = names[:1]
    empty = {"type": "object", "properties": {}}
    schemas = {name: tools[name].get("parameters") or empty for name in names}
    return [(name, example(schema, schema, user, user)) for name, schema in schemas.items()]


def _schema(body: Mapping[str, Any], system: str) -> Any:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return form["json_schema"]["schema"]
    if match := re.search(r"satisfies this JSON schema, and with nothing else:\n(.*)", system, re.DOTALL):
        return json.loads(match[1])
    return {"type": "object"} if form.get("type") == "json_object" else None


def example(schema: Any, root: Any, user: str, text: str, name: str = "") -> Any:
    """A value that satisfies a schema, with what the question says for it: ``name=value``, a number, else the text."""
    if not isinstance(schema, Mapping):
        return None
    if "$ref" in schema:
        target = reduce(lambda part, step: part[step], schema["$ref"].removeprefix("#/").split("/"), root)
        return example(target, root, user, text, name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((item for item in schema["enum"] if str(item) in user), schema["enum"][0])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(schema[key][0], root, user, text, name)
    said = re.search(rf"\b{re.escape(name)}\s*[=:]\s*(\"[^\"]*\"|[^\s,;]+)", user) if name else None
    value = said[1].strip('"').rstrip(".?!") if said else None
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _of_kind(kind[0] if isinstance(kind, list) else kind, schema, root, user, text, value)


def _of_kind(kind: str, schema: Mapping[str, Any], root: Any, user: str, text: str, value: str | None) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: example(inner, root, user, text, name) for name, inner in properties.items()}
        case "array":
            inner = schema.get("items", {"type": "string"})
            return [example(inner, root, user, text)] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            found = value or next(iter(re.findall(r"-?\d+(?:\.\d+)?", user)), "1")
            number = float(found) if re.fullmatch(r"-?\d+(\.\d+)?", found) else 1.0
            number = max(schema.get("minimum", number), min(schema.get("maximum", number), number))
            return int(number) if kind == "integer" else number
        case "boolean":
            return value is None or value.casefold() == "true"
        case "null":
            return None
        case _:
            return (value or text or "text")[: schema.get("maxLength", 10_000)]
