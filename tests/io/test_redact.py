"""Secrets in the words of strangers."""

from __future__ import annotations

import base64
import json
import sys
from html import escape
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.io import redact as module
from llmsdk.io.redact import MAX_TEXT, found, redact

KEY = "sk-test-0123456789abcdefXYZ"
RUN = 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"the key {KEY} is wrong", "the key *** is wrong"),
        (f"{KEY}{KEY}", "******"),
        (f"{KEY} {KEY},{KEY}", "*** ***,***"),
        (f"({KEY}) {KEY[:9]} and {KEY[-8:]}", "(***) *** and ***"),
        (f"x-key:{KEY}.", "x-key:***."),
        ("provided: sk-test-****wxyz. Go", "provided: *** Go"),
        (f"ends in ...{KEY[-8:]}", "ends in ***"),
        (f"its middle is {KEY[9:17]}", "its middle is ***"),
        (f'{{"key":"{KEY[:10]}"}}', '{"key":"***"}'),
        (f"?key={KEY[:9]}&x=1", "?key=***&x=1"),
        (f"in capitals: {KEY.upper()}", "in capitals: ***"),
        ("sk-te\nst-01 \t23456789abcdefXYZ!", "***"),
        (f"a {KEY[:9]}, b ...{KEY[:8]}... c ({KEY[:8]})", "a ***, b *** c (***)"),
        ("sk-tes and efXYZ are too little to tell", "sk-tes and efXYZ are too little to tell"),
        (f"{KEY[:7]} {KEY[8:15]} has no eight in a row", f"{KEY[:7]} {KEY[8:15]} has no eight in a row"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_what_is_masked(text: str, expected: str) -> None:
    assert redact(text, (KEY,)) == expected


def test_several_and_short_ones() -> None:
    assert redact(f"abcd {KEY}", ("abcd", KEY, "another-long-one")) == "*** ***"
    assert redact("no need", ("none",)) == "no need"
    assert redact("x abcdefg y", ("abcdefg",)) == "x *** y"
    assert redact("x abcdefgh y", ("abcdefgh",)) == "x *** y"
    assert redact("abcd and wxyz and k", ("abcd", "k", "", "wxyz")) == "*** and *** and k"


def test_where_they_stand() -> None:
    assert found(f"a {KEY} b {KEY[:8]}", (KEY,)) == [(2, 2 + len(KEY)), (5 + len(KEY), 13 + len(KEY))]
    assert found("a", ()) == found("", (KEY,)) == found("a", (KEY,)) == []


def test_where_they_begin_and_end() -> None:
    assert found(f"a {KEY[:8]} b", (KEY,)) == [(2, 10)]
    assert found(f"a {KEY[:4]} {KEY[4:8]}. b", (KEY,)) == [(2, 11)]
    assert found(f"{KEY[:8]}{KEY[-8:]}", (KEY,)) == [(0, 16)], "none touches another"


def test_every_word_and_every_secret_counts() -> None:
    assert redact(f"{KEY[:8]}-and-{KEY[:8]} {KEY[:8]}", (KEY,)) == "*** ***"
    assert redact(f"the middle {KEY[9:17]}", ("another-long-one", KEY)) == "the middle ***"
    assert redact("a%2Fb%2Fc", ("a/b/c/d/e/f",)) == "***"
    assert redact("a%20b%2Fc%20d", ("a b/c d/e f",)) == "***"
    assert redact("text", ("\ud800" * 9,)) == "text"
    assert redact(whole := "x" * MAX_TEXT, (KEY,)) == whole


SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\"), min_size=8, max_size=60
)
AROUND = st.text(st.characters(codec="utf-8"), max_size=30)


def core(text: str) -> str:
    """``text`` as a reader sees it who joins what was split."""
    return "".join(char for char in text if char > " " and char not in "\"'\\\x7f\x85\xa0").lower()


def shows(text: str, secret: str) -> bool:
    """Whether eight characters in a row of a secret, or of what encodes it, are there to read."""
    seen, whole = core(text), core(secret)
    return any(whole[at : at + RUN] in seen for at in range(len(whole) - RUN + 1))


@given(SECRETS, AROUND, AROUND, st.data())
def test_no_piece_of_eight_gets_through(secret: str, before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(secret) - RUN))
    end = data.draw(st.integers(start + RUN, len(secret)))
    assert not shows(redact(f"{before}{secret[start:end]}{after}", (secret,)), secret)


@given(SECRETS, st.data())
def test_nor_does_one_that_was_split(secret: str, data: st.DataObject) -> None:
    gaps = st.sampled_from(["", "", " ", "\n", "\r\n  ", "\t", '"', "\\", "' '"])
    split = "".join(char + data.draw(gaps) for char in secret)
    assert not shows(redact(f"key: {split}.", (secret,)), secret)


@given(SECRETS, st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_nor_one_in_base64(secret: str, before: bytes, after: bytes, urlsafe: bool) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    alone = encode(before + secret.encode()).decode().rstrip("=")[-(-len(before) * 4 // 3) : -1]
    echo = encode(before + secret.encode() + after).decode()
    assert not shows(redact(f"Basic {echo} is wrong", (secret,)), alone)


@given(SECRETS)
def test_nor_one_that_was_escaped(secret: str) -> None:
    for echo in (quote(secret, safe=""), quote(secret), escape(secret), json.dumps(secret), secret.encode().hex()):
        assert not shows(redact(f"x={echo}&y", (secret,)), echo)
        assert not shows(redact(f"x={echo.upper()}&y", (secret,)), echo)


@given(st.text(st.characters(exclude_characters=KEY + KEY.upper() + "YWJjZGVmXYZ"), max_size=200))
def test_what_holds_none_stays_as_it_is(text: str) -> None:
    assert redact(text, (KEY, "none-such-key")) == text


def test_it_is_bounded() -> None:
    text = redact("x" * 10 * MAX_TEXT + KEY, (KEY,))
    assert (len(text), text[-4:]) == (MAX_TEXT + 3, "x...")


class Steps:
    """Counts the lines of the module that are run, each turn of a loop among them."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename != module.__file__:
            return None
        self.count += event == "line"
        return self.trace

    def of(self, text: str) -> int:
        self.count, before = 0, sys.gettrace()
        sys.settrace(self.trace)
        try:
            redact(text, (KEY, f"{KEY}-2"))
        finally:
            sys.settrace(before)
        return self.count


@pytest.mark.parametrize(
    "piece", ["x", KEY[:8], f"{KEY[:8]} ", f"{KEY[:8]}/", KEY, f"{KEY[:7]} ", "sk-test-sk-tes", " "]
)
def test_work_is_linear(piece: str) -> None:
    steps = Steps()
    steps.of(piece)  # what is computed once
    few, many = (steps.of(piece * (size // len(piece))) for size in (2_000, 16_000))
    assert 0 < few <= many < few * 8.5
    assert many < 16_000 * 8
