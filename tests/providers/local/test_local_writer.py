"""Stop strings over token borders, and which logprobs go with which text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.types import TextDelta, TokenLogprob
from llmsdk_providers.local.detokenizer import Detokenizer
from llmsdk_providers.local.writer import Delta, Stops, Writer

LETTERS = st.text("ab你", max_size=12)
STOPS = st.lists(st.text("ab你", min_size=1, max_size=4), max_size=3)


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


def run(pieces: Sequence[str], stops: Sequence[str]) -> tuple[list[str], str | None]:
    finder, out = Stops(stops), []
    for piece in pieces:
        out.append(finder.push(piece))
        if finder.found is not None:
            return out, finder.found
    return [*out, finder.finish()], None


def expected(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """By definition: read on, a character at a time, until the text ends with a stop string."""
    for end in range(1, len(text) + 1):
        hits = [stop for stop in stops if text[:end].endswith(stop)]
        if hits:
            longest = max(hits, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(text=LETTERS, stops=STOPS, sizes=st.lists(st.integers(0, 4), max_size=8))
def test_the_first_complete_stop_ends_the_text_however_it_is_cut(text: str, stops: list[str], sizes: list[int]) -> None:
    out, found = run(cut(text, sizes), stops)
    assert ("".join(out), found) == expected(text, stops)


@given(text=LETTERS, stops=STOPS, sizes=st.lists(st.integers(0, 4), max_size=8))
def test_nothing_is_held_back_without_need(text: str, stops: list[str], sizes: list[int]) -> None:
    """What has been given out leaves only what may be the beginning of a stop string."""
    finder, given_out, seen = Stops(stops), "", ""
    for piece in cut(text, sizes):
        given_out += finder.push(piece)
        seen += piece
        if finder.found is not None:
            return
        held = seen[len(given_out) :]
        assert not held or any(stop.startswith(held) for stop in stops)


class Words:
    """A codec whose ids are words."""

    special: frozenset[int] = frozenset()
    guesses = byte_fallback = False

    def __init__(self, *words: bytes | str) -> None:
        self.words = words

    def raw(self, token: int) -> bytes | None:
        word = self.words[token]
        return word if isinstance(word, bytes) else None

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(word for word in (self.words[token] for token in ids) if isinstance(word, str))

    def tail(self, ids: Sequence[int]) -> list[int]:
        return list(ids)


def written(words: Sequence[bytes | str], stops: Sequence[str] = ()) -> list[TextDelta]:
    codec: Any = Words(*words)
    writer = Writer(Detokenizer(codec), stops, index=3)
    deltas: list[Delta] = []
    for token in range(len(words)):
        deltas += writer.push(token, TokenLogprob(str(token), -1.0))
        if writer.stopped is not None:
            break
    return [delta for delta in [*deltas, *writer.finish()] if isinstance(delta, TextDelta)]


def tokens(deltas: Sequence[TextDelta]) -> list[tuple[str, list[str]]]:
    return [(delta.text, [item.token for item in delta.logprobs]) for delta in deltas]


def test_logprobs_go_with_their_text() -> None:
    assert tokens(written(["a", "b"])) == [("a", ["0"]), ("b", ["1"])]
    assert {delta.index for delta in written(["a"])} == {3}


def test_logprobs_of_half_characters_wait_for_the_other_half() -> None:
    assert tokens(written(["a", b"\xe4\xbd", b"\xa0"])) == [("a", ["0"]), ("你", ["1", "2"])]


def test_logprobs_of_held_text_wait_with_it() -> None:
    assert tokens(written(["a", "<", "b"], ["<end>"])) == [("a", ["0"]), ("<b", ["1", "2"])]


def test_a_stop_string_takes_its_tokens_with_it() -> None:
    assert tokens(written(["a<", "en", "d>", "b"], ["<end>"])) == [("a", ["0"])]


def test_what_was_held_comes_at_the_end() -> None:
    assert tokens(written(["a", "<en"], ["<end>"])) == [("a", ["0"]), ("<en", ["1"])]


def test_a_stop_string_may_be_completed_by_the_last_bytes() -> None:
    assert tokens(written(["a", b"\xe4"], ["\ufffd"])) == [("a", ["0"])]


def test_logprobs_of_tokens_without_text_are_not_lost() -> None:
    assert tokens(written(["a", ""])) == [("a", ["0"]), ("", ["1"])]


@pytest.mark.parametrize("stop", ["好，", "，世", "你好，世界"])
def test_stops_inside_multi_byte_text(stop: str) -> None:
    pieces = [bytes([byte]) for byte in "你好，世界".encode()]
    assert "".join(delta.text for delta in written(pieces, [stop])) == "你好，世界".partition(stop)[0]
