"""Secrets in the words of strangers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.io.redact import redact

KEY = "sk-test-0123456789abcdefXYZ"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"the key {KEY} is wrong", "the key *** is wrong"),
        (f"{KEY}{KEY}", "******"),
        ("provided: sk-test-****wxyz. Go", "provided: *** Go"),
        (f"ends in ...{KEY[-8:]}", "ends in ***"),
        (f'{{"key":"{KEY[:10]}"}}', '{"key":"***"}'),
        (f"?key={KEY[:9]}&x=1", "?key=***&x=1"),
        ("sk-tes and efXYZ are too little to tell", "sk-tes and efXYZ are too little to tell"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_what_is_masked(text: str, expected: str) -> None:
    assert redact(text, (KEY,)) == expected


def test_several_and_short_ones() -> None:
    assert redact("abcd and wxyz and k", ("abcd", "wxyz", "k", "")) == "*** and *** and k"


@given(st.text(max_size=50), st.integers(8, len(KEY)), st.text(max_size=50), st.booleans())
def test_no_long_piece_gets_through(before: str, size: int, after: str, front: bool) -> None:
    piece = KEY[:size] if front else KEY[-size:]
    shown = redact(f"{before}{piece}{after}", (KEY,))
    assert KEY[:8] not in shown
    assert KEY[-8:] not in shown


def test_time_is_linear() -> None:
    began = time.process_time()
    for text in ("x" * 10**6, KEY[:8] * 10**5, f"{KEY[:8]} " * 10**5, KEY * 10**4):
        redact(text, (KEY,))
    assert time.process_time() - began < 2
