"""One thread that works off items in order, comes back when it is asked to, and ends with all of it done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llmsdk.io.writer import Writer


class Desk:
    """Keeps what it was given, and asks to be called again as often as it is told to."""

    def __init__(self, again: int = 0) -> None:
        self.given: list[list[int]] = []
        self.calls = 0
        self.again = again
        self.enough = threading.Event()
        self.ended = False

    @contextmanager
    def begin(self) -> Iterator[Callable[[Sequence[int]], float | None]]:
        yield self.work
        self.ended = True

    def work(self, items: Sequence[int]) -> float | None:
        self.calls += 1
        self.given.append([*items])
        if self.calls > self.again:
            self.enough.set()
            return None
        return 0.0


def test_items_are_worked_off_in_order_and_all_that_wait_together() -> None:
    desk, busy, go = Desk(), threading.Event(), threading.Event()

    @contextmanager
    def begin() -> Iterator[Callable[[Sequence[int]], float | None]]:
        with desk.begin() as work:
            busy.set()
            assert go.wait(30)
            yield work

    writer = Writer("test", begin)
    writer.put(0)
    assert busy.wait(30)
    for item in range(1, 1000):
        writer.put(item)
    go.set()
    writer.flush()
    assert desk.given == [[*range(1000)]]
    writer.close()
    assert desk.ended


def test_the_work_is_called_again_though_nothing_comes() -> None:
    desk = Desk(again=3)
    writer = Writer("test", desk.begin)
    writer.put(1)
    assert desk.enough.wait(30)
    assert desk.given == [[1], [], [], []]
    writer.close()


def test_a_flush_calls_the_work_too() -> None:
    desk = Desk()
    writer = Writer("test", desk.begin)
    writer.flush()
    assert desk.calls == 0, "nothing was ever put"
    writer.put(1)
    writer.flush()
    calls = desk.calls
    writer.flush()
    assert desk.calls > calls
    writer.close()


def test_closing_works_off_what_is_left_and_another_put_begins_anew() -> None:
    desk = Desk()
    writer = Writer("test", desk.begin)
    for item in range(5):
        writer.put(item)
    writer.close()
    writer.close()
    assert [item for items in desk.given for item in items] == [*range(5)]
    writer.put(5)
    writer.close()
    assert desk.given[-1] in ([5], [])
    assert [item for items in desk.given for item in items] == [*range(6)]
