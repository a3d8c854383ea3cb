"""The small world behind ``local:pocket``: its split, its size, and a card that tells the truth."""

from __future__ import annotations

import importlib
import json
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "pocket"
FOLDER = ROOT / "providers" / "llmsdk_providers" / "local" / "pocket"
DATA = ROOT.parent / "shared" / "data"


def _script(name: str) -> ModuleType:
    """A module of the training scripts, which are no package."""
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def drawn() -> dict[bool, list[tuple[str, str, str]]]:
    """Examples of both sides of the split: task, prompt, reply."""
    examples, rng = _script("examples"), _seeded(1)
    makers = [make for make, _ in examples.MIX if make.__name__ not in ("told_stories", "refusals")]
    return {
        test: [(e.task, e.prompt, e.reply) for make in makers for _ in range(120) for e in make(rng, test)]
        for test in (False, True)
    }


def _seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test draws the same examples each time


def _asked(prompt: str) -> str:
    """The last thing the user said, as one would compare it."""
    return prompt[prompt.rfind("<|user|>") :].casefold().strip(" .!?。！？")


@pytest.mark.parametrize("task", ["translate to en", "translate to zh", "answer en", "answer zh"])
def test_no_held_out_item_is_drawn_for_training(drawn: dict[bool, list[tuple[str, str, str]]], task: str) -> None:
    train, test = ({(_asked(p), r) for t, p, r in drawn[side] if t == task} for side in (False, True))
    assert len(train) > 40
    assert len(test) > 40
    assert not train & test


def test_combinations_and_frames_are_split() -> None:
    world, rng = _script("world"), _seeded(2)
    facts = [world.any_fact(rng) for _ in range(4000)]
    train = [f for f in facts if not world.is_held(f)]
    test = [f for f in facts if world.is_held(f)]
    assert len(test) > 300
    assert not {f.combination for f in train if world.held("combination", f.combination)}
    frames = {f.frame for f in test if f.tense != "is" and world.held("frame", f.frame)}
    assert len(frames) > 30
    assert not frames & {f.frame for f in train}


def test_world_is_as_large_as_it_says() -> None:
    world, rng = _script("world"), _seeded(3)
    english: set[str] = set()
    chinese: set[str] = set()
    for _ in range(9_000):
        en, zh = world.any_fact(rng).text
        english.update(re.findall(r"[a-z]+", en.casefold()))
        chinese.update(word for word in zh.split() if re.fullmatch(r"[\u4e00-\u9fff]+", word))
    assert len(english) >= 600
    assert len(chinese) >= 600


def test_every_task_has_forty_frames() -> None:
    assert min(_script("examples").FRAME_COUNT.values()) >= 40


def test_grammar_parses_what_it_writes(drawn: dict[bool, list[tuple[str, str, str]]]) -> None:
    parse = _script("world_parse")
    texts = [reply for task, prompt, reply in drawn[True] if task == "text" and prompt == "<|begin|>"][:25]
    assert texts
    assert all(parse.fluent(text) for text in texts)
    assert not parse.fluent("Anna bought Paris.")
    assert not parse.fluent("今天是苹果。")


def test_no_published_prompt_is_in_the_training_texts() -> None:
    if not DATA.exists():
        pytest.skip("the published prompts are not on this machine")
    lines = (DATA / "mt-bench" / "question.jsonl").read_text("utf-8").splitlines()
    prompts = [turn for line in lines for turn in json.loads(line)["turns"]]
    for name in ("seed_tasks.jsonl", "user_oriented_instructions.jsonl"):
        lines = (DATA / "self-instruct" / name).read_text("utf-8").splitlines()
        prompts += [json.loads(line)["instruction"] for line in lines]
    examples, rng = _script("examples"), _seeded(4)
    asked = {_asked(e.prompt).removeprefix("<|user|>").removesuffix("<|end|><|assistant|>")
             for _ in range(1500) for e in examples.refusals(rng, test=False)}  # fmt: skip
    assert not asked & {prompt.casefold().strip(" .!?") for prompt in prompts}


def test_card_tells_the_hashes_of_the_code() -> None:
    card = _script("card")
    text = (FOLDER / "README.md").read_text("utf-8")
    told = dict(re.findall(r"^\| ([a-z ]+) \| `([0-9a-f]{16})` \|$", text, re.MULTILINE))
    assert told == {**card.prompt_hashes(), "generator": card.generator_hash()}


def test_folder_is_small_enough() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000


@pytest.mark.parametrize(
    "text", ["", " a", "a\n b\n\nc\n", "今天是星期五，", "Order 4821: 7.50 yuan.", "<0x41> ▁x é 😀", "\t\r\n", "<|no|>"]
)
def test_tokenizer_gives_every_text_back(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="the tokenizer is not installed")
    tokenizer = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_chinese_characters_of_the_world_are_one_token_each() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="the tokenizer is not installed")
    tokenizer = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    world, rng = _script("world"), _seeded(5)
    characters = {c for _ in range(5000) for c in world.any_fact(rng).text[1] if "\u4e00" <= c <= "\u9fff"}
    assert [c for c in characters if len(tokenizer.encode(c, add_special_tokens=False).ids) > 2] == []


def test_chat_template_writes_what_training_read() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    examples, types = _script("examples"), importlib.import_module("llmsdk.types")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    said = [("system", "Be brief."), ("user", "Hi\nthere"), ("assistant", "Hello!"), ("user", "你好")]
    messages = [{"role": role, "content": content} for role, content in said]
    written = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert written == examples.render([types.Message(role, content) for role, content in said])
