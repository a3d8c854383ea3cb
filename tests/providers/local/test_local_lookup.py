"""Guesses from what was said before: where they come from, how many, and when there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from local_kit import complete

from llmsdk_providers.local import Local
from llmsdk_providers.local.lookup import GRAMS, LEAST, LONGEST_REST, MOST, Lookup


@given(
    ids=st.lists(st.integers(0, 3), max_size=80),
    more=st.lists(st.integers(0, 3), max_size=20),
    limit=st.integers(0, 110),
)
def test_a_guess_is_what_followed_the_same_ids_the_last_time(ids: list[int], more: list[int], limit: int) -> None:
    lookup = Lookup(limit)
    for size in range(len(ids), len(ids) + len(more) + 1):
        text = [*ids, *more][:size]
        guess = list(lookup.guess(text))
        ends = [end for gram in GRAMS for end in places(text, gram)[-1:]]
        assert guess == (text[ends[0] :][:LEAST][: max(0, limit - size)] if ends else [])


def places(text: list[int], gram: int) -> list[int]:
    """Behind where the last ``gram`` ids of a text stood before."""
    return [end for end in range(gram, len(text)) if text[end - gram : end] == text[len(text) - gram :]]


def test_more_after_success_and_none_for_a_while_after_failure() -> None:
    lookup, text = Lookup(10**6), list(range(50)) * 3
    for size in (LEAST, 2 * LEAST, MOST, MOST):
        assert len(lookup.guess(text)) == size
        lookup.judge(size, size)
    rests = []
    for _ in range(9):
        lookup.judge(LEAST, 1)
        rests.append(next(n for n in range(100) if lookup.guess(text)))
    assert rests == [0, 1, 3, 7, 15, 31, 63, *[LONGEST_REST] * 2]
    assert len(lookup.guess(text)) == LEAST
    lookup.judge(LEAST, LEAST // 2)
    assert lookup.guess(text), "half of it right is neither"


def test_a_text_that_repeats_takes_fewer_steps(fresh: Callable[..., Local], stories: Path) -> None:
    steps = {}
    for temperature in (None, 1.0):
        provider = fresh()
        text = complete(provider, stories, "Tom had a big dog.", max_tokens=100, temperature=temperature, seed=1)
        steps[temperature] = provider._shelf.get(str(stories)).load.steps
        assert temperature or text.count("He liked to play with his toys.") == 3
    assert steps[None] < 85
    assert steps[1.0] == 100, "what is drawn is not guessed"
