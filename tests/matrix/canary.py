"""Where a key shows: everything that a program, a reporter of errors or an exporter could print of a call."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

TESTS = str(Path(__file__).parents[1])
CANARY = "sk-cAnArY.7Q9zR4/vW2x+P8mN3=kTqL5"
"""A key with all that some encoding changes."""
RUN = 8


DROPPED = dict.fromkeys(map(ord, "".join(map(chr, range(33))) + "\"'\\"))


def core(text: str) -> str:
    """``text`` as a reader sees it who joins what was split, and does not mind the case."""
    return text.translate(DROPPED).lower()


@cache
def pieces(key: str) -> frozenset[str]:
    """All that is eight characters long in a key, and in the forms that it may be echoed in but for their ends."""
    data, bearer = key.encode(), f"Bearer {key}".encode()
    encoded = (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.b64encode(bearer)[10:])
    forms = [core(form.decode().rstrip("=")[:-1]) for form in encoded]
    forms += map(core, (key, quote(key, safe=""), escape(key), data.hex()))
    return frozenset(form[at : at + RUN] for form in forms for at in range(len(form) - RUN + 1))


def shows(text: str, key: str) -> bool:
    """Whether eight characters in a row of a key, in whatever form, are there to read."""
    seen = core(text)
    return any(piece in seen for piece in pieces(key))


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that hangs on to it, whether a traceback would print it or not."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def frames(trace: TracebackType | None) -> Iterator[str]:
    """The local variables of every frame that is not a test's, as a reporter of errors shows them."""
    for frame, _ in traceback.walk_tb(trace):
        if not frame.f_code.co_filename.startswith(TESTS):
            for name, value in frame.f_locals.items():
                try:
                    yield f"{frame.f_code.co_name}: {name} = {value!r}"
                except Exception:  # noqa: BLE001, S112 - a repr of someone else's that fails
                    continue


def places(error: BaseException) -> Mapping[str, str]:
    """All that there is to see of an error."""
    told: dict[str, str] = {}
    for number, one in enumerate(chain(error)):
        what = f"{type(one).__name__} {number}"
        told[f"{what} text"] = f"{one} {one!r} {one.args!r} {vars(one)!r} {getattr(one, '__notes__', '')}"
        told |= {f"{what} {line.partition(' = ')[0]}": line for line in frames(one.__traceback__)}
    told["pickle"] = pickle.dumps(error).decode("latin-1")
    told["copy"] = repr(vars(copy.copy(error)))
    told["traceback"] = "".join(traceback.TracebackException.from_exception(error).format())
    return told


def leaks(told: Mapping[str, Any], key: str) -> list[str]:
    """The names of the places where a key shows."""
    return [place for place, text in told.items() if shows(str(text), key)]
