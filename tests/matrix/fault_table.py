"""The fault matrix of a network, row by row: what the host does, and what must come of it.

The numbers are those of the matrix (``FAULTS.md`` of the design notes): each case is a test ``F003-...``. Where a row
says something else than the matrix, ``why`` says why. What is not a table is in ``test_matrix_more.py``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmsdk.errors import (
    ContentFiltered,
    ContextTooLong,
    Disconnected,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    QuotaExhausted,
    Redirected,
    ResponseTooLarge,
    ServerFault,
    StreamInterrupted,
    TimedOut,
    Unauthorized,
)
from llmsdk.testing import Fault, faults
from llmsdk.testing.host import KEY, TEXT

MAY_RUN = "what may have run is not asked again unless retry_unknown allows it"


@dataclass(frozen=True)
class Out:
    """What must come of a call. Without ``raises`` it gives ``text``."""

    raises: type[LLMError] | None = None
    says: str = ""
    """What the error's text must hold: a regular expression."""
    settled: str = "exact"
    """How each attempt's row is settled, in order. Their number is that of the requests that the host must see."""
    text: str = TEXT
    """Of an error: what is in ``partial``, where it has one."""
    finish: str = "stop"
    kept: bool | None = None
    """Whether the connection serves the next call; ``None``: either."""
    warns: str = ""
    """What one of the result's warnings must hold: a regular expression. Without it there is none."""


@dataclass(frozen=True)
class Row:
    """A case. ``plain`` and ``stream`` are left out where the fault makes no sense there."""

    number: int
    what: str
    faults: tuple[Fault, ...]
    plain: Out | None = None
    stream: Out | None = None
    why: str = ""
    timeouts: tuple[tuple[str, float], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        return f"F{self.number:03d}-{self.what.replace(' ', '_')}"


def both(number: int, what: str, *faults: Fault, out: Out, **more: Any) -> Row:
    return Row(number, what, faults, out, out, **more)


OK = Out(kept=True)
AGAIN = Out(settled="none exact")


# --- bodies -----------------------------------------------------------------------------------------------------


def completion(content: Any = TEXT, *, finish: Any = "stop", usage: Any = "right", **message: Any) -> dict[str, Any]:
    """A whole reply in OpenAI's words."""
    figures = {"prompt_tokens": 6, "completion_tokens": 9, "total_tokens": 15} if usage == "right" else usage
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "model": "any", "choices": [choice], "usage": figures}


def delta(text: str | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    """An event of a stream."""
    body = {} if text is None else {"content": text}
    return event({"choices": [{"index": 0, "delta": body, "finish_reason": finish}], **more})


def event(body: Any) -> bytes:
    return b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"


DONE, END = event(b"[DONE]"), delta(finish="stop")
USAGE = {"prompt_tokens": 6, "completion_tokens": 9, "total_tokens": 15}
FIGURES = event({"choices": [], "usage": USAGE})
WORDS = [delta(word) for word in ("The sun is up", " and the day is long.")]
WHOLE = [*WORDS, END, FIGURES, DONE]


def body(text: str | bytes, **headers: str) -> Fault:
    return faults.says(text, headers={name.replace("_", "-"): value for name, value in headers.items()})


def stream(*pieces: bytes) -> Fault:
    return faults.says(list(pieces))


def refusal(status: int, message: str, code: str | None = None, **headers: Any) -> Fault:
    return faults.status(status, {"error": {"message": message, "type": None, "code": code}}, **headers)


BROKEN = Out(Disconnected, r"lost 127\.0\.0\.1:\d+", "upper_bound", kept=False)


BROKEN_OFF = Out(Disconnected, "before it said anything", "upper_bound")


def unreadable(says: str = "", kept: bool | None = None) -> Out:
    return Out(InvalidBody, says, "upper_bound", kept=kept)


def cut(says: str = "broke off|without the provider's word", text: str = "The sun is up") -> Out:
    return Out(StreamInterrupted, says, "estimated", text=text, kept=None)


# --- the rows -------------------------------------------------------------------------------------------------------


def network() -> Iterator[Row]:
    yield both(3, "FIN before any byte", faults.close(), out=BROKEN, why=MAY_RUN)
    yield both(3, "RST before any byte", faults.reset(), out=BROKEN, why=MAY_RUN)
    allowed = Out(settled="upper_bound exact")
    yield both(3, "FIN, retry allowed", faults.close(), out=allowed, options=(("retry_unknown", True),))
    yield Row(5, "FIN in the body", (faults.close(after=40),), BROKEN, why=MAY_RUN)
    yield Row(5, "RST in the body", (faults.reset(after=40),), BROKEN, why=MAY_RUN)
    short = Fault(headers={"content-length": "5000"}, end="close")
    yield Row(5, "body shorter than announced", (short,), BROKEN, why=MAY_RUN)
    yield both(6, "peer is not HTTP", faults.garbage(), out=unreadable(r"'SSH-2\.0.*not HTTP.*port", kept=False))
    yield both(7, "unasked second reply", faults.desync(), out=Out(kept=False))
    yield both(8, "100 and 103 before the reply", faults.interim(100, 103, 103), out=OK)


def statuses() -> Iterator[Row]:
    for status, kind in (
        (400, InvalidRequest),
        (404, NotFound),
        (405, InvalidRequest),
        (413, PayloadTooLarge),
        (415, InvalidRequest),
        (418, InvalidRequest),
        (422, InvalidRequest),
        (451, InvalidRequest),
        (499, InvalidRequest),
    ):
        fault = refusal(status, f"No, {status}.")
        yield both(12, str(status), fault, out=Out(kind, rf"^No, {status}\.", "none", kept=True))
    long = "This model's maximum context length is 64 tokens. However, you requested 99 tokens."
    yield both(13, "too long", refusal(400, long, "context_length_exceeded"), out=Out(ContextTooLong, "64", "none"))
    filtered = refusal(400, "The response was filtered.", "content_filter")
    yield both(14, "refused by a content filter", filtered, out=Out(ContentFiltered, "filtered", "none", kept=True))
    yield both(15, "401", refusal(401, "Who are you?"), out=Out(Unauthorized, "Who", "none", kept=True))
    yield both(15, "403", refusal(403, "Not you."), out=Out(PermissionDenied, "Not you", "none", kept=True))
    yield both(16, "401 that echoes the key", refusal(401, f"Bad key {KEY}!"), out=Out(Unauthorized, r"\*\*\*", "none"))
    echo = refusal(500, f"key={KEY}")
    yield both(16, "500 that echoes the key", echo, echo, echo, out=Out(ServerFault, r"\*\*\*", "none none none"))
    yield both(17, "402", refusal(402, "Pay."), out=Out(QuotaExhausted, "Pay", "none", kept=True))
    spent = refusal(429, "Spent.", "insufficient_quota")
    yield both(17, "429 for a spent account", spent, out=Out(QuotaExhausted, "Spent", "none", kept=True))
    for status in (408, 409, 425, 500, 502, 520):
        yield both(18, f"{status} once", faults.status(status), out=AGAIN)
    three = [faults.status(500)] * 3
    yield both(18, "500 for ever", *three, out=Out(ServerFault, "500", "none none none", kept=True))
    for status in (504, 524):
        late = Out(ServerFault, "may have run", "upper_bound", kept=True)
        yield both(18, f"{status}", faults.status(status), out=late, why=MAY_RUN)
    for name, value in (("seconds", "0.01"), ("a date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("garbage", "soon")):
        yield both(
            19 if name != "garbage" else 21, f"429 Retry-After {name}", faults.status(429, retry_after=value), out=AGAIN
        )
    yield both(19, "429 retry-after-ms", refusal(429, "Slow.", headers={"retry-after-ms": "5"}), out=AGAIN)
    for value in ("nan", "inf", "-5", "1e999", ""):
        yield both(21, f"429 Retry-After {value or 'empty'}", faults.status(429, retry_after=value), out=AGAIN)
    for status in (503, 529):
        yield both(22, f"{status} once", faults.status(status), out=AGAIN)
    yield both(22, "503 for ever", *[faults.status(503)] * 3, out=Out(Overloaded, "503", "none none none"))
    wish = {"x-should-retry": "false"}
    yield both(23, "x-should-retry false", refusal(503, "Gone.", headers=wish), out=Out(Overloaded, "Gone", "none"))
    wish = {"x-should-retry": "true"}
    yield both(23, "x-should-retry true", refusal(400, "Later.", headers=wish), out=AGAIN)
    for status in (301, 302, 303, 307, 308):
        away = Out(Redirected, r"sends to 'http://192\.0\.2\.1", "none")
        yield both(24, f"{status}", faults.redirect("http://192.0.2.1/steal?prompt=1", status), out=away)
    inside = faults.says({"error": {"message": "Too fast.", "type": "rate_limit_error", "code": None}})
    yield both(25, "200 with an error", inside, out=AGAIN)
    yield Row(26, "204", (Fault(status=204, body=b""),), unreadable("not JSON"), BROKEN_OFF)
    yield both(26, "999 once", faults.status(999, "What?"), out=AGAIN, why="as any status of 500 and above")
    page = faults.status(500, "<html>" + "x" * 5_000_000)
    huge = Out(ServerFault, "xxx", "none none none", kept=False)
    yield both(27, "5 MB of HTML with a 500", page, page, page, out=huge)


def headers() -> Iterator[Row]:
    big = faults.garbage(b"HTTP/1.1 200 OK\r\nx-big: " + b"a" * 2**20 + b"\r\n\r\n{}")
    yield both(28, "1 MB header", big, out=unreadable("head of the reply is larger than 65536", kept=False))
    many = faults.garbage(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: a\r\n" % at for at in range(10_000)) + b"\r\n{}")
    yield both(28, "10,000 headers", many, out=unreadable("larger than 65536", kept=False))
    some = faults.garbage(b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 257 + b"\r\n{}")
    yield both(28, "257 headers", some, out=unreadable("more than 256 headers", kept=False))
    most = Fault(headers={f"x-{at}": "a" for at in range(250)})
    yield both(28, "250 headers", most, out=Out(kept=True))
    yield Row(29, "no content type", (faults.says(completion(), headers={"content-type": ""}),), OK)
    latin = faults.says(completion("é"), headers={"content-type": "text/plain; charset=latin-1"})
    yield Row(29, "wrong charset", (latin,), Out(text="é", kept=True))
    for length in ("abc", "-1", "12, 13"):
        bad = faults.garbage(b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\n{}" % length.encode())
        yield both(30, f"Content-Length {length}", bad, out=unreadable(kept=False))
    yield Row(31, "Set-Cookie", (Fault(headers={"set-cookie": "tenant=1"}),), OK, OK)
    bomb = Out(ResponseTooLarge, "larger than", "upper_bound")
    yield Row(32, "gzip bomb", (faults.gzip_bomb(100, b"{"),), bomb, bomb)
    yield both(33, "not gzip", body(b"plain", content_encoding="gzip"), out=unreadable())
    yield both(33, "unknown encoding", body(b"plain", content_encoding="br"), out=unreadable("br", kept=False))


def bodies() -> Iterator[Row]:
    for name, text in (
        ("empty", ""),
        ("HTML", "<html>Welcome to the hotel</html>"),
        ("cut", '{"choices": [{"mess'),
        ("null", "null"),
        ("a list", "[]"),
        ("a number", "17"),
    ):
        yield Row(34, name, (body(text),), unreadable(kept=True), why=MAY_RUN)
    for name, text in (
        ("deep JSON", "[" * 100_000),
        ("10,000 digits", '{"choices": %s}' % ("1" * 10_000)),
        ("NaN", '{"choices": NaN}'),
    ):
        yield Row(35, name, (body(text),), unreadable(kept=True))
    replaced = Out(text="A\ufffdB", kept=True, warns="no valid Unicode")
    for name, piece in (("lone surrogate", rb"A\ud83dB"), ("invalid UTF-8", b"A\xffB")):
        whole = json.dumps(completion("text")).encode().replace(b"text", piece)
        streamed = [event(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % piece), END, FIGURES, DONE]
        yield Row(36, f"{name} in a body", (body(whole),), replaced, replaced)
        yield Row(36, f"{name} in an event", (stream(*streamed),), None, replaced)
    bad = event(b'{"choices":[{"index":0,"delta":{"content":"A\xff"},"finish_reason":"stop"')
    cut_there = Out(StreamInterrupted, "not JSON", "estimated", text="The sun is up")
    yield Row(36, "invalid UTF-8 in what is no JSON either", (stream(WORDS[0], bad),), None, cut_there)
    for name, value in (
        ("no choices", {"usage": USAGE}),
        ("no choice in choices", {"choices": [], "usage": USAGE}),
        ("choices null", {"choices": None, "usage": USAGE}),
        ("message null", {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}], "usage": USAGE}),
        ("content a number", completion(17)),
    ):
        yield Row(37, name, (faults.says(value),), unreadable(kept=True))
    yield Row(38, "unknown finish reason", (faults.says(completion(finish="tired")),), Out(finish="other", kept=True))
    counted = Out(settled="estimated", kept=True)
    yield Row(39, "usage missing", (faults.says(completion(usage=None)),), counted)
    yield Row(39, "usage missing", (stream(*WORDS, END, DONE),), None, counted)
    doubted = Out(settled="estimated", kept=True, warns="the provider reported")
    for name, usage in (
        ("negative", {"prompt_tokens": -1, "completion_tokens": -3}),
        ("half negative", {"prompt_tokens": -1, "completion_tokens": 3}),
        ("strings", {"prompt_tokens": "many", "completion_tokens": 3}),
        ("fractions", {"prompt_tokens": 6, "completion_tokens": 0.5}),
        ("of billions", {"prompt_tokens": 6, "completion_tokens": 10**9}),
    ):
        yield Row(40, f"usage {name}", (faults.says(completion(usage=usage)),), doubted)
        figures = event({"choices": [], "usage": usage})
        yield Row(40, f"usage {name}", (stream(*WORDS, END, figures, DONE),), None, doubted)


def streams() -> Iterator[Row]:
    whole = b"".join(WHOLE)
    for name, data in (
        ("CRLF", whole.replace(b"\n", b"\r\n")),
        ("CR", whole.replace(b"\n", b"\r")),
        ("BOM", b"\xef\xbb\xbf" + whole),
        ("comments", b": hi\n\n" + whole.replace(b"\n\ndata", b"\n\n:\n\ndata")),
        ("fields", whole.replace(b"data:", b"id: 7\nretry: 5\nnothing: x\nevent: message\ndata:")),
        ("no space", whole.replace(b"data: ", b"data:")),
        ("no blank line at the end", whole.rstrip(b"\n") + b"\n"),
        ("many lines", whole.replace(b', "delta"', b',\ndata: "delta"')),
    ):
        yield Row(42, name, (stream(data),), None, OK)
    yield Row(42, "a byte at a time", (Fault(body=[whole], piece=1, headers=faults.EVENT_STREAM),), None, OK)
    yield Row(43, "retry only", (stream(b"retry: 100\n\n", b"data:\n\n", *WHOLE),), None, OK)
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    separators = event(json.dumps({"choices": [{"index": 0, "delta": {"content": odd}}]}, ensure_ascii=False).encode())
    yield Row(44, "line separators in text", (stream(separators, END, FIGURES, DONE),), None, Out(text=odd, kept=True))
    yield Row(45, "nothing", (stream(b""),), None, BROKEN_OFF, why=MAY_RUN)
    yield Row(45, "comments only", (stream(b": hi\n\n"),), None, BROKEN_OFF, why=MAY_RUN)
    begin = b"".join(WORDS[:1])
    for name, end in (("EOF", "clean"), ("FIN", "close"), ("RST", "reset")):
        fault = Fault(body=[begin, WORDS[1]], cut=len(begin), end=end, headers=faults.EVENT_STREAM)  # type: ignore[arg-type]
        yield Row(46, f"{name} after words", (fault,), None, cut())
        fault = Fault(body=[begin, WORDS[1]], cut=len(begin) + 30, end=end, headers=faults.EVENT_STREAM)  # type: ignore[arg-type]
        yield Row(46, f"{name} in an event", (fault,), None, cut())
    good = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(begin), begin)
    yield Row(46, "bad chunk", (Fault(raw=good + b"zz\r\n", piece=len(good), pause=0.02),), None, cut())
    yield Row(46, "bad chunk in the same packet", (Fault(raw=good + b"zz\r\n"),), None, cut("chunks are malformed"))
    packed = gzip.compress(b"".join(WHOLE))
    damaged = Fault(body=packed[:-8] + b"damaged!", headers=faults.EVENT_STREAM | {"content-encoding": "gzip"})
    yield Row(46, "damaged gzip behind whole events", (damaged,), None, Out())
    half = gzip.compress(begin)
    torn = Fault(body=half[:-8] + b"damaged!", headers=faults.EVENT_STREAM | {"content-encoding": "gzip"})
    yield Row(46, "damaged gzip", (torn,), None, cut("gzip body is damaged"))
    yield Row(47, "finish without DONE", (stream(*WORDS, END, FIGURES),), None, Out())
    yield Row(48, "DONE without finish", (stream(*WORDS, FIGURES, DONE),), None, Out(finish="other"))
    error = event({"error": {"message": "Too fast.", "type": "rate_limit_error"}})
    yield Row(49, "error first", (stream(error),), None, AGAIN)
    named = b"event: error\n" + event({"message": "Too fast.", "type": "rate_limit_error"})
    yield Row(49, "event error first", (stream(named),), None, AGAIN)
    yield Row(49, "error after words", (stream(WORDS[0], error),), None, cut("Too fast"))
    yield Row(49, "event error after words", (stream(WORDS[0], named),), None, cut("Too fast"))
    yield Row(50, "JSON for a stream", (faults.says(completion()),), None, OK)
    yield Row(50, "HTML for a stream", (body("<html>hello</html>"),), None, unreadable())
    yield Row(51, "bad JSON", (stream(WORDS[0], event(b"{oops"), *WHOLE),), None, cut("event 2"))
    together = stream(WORDS[0] + event(b"{oops") + b"".join(WHOLE))
    yield Row(51, "bad JSON in the same packet", (together,), None, cut("event 2"))
    yield Row(51, "odd events", (stream(event(b"null"), event(b"[]"), event(b"{}"), *WHOLE),), None, OK)
    null = event({"choices": [{"index": 0, "delta": None}]})
    yield Row(51, "delta null", (stream(null, *WHOLE),), None, OK)
    growing = [
        delta(text, usage={"prompt_tokens": 6, "completion_tokens": count}) for text, count in (("a", 1), ("b", 2))
    ]
    yield Row(52, "usage in each chunk", (stream(*growing, END, FIGURES, FIGURES, DONE),), None, Out(text="ab"))
    idle = Out(StreamInterrupted, "idle timeout", "estimated", text="The sun is up", kept=False)
    stall = Fault(body=[WORDS[0]], end="hang", headers=faults.EVENT_STREAM)
    yield Row(53, "stall after words", (stall,), None, idle, timeouts=(("idle", 0.25),))
    first = Out(TimedOut, "first_token timeout", "upper_bound", kept=False)
    yield Row(53, "comments without end", (faults.comments(),), None, first, timeouts=(("first_token", 0.25),))
    total = Out(TimedOut, "total timeout", "upper_bound", kept=False)
    yield both(53, "head without end", faults.drip_head(), out=total, timeouts=(("total", 0.25),))
    yield both(53, "silence", faults.hang(), out=total, timeouts=(("total", 0.25),))
    yield Row(53, "body a byte at a time", (faults.drip(0.01),), total, timeouts=(("total", 0.25),))
    large = Out(ResponseTooLarge, "larger than", "upper_bound", kept=False)
    yield Row(54, "line without end", (faults.endless(b"data: " + b"a" * 2**24),), None, large)
    halves = [event(b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % half) for half in (rb"\ud83d", rb"\ude00")]
    yield Row(
        56, "a pair in two events", (stream(*halves, END, FIGURES, DONE),), None, Out(text="\U0001f600", kept=True)
    )
    alone = Out(text="\ufffd", kept=True, warns="no valid Unicode")
    yield Row(56, "half a pair at the end", (stream(halves[0], END, FIGURES, DONE),), None, alone)
    yield Row(57, "words after the end", (stream(*WHOLE, delta(" More.")),), None, Out())


ROWS = [*network(), *statuses(), *headers(), *bodies(), *streams()]
