"""Bounds for programs of strangers: a chat template may loop for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TakesTooLong(Exception):
    """Something was stopped; the text says what, and where it was."""


@contextmanager
def stopped_after(seconds: float, file: str) -> Iterator[None]:
    """Stop Python code of ``file`` that is still running after so many seconds, line by line, on this thread alone.

    A single operation is not interrupted.

    Raises:
        TakesTooLong
    """
    end = time.monotonic() + seconds

    def line(frame: FrameType, event: str, given: Any) -> Any:
        if time.monotonic() > end:
            raise TakesTooLong(f"still running after {seconds:g} s")
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, given: line if frame.f_code.co_filename == file else None)
    try:
        yield
    finally:
        sys.settrace(before)
