"""From one thread to another: everything arrives once, in order, whoever waits first."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from llmsdk_providers.local.mailbox import Mailbox


def test_taking_gives_all_there_is() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1, 2)
    box.put(3)
    assert box.take().result(0) == [1, 2, 3]


def test_a_take_that_waits_is_woken() -> None:
    box: Mailbox[int] = Mailbox()
    future = box.take()
    assert not future.done()
    box.put(1)
    assert future.result(0) == [1]


def test_a_cancelled_take_loses_nothing() -> None:
    box: Mailbox[int] = Mailbox()
    future = box.take()
    assert future.cancel()
    box.put(1)
    assert box.take().result(0) == [1]


def test_a_callback_may_take_again() -> None:
    box: Mailbox[int] = Mailbox()
    seen: list[list[int]] = []

    def again(done: object) -> None:
        seen.append(box.take().result(0) if len(seen) else [])

    box.take().add_done_callback(again)
    box.put(1)
    assert seen == [[]]


@given(sizes=st.lists(st.integers(1, 5), max_size=20))
def test_everything_arrives_in_order(sizes: list[int]) -> None:
    box: Mailbox[int] = Mailbox()
    total = sum(sizes)
    seen: list[int] = []

    def write() -> None:
        at = 0
        for size in sizes:
            box.put(*range(at, at + size))
            at += size

    thread = threading.Thread(target=write)
    thread.start()
    while len(seen) < total:
        seen += box.take().result(5)
    thread.join()
    assert seen == list(range(total))
