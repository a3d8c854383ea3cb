"""No key, prompt or proxy password shows in an error, its traceback with locals, a repr or a log."""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any

import pytest
from wire import Peer, ask, timed

from llmsdk.errors import LLMError
from llmsdk.io import HTTPRequest, TransportOptions

KEY, WORD, PROMPT = "sk-canary-9f8e7d6c5b4a", "pr0xy-canary", "the-prompt-canary"


def echoes(peer: Peer) -> None:
    asked = peer.request()
    peer.send((f"NOT HTTP {asked.headers}" if asked else "").encode() + b"\r\n\r\n")


def hangs_up(peer: Peer) -> None:
    peer.request()


def redirects(peer: Peer) -> None:
    asked = peer.request()
    location = f"https://{KEY}@other.example/{KEY}?k={KEY}"
    peer.reply(status=302, headers={"location": location if asked else ""})


def breaks(peer: Peer) -> None:
    asked = peer.request()
    assert asked
    peer.reply(f"\x1f\x8b {asked.headers['authorization']}".encode("latin-1"), headers={"content-encoding": "gzip"})


def malformed(peer: Peer) -> None:
    peer.request()
    peer.send(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode())


def stalls(peer: Peer) -> None:
    peer.request()
    peer.gone()


def everything(error: BaseException, *, frames: bool = True) -> str:
    """All that a careless program might print of an error, the variables of our frames too."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain: list[traceback.TracebackException | None] = [told, told.__cause__, told.__context__]
    ours = [frame for link in chain if link for frame in link.stack if "src/llmsdk" in frame.filename]
    shown = [f"{frame.name} {frame.locals}" for frame in ours if frames]
    return "\n".join([*shown, str(error), repr(error), repr(error.__dict__), str(pickle.loads(pickle.dumps(error)))])


@pytest.mark.parametrize("handler", [echoes, hangs_up, redirects, breaks, malformed, stalls])
def test_faults_tell_no_secret(face: Any, serve: Any, handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(handler)
    headers = [(b"Authorization", f"Bearer {KEY}".encode())]
    request = HTTPRequest("POST", f"{server.url}?key={KEY}", headers, PROMPT.encode(), secrets=(KEY,))
    with pytest.raises(LLMError) as caught:
        face(lambda io: ask(io, request, timed(0.5)))
    # A whole reply that echoes the key is itself a variable while it is read.
    told = everything(caught.value, frames=handler not in (redirects, breaks)) + repr(request)
    assert KEY not in told
    assert PROMPT not in told
    assert KEY not in caplog.text


@pytest.mark.parametrize("value", [f"Bearer {KEY}\n", f"Bearer {KEY}\r\nX: 1", f" {KEY}"])
def test_a_malformed_key_is_not_shown(face: Any, value: str) -> None:
    headers = [(b"X-First", KEY.encode()), (b"Authorization", value.encode())]
    with pytest.raises(LLMError) as caught:
        face(lambda io: ask(io, HTTPRequest("POST", "https://api.example/", headers, secrets=(KEY,))))
    assert KEY not in everything(caught.value)
    assert "Authorization" in str(caught.value)


def test_a_proxy_tells_no_password(face: Any, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = TransportOptions(proxy=f"http://user:{WORD}@127.0.0.1:{serve(echoes).port}")
    for url in ("https://api.example/", "http://api.example/"):
        with pytest.raises(LLMError) as caught:
            face(lambda io, url=url: ask(io, HTTPRequest("POST", url, [], b"", options), timed(2)))
        assert WORD not in everything(caught.value)
    assert WORD not in repr(options)
    assert WORD not in caplog.text
