"""The table of accounts: one of each for whoever asks, and the latest are remembered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from llmsdk.accounts import Accounts


@given(st.lists(st.sampled_from("abcdef")), st.integers(1, 4))
def test_it_remembers_the_latest(asked: list[str], kept: int) -> None:
    accounts: Accounts[int] = Accounts(kept)
    numbers = count(1)
    known: dict[str, int] = {}
    for name in asked:
        number = accounts.of(name, lambda: next(numbers))
        assert number == known.pop(name, number)
        known[name] = number
        known = dict([*known.items()][-kept:])
    assert len(accounts) == len(known)
    accounts.forget()
    assert len(accounts) == 0


def test_all_threads_get_the_same() -> None:
    accounts: Accounts[object] = Accounts()
    with ThreadPoolExecutor(16) as threads:
        found = [*threads.map(lambda _: accounts.of("host#key", object), range(200))]
    assert len(set(map(id, found))) == 1
