"""JSON that is no Unicode: what is mended, and that nothing else is touched."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from llmsdk.io.sse import ServerSentEvent
from llmsdk.mending import WARNING, Mending, marked, mended
from llmsdk.types import Event, Finish, Info, ReasoningDelta, TextDelta, ToolCallDelta

UNITS = st.lists(st.sampled_from(["a", "\\", '"', "u", "é", "三", "\ud83d", "\ude00", "\udfff", "\ud800"]), max_size=12)
"""Units of UTF-16, also such as no text has."""
VALUES = st.recursive(st.text() | st.integers(-9, 9), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


def text_of(units: str) -> str:
    """What JavaScript would show."""
    joined = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return re.sub("[\ud800-\udfff]", "\ufffd", joined)


def escaped(units: str) -> bytes:
    return json.dumps(units).encode()


@given(VALUES, st.booleans())
def test_what_is_text_is_let_be(value: Any, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert marked(data) is mended(data) is None


@given(UNITS)
def test_halves_become_one_replacement_each(units: list[str]) -> None:
    data = escaped("".join(units))
    assert from_json(mended(data) or data) == text_of("".join(units))


@given(st.binary(max_size=20))
def test_bytes_that_are_no_utf8_are_replaced_as_python_has_it(data: bytes) -> None:
    assert (mended(data) or data).decode() == data.decode("utf-8", "replace")


def test_a_backslash_that_is_escaped_escapes_nothing() -> None:
    assert marked(rb'"\\ud83d"') is None
    assert mended(b'"' + rb"\\" + rb"\ud83d" + b'"') == b'"' + rb"\\" + "\ufffd".encode() + b'"'


class Says:
    """A decoder whose events have their text from a JSON string, one of each kind."""

    done = False

    def feed(self, event: ServerSentEvent) -> list[Event]:
        if event.event == "end":
            self.done = True
            return [Finish("stop")]
        text = from_json(event.data)
        return [TextDelta(text), ReasoningDelta(text, slot=1), ToolCallDelta(2, arguments=text), TextDelta("b", 1)]


@given(st.lists(UNITS, max_size=5))
def test_halves_are_joined_over_events_each_text_by_itself(pieces: list[list[str]]) -> None:
    decoder = Mending(Says())
    fed = [ServerSentEvent(escaped("".join(units))) for units in pieces]
    events = [event for message in fed for event in decoder.feed(message)]
    assert not decoder.done
    events += decoder.feed(ServerSentEvent(b"", "end"))
    assert decoder.done
    expected = text_of("".join(unit for units in pieces for unit in units))
    first = [event for event in events if getattr(event, "index", 0) == 0]
    assert "".join(event.text for event in first if isinstance(event, TextDelta)) == expected
    assert "".join(event.reasoning for event in first if isinstance(event, ReasoningDelta)) == expected
    assert "".join(event.arguments for event in first if isinstance(event, ToolCallDelta)) == expected
    assert "".join(event.text for event in events if isinstance(event, TextDelta) and event.index) == "b" * len(pieces)
    assert isinstance(events[-1], Finish)
    warnings = [event.warning for event in events if isinstance(event, Info)]
    assert warnings == ([WARNING] if "\ufffd" in expected else [])


@pytest.mark.parametrize("data", [b'"A\xffB"', b'"A\xed\xa0\xbdB"', b'"A\xf0\x9f\x98"'])
def test_bytes_that_are_no_utf8_are_warned_of(data: bytes) -> None:
    events = list(Mending(Says()).feed(ServerSentEvent(data)))
    assert Info(warning=WARNING) in events
    assert any(isinstance(event, TextDelta) and "\ufffd" in event.text for event in events)
