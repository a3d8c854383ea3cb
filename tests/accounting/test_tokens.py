"""The estimate of tokens: its margin, against the real tokenizers over real texts, and its behaviour at the edges."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.accounting.tokens import HAN_MARGIN, MARGIN, count, estimate, margin
from llmsdk.types import Message, Request, Text, Tool, ToolCall, ToolResult

PARAGRAPHS = 80


def paragraphs(data: Path, name: str) -> list[str]:
    kind, _, language = name.partition("-")
    match kind:
        case "ntrex":
            rows = [json.loads(line) for line in (data / "ntrex/ntrex.jsonl").read_text("utf-8").splitlines()]
            return [" ".join(row[language] for row in rows[at : at + 5]) for at in range(0, len(rows), 5)]
        case "xquad":
            articles = json.loads((data / f"xquad/xquad.{language}.json").read_text("utf-8"))["data"]
            return [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
        case "tatoeba":
            lines = (data / "tatoeba-eng-cmn/train.jsonl").read_text("utf-8").splitlines()
            texts = [json.loads(line)[language] for line in lines[::40]]
            return [" ".join(texts[at : at + 8]) for at in range(0, len(texts), 8)]
        case "shakespeare":
            return _slices((data / "tinyshakespeare/input.txt").read_text("utf-8"), 600)
        case "sanguo":
            return _slices((data / "long-zh/sanguo-first-half.txt").read_text("utf-8"), 300)
        case _:
            return (data / "bfcl/simple_python.jsonl").read_text("utf-8").splitlines()


def _slices(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size * 10)]


@pytest.fixture(scope="module")
def encodings(shared_data: Path) -> Iterator[dict[str, Any]]:
    tiktoken = pytest.importorskip("tiktoken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(shared_data / "data/tiktoken-cache"))
        yield {name: tiktoken.get_encoding(name) for name in ("o200k_base", "cl100k_base")}


CORPORA = (
    "ntrex-eng", "ntrex-zho-CN", "ntrex-deu", "ntrex-fra", "xquad-en", "xquad-de", "xquad-zh", "tatoeba-eng",
    "tatoeba-cmn", "shakespeare", "sanguo", "bfcl",
)  # fmt: skip


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_the_margin_holds(encodings: dict[str, Any], shared_data: Path, corpus: str, encoding: str) -> None:
    texts = paragraphs(shared_data / "data", corpus)[:PARAGRAPHS]
    true = [len(encodings[encoding].encode_ordinary(text)) for text in texts]
    off = sorted(abs(estimate(text) - tokens) / tokens for text, tokens in zip(texts, true, strict=True))
    expected = HAN_MARGIN if corpus in ("ntrex-zho-CN", "xquad-zh", "tatoeba-cmn", "sanguo") else MARGIN
    assert {margin(text) for text in texts} == {expected}
    assert off[int(len(off) * 0.95)] <= expected


def test_current_tokenizers_are_met_more_closely(encodings: dict[str, Any], shared_data: Path) -> None:
    """The whole of each corpus, for o200k: what a budget over many calls sees."""
    for corpus in CORPORA:
        texts = paragraphs(shared_data / "data", corpus)[:PARAGRAPHS]
        true = sum(len(encodings["o200k_base"].encode_ordinary(text)) for text in texts)
        assert abs(sum(map(estimate, texts)) / true - 1) <= 0.15, corpus


def test_a_long_text_is_sampled(encodings: dict[str, Any], shared_data: Path) -> None:
    text = (shared_data / "data/tinyshakespeare/input.txt").read_text("utf-8")
    true = len(encodings["o200k_base"].encode_ordinary(text))
    began = time.process_time()
    assert abs(estimate(text * 10) / (10 * true) - 1) < 0.05
    assert time.process_time() - began < 1.0


def test_nothing_is_nothing_and_something_is_at_least_one() -> None:
    assert estimate("") == 0
    assert estimate(" ") == estimate("a") == estimate("。") == 1


@given(st.text(max_size=400), st.text(max_size=400))
def test_it_neither_fails_nor_runs_away(left: str, right: str) -> None:
    whole = estimate(left + right)
    assert 0 <= whole <= 3 * len(left + right) + 1
    # joining may merge two words, and tell a language by accents that only one half has
    assert whole <= 3.2 * (estimate(left) + estimate(right)) + 2


def test_words_of_other_scripts_are_not_counted_by_vowel_signs() -> None:
    hindi = "मौसम आज बहुत अच्छा है और हम बाहर जा रहे हैं"
    assert estimate(hindi) <= len(hindi.split()) * 3
    russian = "Сегодня хорошая погода, и мы идём гулять в парк."
    assert 12 <= estimate(russian) <= 22


def test_a_request_counts_all_that_is_sent() -> None:
    turn = Message("assistant", (Text("Let me look."), ToolCall("1", "get_weather", '{"city": "Paris"}')))
    tool = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "The weather")
    asked = Message("user", "How is the weather?")
    sizes = [
        count(Request("m", (asked,))).value,
        count(Request("m", (asked, turn))).value,
        count(Request("m", (asked, turn, Message("tool", (ToolResult("1", "sunny, 25 degrees"),))))).value,
        count(Request("m", (asked,), tools=(tool,))).value,
    ]
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[3] > sizes[0] + 10
    raw = count(Request("m", "How is the weather?"))
    assert (raw.method, raw.margin) == ("estimate", MARGIN)
    assert raw.value < sizes[0]
    assert count(Request("m", (asked, Message("user", "天气怎么样？")))).margin == HAN_MARGIN
