"""Lines of JSON, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import ResponseTooLarge
from llmsdk.io.ndjson import LineDecoder
from llmsdk.io.sse import MAX_EVENT

STREAMS = st.lists(st.sampled_from([b"{}", b'{"a": "\xc3\xa9"}', b"\n", b"\r\n", b" ", b"\r", b"x", b"\xff"])).map(
    b"".join
)


def decode(*chunks: bytes, most: int = MAX_EVENT) -> list[bytes]:
    decoder = LineDecoder(most)
    return [event.data for chunk in chunks for event in decoder.feed(chunk)]


@given(STREAMS, st.data())
def test_any_cut_gives_the_lines(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*chunks) == [line.strip() for line in stream.split(b"\n")[:-1] if line.strip()]


def test_a_line_is_out_with_its_end() -> None:
    assert decode(b'{"a"') == []
    assert decode(b'{"a"', b": 1}\r", b"\n", b"{") == [b'{"a": 1}']


def test_a_line_without_end_is_refused() -> None:
    assert decode(b"x" * 100, b"\n", most=100) == [b"x" * 100]
    for chunks in ([b"x" * 60, b"y" * 60], [b"x" * 101 + b"\n"], [b"x" * 60, b"y" * 60 + b"\n"]):
        with pytest.raises(ResponseTooLarge, match=r"100 bytes(.|\n)*max_event"):
            decode(*chunks, most=100)
