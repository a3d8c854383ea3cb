"""Frames of AWS's event stream, however the bytes are cut, and whatever is wrong with them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.bedrock_server import frame, framed, header

from llmsdk.errors import BadResponse, InvalidBody, ResponseTooLarge
from llmsdk.io import eventstream
from llmsdk.io.eventstream import FrameDecoder
from llmsdk.io.sse import MAX_EVENT, ServerSentEvent

EVENTS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40)), max_size=4)
GOOD = frame("messageStart", b'{"role": "assistant"}')


def decode(*chunks: bytes, most: int = MAX_EVENT) -> list[ServerSentEvent]:
    decoder = FrameDecoder(most)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@given(EVENTS, st.data())
def test_any_cut_gives_the_events(events: list[tuple[str, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(name, payload) for name, payload in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*chunks) == [ServerSentEvent(payload, name) for name, payload in events]


def test_an_event_is_out_with_its_last_byte() -> None:
    assert decode(GOOD[:-1]) == []
    assert decode(GOOD[:-1], GOOD[-1:]) == [ServerSentEvent(b'{"role": "assistant"}', "messageStart")]


def test_exceptions_and_errors() -> None:
    events = decode(frame("throttlingException", b"{}", "exception"), frame("InternalError", b"oops", "error"))
    assert events == [
        ServerSentEvent(b"{}", "exception:throttlingException"),
        ServerSentEvent(b'{"message":"oops"}', "error:InternalError"),
    ]


def test_headers_of_every_kind() -> None:
    values = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
    odd = b"".join(b"\x01x" + bytes([kind]) + b"\xff" * size for kind, size in values.items())
    odd += b"\x01b\x06\x00\x03abc"
    assert decode(framed(odd + header(":event-type", "e"), b"p")) == [ServerSentEvent(b"p", "e")]


def test_what_a_frame_does_not_say_is_empty() -> None:
    bare = [framed(header(":message-type", kind), b"p") for kind in ("event", "exception", "error")]
    assert decode(framed(b"", b"p"), *bare) == [
        ServerSentEvent(b"p", ""),
        ServerSentEvent(b"p", ""),
        ServerSentEvent(b"p", "exception:"),
        ServerSentEvent(b'{"message":""}', "error:"),
    ]


def test_headers_that_are_not_utf8() -> None:
    odd = b"\x02\xff\xfe\x07\x00\x01x" + b"\x0b:event-type\x07\x00\x02a\xff"
    assert decode(framed(odd, b"p")) == [ServerSentEvent(b"p", "a\ufffd")]


@pytest.mark.parametrize("at", range(len(GOOD)))
def test_any_damaged_byte_is_seen(at: int) -> None:
    damaged = bytearray(GOOD)
    damaged[at] ^= 0x01
    with pytest.raises(
        BadResponse, match=r"^the reply is no event stream of AWS, or it was damaged: a checksum does not fit$"
    ):
        decode(bytes(damaged))


@pytest.mark.parametrize("headers", [b"\x01x\x0a", b"\x01x", b"\x05x", b"\x01x\x07\x00\x09abc", b"\x01x\x04ab"])
def test_headers_that_are_none(headers: bytes) -> None:
    with pytest.raises(
        InvalidBody, match=r"^a (frame of the stream has a header of an unknown kind|header .* is cut)$"
    ):
        decode(framed(headers, b"p"))


def test_a_frame_shorter_than_its_headers() -> None:
    import zlib

    for headers in (1, 2**24):
        prelude = (16).to_bytes(4) + headers.to_bytes(4)
        with pytest.raises(InvalidBody, match=r"^a frame of the stream is shorter than its headers$"):
            decode(prelude + zlib.crc32(prelude).to_bytes(4))


def test_a_frame_that_is_too_large_is_refused_by_its_prelude() -> None:
    assert len(framed(b"", b"x" * 84)) == 100
    assert decode(framed(b"", b"x" * 84), most=100)
    with pytest.raises(ResponseTooLarge, match=r"100 bytes(.|\n)*max_event"):
        decode(frame("e", b"x" * 100)[:12], most=100)


def test_headers_that_are_too_large_are_refused_by_the_prelude() -> None:
    """Of a frame of 8 MB with a million short headers, the table of them took more than 100 MB."""
    most = header("x", "y" * (eventstream.MAX_HEADERS // 3 - 5)) * 3
    assert decode(framed(most, b"p")) == [ServerSentEvent(b"p", "")]
    larger = framed(most + b"\x01x\x00", b"p")
    assert len(most) + 3 > eventstream.MAX_HEADERS
    with pytest.raises(ResponseTooLarge, match="headers of a frame of the stream are larger than 131072 bytes"):
        decode(larger[:12])


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_noise_gives_only_typed_errors(headers: bytes, noise: bytes) -> None:
    for stream in (noise, GOOD + noise, framed(headers, noise)):
        with suppress(BadResponse):
            decode(stream)
