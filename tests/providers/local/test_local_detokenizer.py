"""Ids to text, piece by piece, for real tokenizers: nothing lost, nothing invented, never half a character."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from local_kit import gpt2_tokenizer, make_tokenizer, mistral_tokenizer, tiktoken_tokenizer

from llmsdk_providers.local.detokenizer import Codec, Detokenizer

transformers = pytest.importorskip("transformers", reason="the local runtime needs transformers")

TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("你好，世界。今天 星期五 \n\t  éüñ the and ing 👩‍👩‍👧‍👦🇨🇳 \ufffd ▁Ġ"),
    ),
    max_size=40,
)
SLOW_FIXTURE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def stories_tokenizer(shared_data: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(shared_data / "data" / "model-tinystories-260k")


@pytest.fixture(scope="module")
def gpt2(shared_data: Path) -> Any:
    return gpt2_tokenizer(shared_data / "data")


@pytest.fixture(scope="module")
def mistral(shared_data: Path) -> Any:
    return mistral_tokenizer(shared_data / "data")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["stories_tokenizer", "gpt2", "mistral", "own"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def streamed(tokenizer: Any, ids: Sequence[int], context: Sequence[int] = ()) -> list[str]:
    detokenizer = Detokenizer(Codec(tokenizer), context)
    return [*(detokenizer.push(token) for token in ids), detokenizer.finish()]


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


@SLOW_FIXTURE
@given(text=TEXTS)
def test_joined_pieces_are_the_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text)
    assert "".join(streamed(tokenizer, ids)) == decoded(tokenizer, ids)


@SLOW_FIXTURE
@given(text=TEXTS)
def test_no_piece_holds_half_a_character(tokenizer: Any, text: str) -> None:
    pieces = streamed(tokenizer, tokenizer.encode(text))
    assert sum(piece.count("\ufffd") for piece in pieces) == text.count("\ufffd")


@SLOW_FIXTURE
@given(text=TEXTS, data=st.data())
def test_a_completion_continues_its_prompt_exactly(tokenizer: Any, text: str, data: st.DataObject) -> None:
    ids = tokenizer.encode(text)
    cut = data.draw(st.integers(0, len(ids)))
    before = decoded(tokenizer, ids[:cut])
    # A prompt is text, so it ends with a whole character; bytes cut in two only arise inside a reply.
    if "\ufffd" in before and "\ufffd" not in text:
        return
    assert before + "".join(streamed(tokenizer, ids[cut:], ids[:cut])) == decoded(tokenizer, ids)


@settings(max_examples=120, deadline=None)
@given(ids=st.lists(st.integers(0, 410), max_size=40))
def test_any_ids_of_a_byte_level_tokenizer(own: Any, ids: list[int]) -> None:
    """Also those that no text has: broken UTF-8 and control tokens in the middle."""
    assert "".join(streamed(own, ids)) == decoded(own, ids)


@settings(max_examples=120, deadline=None)
@given(ids=st.lists(st.one_of(st.integers(0, 511), st.integers(3, 258)), max_size=40))
@example([35])  # a space as a byte, which the decoder takes away at the beginning
@example([35, 35, 400])
def test_any_ids_of_a_byte_fallback_tokenizer(stories_tokenizer: Any, ids: list[int]) -> None:
    """Text and order survive; only broken UTF-8 may show another number of replacement characters."""
    text, whole = "".join(streamed(stories_tokenizer, ids)), decoded(stories_tokenizer, ids)
    if "\ufffd" in text:
        left = whole.replace("\ufffd", "")
        assert is_subsequence(left, text)
    else:
        assert text == whole


def is_subsequence(small: str, large: str) -> bool:
    rest = iter(large)
    return all(character in rest for character in small)


def test_the_novel(tokenizer: Any, shared_data: Path) -> None:
    text = (shared_data / "data" / "long-zh" / "sanguo-first-half.txt").read_text("utf-8")[:8_000]
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(streamed(tokenizer, ids)) == decoded(tokenizer, ids) == text


def test_the_whole_novel(gpt2: Any, shared_data: Path) -> None:
    text = (shared_data / "data" / "long-zh" / "sanguo-first-half.txt").read_text("utf-8")
    assert "".join(streamed(gpt2, gpt2.encode(text))) == text


def test_the_novel_in_the_pieces_of_tiktoken(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, name = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "cl100k_base"
    tiktoken = pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(shared_data / "data" / "tiktoken-cache"))
    text = (shared_data / "data" / "long-zh" / "sanguo-first-half.txt").read_text("utf-8")[:8_000] + " 👩‍👩‍👧‍👦 naïve"
    ids = tiktoken.get_encoding(name).encode(text)
    tokenizer = tiktoken_tokenizer(shared_data / "data", file, "<|endoftext|>")
    assert "".join(streamed(tokenizer, ids)) == text


def test_bytes_come_out_as_soon_as_they_are_a_character(stories_tokenizer: Any) -> None:
    ids = stories_tokenizer.encode("你好", add_special_tokens=False)
    pieces = streamed(stories_tokenizer, ids)
    assert [piece for piece in pieces if piece] == ["你", "好"]


def test_unfinished_bytes_end_as_one_replacement_character(stories_tokenizer: Any) -> None:
    ids = stories_tokenizer.encode("你", add_special_tokens=False)[:-1]
    assert "".join(streamed(stories_tokenizer, ids)) == "\ufffd"


def test_a_reply_begins_without_the_space_that_a_continuation_keeps(stories_tokenizer: Any) -> None:
    prompt = stories_tokenizer.encode("Once upon")
    word = stories_tokenizer.encode("a", add_special_tokens=False)
    assert "".join(streamed(stories_tokenizer, word)) == "a"
    assert "".join(streamed(stories_tokenizer, word, prompt)) == " a"


def test_a_word_piece_decoder(tmp_path: Path) -> None:
    """A decoder that joins by marks and knows nothing of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    names = ["[UNK]", "play", "##ing", "dog", "##s", "你"]
    made = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(cleanup=False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
    ids = tokenizer.encode("playing dogs 你")
    assert "".join(streamed(tokenizer, ids)) == "playing dogs 你"


def test_the_cost_of_a_token_does_not_grow(stories_tokenizer: Any) -> None:
    ids = stories_tokenizer.encode("Once upon a time there was a 小狗. " * 200, add_special_tokens=False)

    def seconds(run: Callable[[], object]) -> float:
        begin = time.process_time()
        run()
        return time.process_time() - begin

    short = min(seconds(lambda: streamed(stories_tokenizer, ids[:400])) for _ in range(3))
    long = min(seconds(lambda: streamed(stories_tokenizer, ids[:4000])) for _ in range(3))
    assert long < 30 * short, "ten times the tokens should cost about ten times, not a hundred"
