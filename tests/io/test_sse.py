"""Server-sent events, against a slow reader written from the words of the standard."""

from __future__ import annotations

import itertools
import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmsdk.errors import ResponseTooLarge
from llmsdk.io.sse import MAX_EVENT, ServerSentEvent, SSEDecoder

LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b":", b": comment", b"data", b"data:", b"data: ", b"data:  x", b"event: e", b"event"]),
        st.sampled_from(
            [b"id: 1", b"retry: 5", b"unknown: x", b'data: {"a": "b: c"}', b"Data: x", b" data: x", b"\xef\xbb\xbf"]
        ),
        st.sampled_from(["data: \u2028\u2029\x85\x0b\x0c é 三".encode(), b"data: \xff\xfe", b"event: \xff"]),
        st.binary(max_size=6).filter(lambda line: not set(line) & set(b"\r\n")),
    ),
    max_size=14,
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]),
    LINES.flatmap(lambda lines: st.tuples(*(st.tuples(st.just(line), ENDS) for line in lines))),
    st.sampled_from([b"", b"data: cut", b"data: cut\n"]),
).map(lambda parts: parts[0] + b"".join(line + end for line, end in parts[1]) + parts[2])  # fmt: skip


def reference(stream: bytes) -> list[ServerSentEvent]:
    """The standard's algorithm, one line after the other; only an event with empty data is dropped."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data, kind = [], b"", b""
    for line in text.split(b"\n")[:-1]:
        if line == b"":
            if data.removesuffix(b"\n"):
                name = kind.decode("utf-8", "replace") if kind else "message"
                events.append(ServerSentEvent(data.removesuffix(b"\n"), name))
            data, kind = b"", b""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data += value + b"\n"
            elif field == b"event":
                kind = value
    return events


def decode(chunks: list[bytes], most: int = MAX_EVENT) -> list[ServerSentEvent]:
    decoder = SSEDecoder(most)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@given(STREAMS, st.data())
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_what_the_standard_says(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = reference(stream)
    assert decode(chunks) == expected
    assert decode([*chunks, b"\n\n"])[: len(expected)] == expected


@given(st.binary(max_size=60))
@example(b"\r")
@example(b"data: x\r\r")
@settings(max_examples=150, deadline=None)
def test_a_byte_at_a_time_is_the_same(stream: bytes) -> None:
    stream += b"\n"
    assert decode([stream[index : index + 1] for index in range(len(stream))]) == decode([stream]) == reference(stream)


def test_an_event_is_delivered_with_its_blank_line_not_later() -> None:
    decoder = SSEDecoder()
    assert list(decoder.feed(b"data: one\n")) == []
    assert list(decoder.feed(b"\n")) == [ServerSentEvent(b"one")]
    assert list(decoder.feed(b"data: two\r\n\r\n")) == [ServerSentEvent(b"two")]
    assert list(decoder.feed(b"data: three\r\r")) == [ServerSentEvent(b"three")]
    assert list(decoder.feed(b"\ndata: four\n\r")) == [ServerSentEvent(b"four")]


def test_only_the_line_feed_that_follows_at_once_belongs_to_a_carriage_return() -> None:
    assert decode([b"data: x\r", b"id: 1", b"\n", b"\n"]) == [ServerSentEvent(b"x")]
    assert decode([b"data: x\r", b"\n", b"\n"]) == [ServerSentEvent(b"x")]


def test_data_and_names() -> None:
    stream = b"event: delta\ndata: {\ndata: }\n\nevent: ping\n\ndata: plain\n\ndata\n\ndata:\ndata:\n\n"
    assert decode([stream]) == [
        ServerSentEvent(b"{\n}", "delta"),
        ServerSentEvent(b"plain", "message"),
        ServerSentEvent(b"\n", "message"),
    ]


def test_a_name_is_for_one_event() -> None:
    assert decode([b"event: a\ndata: 1\n\ndata: 2\n\n"]) == [ServerSentEvent(b"1", "a"), ServerSentEvent(b"2")]


def test_a_byte_order_mark_is_left_out_at_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"
    for chunks in (
        [mark + b"data: x\n\n"],
        [mark[:1], mark[1:], b"data: x\n\n"],
        [mark[:2], mark[2:] + b"data: x\n\n"],
    ):
        assert decode(chunks) == [ServerSentEvent(b"x")]
    for chunks in ([b":\n", mark + b"data: x\n\n"], [mark + mark + b"data: x\n\n"], [mark[:2] + b"data: x\n\n"]):
        assert decode(chunks) == []


def test_an_event_may_be_as_large_as_is_said() -> None:
    for line in (b"data: " + b"x" * 94, b"data:" + b"x" * 99):
        assert len(decode([b"event: e\ndata: y\n\n" + line + b"\n\n" + line + b"\n\n"], 100)) == 3
        with pytest.raises(ResponseTooLarge, match=r"100 bytes(.|\n)*max_event"):
            decode([line + b"x\n\n"], 100)
    with pytest.raises(ResponseTooLarge, match="100 bytes"):
        decode([b"data: " + b"x" * 50 + b"\n", b"x" * 45], 100)


@pytest.mark.parametrize(
    "piece",
    [
        b"x",
        b"data: x",
        b"data: x\n",
        b"data:x\n",
        b":x",
        b"\r",
        b"data: " + b"x" * 999 + b"\n",
        b"event: " + b"x" * 999 + b"\n",
    ],
)
def test_an_event_without_end_is_stopped(piece: bytes) -> None:
    """Whatever it is made of: neither a line nor a pile of lines grows without bound."""
    decoder = SSEDecoder(10_000)
    chunk = piece * (2000 // len(piece))
    tracemalloc.start()
    try:
        stopped = False
        for _ in range(300):
            try:
                list(decoder.feed(chunk))
            except ResponseTooLarge:
                stopped = True
                break
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert stopped or piece in (b"\r", b"event: " + b"x" * 999 + b"\n")
    assert grown < 200_000


@pytest.mark.parametrize("line", [b"data\n", b"data:\n", b"data: \n", b"data:x\n", b"data:xx\n", b"data: xx\r\n"])
def test_an_event_of_many_short_lines_takes_no_more_memory_than_a_long_line(line: bytes) -> None:
    """The limit counts bytes; so must what is kept of each line."""
    decoder = SSEDecoder(most := 2**19)
    chunk = line * (2**16 // len(line))
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge):
            sum(len(list(decoder.feed(chunk))) for _ in itertools.count())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * most


def test_a_long_line_costs_linear_time() -> None:
    """Four times the bytes in small chunks take about four times as long, not sixteen."""

    def seconds(size: int) -> float:
        decoder = SSEDecoder()
        began = time.process_time()
        list(decoder.feed(b"data: "))
        for _ in range(size // 500):
            list(decoder.feed(b"x" * 500))
        (event,) = decoder.feed(b"\n\n")
        assert len(event.data) == size // 500 * 500
        return time.process_time() - began

    small = min(seconds(250_000) for _ in range(3))
    assert min(seconds(1_000_000) for _ in range(2)) < 9 * small
