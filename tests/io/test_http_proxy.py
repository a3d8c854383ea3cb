"""Proxies, from the options and from the environment."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
from typing import Any

import pytest
from wire import Peer, ask, clean, echo, pipe, post, proxy, timed

from llmsdk.errors import ConfigError, ConnectFailed, DeadlineExceeded
from llmsdk.io import TransportOptions
from llmsdk.io.route import address, proxy_for

SECRET = "pr0xy-p4ss"


def test_a_plain_request_is_forwarded(face: Any, serve: Any) -> None:
    target, middle = serve(echo), serve(proxy)

    async def scenario(io: Any) -> None:
        clock = timed()
        assert await ask(io, post(target.url, b"one", proxy=f"http://127.0.0.1:{middle.port}"), clock) == (200, b"one")
        assert (clock.sent, clock.reused) == (True, False)

    face(scenario)
    assert middle.requests[0].target == target.url
    assert target.requests[0].headers["host"] == f"127.0.0.1:{target.port}"


def test_a_tls_request_is_tunnelled(
    face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    target, middle = serve(echo, server_tls), serve(proxy)
    url = f"http://user:{SECRET}@127.0.0.1:{middle.port}"

    async def scenario(io: Any) -> list[bool]:
        reused = []
        for _ in range(2):
            clock = timed()
            assert await ask(io, post(target.url, b"one", proxy=url, ca_bundle=ca_bundle), clock) == (200, b"one")
            reused.append(clock.reused)
        return reused

    assert face(scenario) == [False, True]
    (asked,) = middle.requests
    assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{target.port}")
    expected = base64.b64encode(f"user:{SECRET}".encode()).decode()
    assert asked.headers["proxy-authorization"] == f"Basic {expected}"
    assert "proxy-authorization" not in target.requests[0].headers
    assert SECRET not in caplog.text
    assert expected not in caplog.text


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_that_is_itself_behind_tls(
    face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str, secure: bool
) -> None:
    target, middle = serve(echo, server_tls if secure else None), serve(proxy, server_tls)
    body = b"x" * 300_000

    async def scenario(io: Any) -> None:
        clock = timed(20)
        request = post(target.url, body, proxy=f"https://127.0.0.1:{middle.port}", ca_bundle=ca_bundle)
        assert await ask(io, request, clock) == (200, body)
        assert clock.sent
        assert clock.received >= len(body)

    face(scenario)
    assert len(middle.requests) == len(target.requests) == 1


def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(url: str) -> str | None:
        proxy = proxy_for(TransportOptions(), address(url))
        return proxy and proxy.label

    assert found("https://api.example/") is None
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:{SECRET}@one.example:3128")
    monkeypatch.setenv("all_proxy", "socks5h://two.example")
    monkeypatch.setenv("NO_PROXY", "inner.example, .deep.example,10.0.0.0/8, 192.168.1.7,api.example:8443")
    assert found("https://api.example/") == "http://one.example:3128"
    assert found("http://api.example/") == "socks5h://two.example:1080"
    assert found("https://api.example:8443/") is None
    assert found("https://inner.example/") is None
    assert found("https://a.inner.example/") is None
    assert found("https://notinner.example/") == "http://one.example:3128"
    assert found("https://a.deep.example/") is None
    assert found("https://10.200.3.4/") is None
    assert found("https://11.0.0.1/") == "http://one.example:3128"
    assert found("https://192.168.1.7/") is None
    for mine in ("localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]"):
        assert found(f"https://{mine}/") is None
    monkeypatch.setenv("NO_PROXY", "*")
    assert found("https://api.example/") is None


def test_the_environments_proxy_is_used(
    face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext, ca_bundle: str
) -> None:
    """The name exists only for the proxy."""
    target = serve(echo, server_tls)

    def handler(peer: Peer) -> None:
        peer.request()
        with socket.create_connection(("127.0.0.1", target.port)) as upstream:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pipe(peer.sock, upstream)

    middle = serve(handler)
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{middle.port}")
    monkeypatch.setenv("SSL_CERT_FILE", ca_bundle)
    with pytest.raises(ConnectFailed, match="not accepted"):  # the certificate is for another name
        face(lambda io: ask(io, post("https://only-the-proxy-knows.invalid/")))
    assert middle.requests[0].target == "only-the-proxy-knows.invalid:443"


def test_an_empty_proxy_means_none(face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert proxy_for(TransportOptions(proxy=""), address("http://api.example/")) is None
    assert proxy_for(TransportOptions(), address("http://api.example/")) is not None


def test_loopback_is_proxied_only_when_asked(face: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target, middle = serve(echo), serve(proxy)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{middle.port}")
    assert face(lambda io: ask(io, post(target.url)))[0] == 200
    assert middle.connections == 0


def test_a_proxy_that_is_not_there(face: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://user:{SECRET}@127.0.0.1:{port}"
    for target in ("http://api.example/", "https://api.example/"):
        with pytest.raises(ConnectFailed) as caught:
            face(lambda io, target=target: ask(io, post(target, proxy=url)))
        assert f"the proxy http://127.0.0.1:{port}" in caught.value.message
        assert "api.example" in caught.value.message
        assert SECRET not in str(caught.value)
        assert not caught.value.sent
        assert clean(caught.value)


@pytest.mark.parametrize(("status", "again"), [(407, False), (403, False), (502, True)])
def test_a_proxy_that_refuses(face: Any, serve: Any, status: int, again: bool) -> None:
    def handler(peer: Peer) -> None:
        peer.request()
        peer.reply(b"no", status)

    middle = serve(handler)
    url = f"http://user:{SECRET}@127.0.0.1:{middle.port}"
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=url)))
    assert str(status) in caught.value.message
    assert (caught.value.retryable, caught.value.sent) == (again, False)
    assert SECRET not in str(caught.value)
    assert bool(caught.value.hint) == (status == 407)


def test_a_proxy_that_echoes_the_password(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        asked = peer.request()
        assert asked
        peer.send(f"HTTP/1.1 407 {asked.headers['proxy-authorization']} {SECRET}\r\n\r\n".encode())

    url = f"http://user:{SECRET}@127.0.0.1:{serve(handler).port}"
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=url)))
    assert "407 Basic" in caught.value.message
    assert SECRET not in str(caught.value)
    assert base64.b64encode(f"user:{SECRET}".encode()).decode() not in str(caught.value)


def test_a_proxy_that_is_no_proxy(face: Any, serve: Any) -> None:
    middle = serve(lambda peer: peer.send(b"SSH-2.0-OpenSSH\r\n") and peer.gone())
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=f"http://127.0.0.1:{middle.port}"), timed(5)))
    assert "proxy" in caught.value.message
    assert not caught.value.sent


def test_a_proxy_that_drips(face: Any, serve: Any) -> None:
    middle = serve(lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\nx-" + b"a" * 300, 0.05))
    with pytest.raises(DeadlineExceeded) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=f"http://127.0.0.1:{middle.port}"), timed(0.4)))
    assert (caught.value.phase, caught.value.sent) == ("connect", False)


def test_tls_that_fails_in_a_tunnel_gives_its_place_back(
    face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str
) -> None:
    target, middle = serve(echo, server_tls), serve(proxy)
    way = f"http://127.0.0.1:{middle.port}"

    async def scenario(io: Any) -> None:
        untrusting = post(target.url, proxy=way, max_connections=1)
        for _ in range(3):
            with pytest.raises(ConnectFailed) as caught:
                await ask(io, untrusting, timed(3))
            assert not caught.value.retryable
            assert way in caught.value.message

    face(scenario)


@pytest.mark.parametrize(
    "url", ["ftp://host", "http://", "http://a b", "http://h:x", f"http://ü:{SECRET}@h", "socks4://h", "http://h\n"]
)
def test_proxies_that_are_none(face: Any, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=url)))
    assert caught.value.hint
    assert SECRET not in str(caught.value)


def test_a_socks_proxy_needs_its_package(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        face(lambda io: ask(io, post("https://api.example/", proxy=f"socks5://user:{SECRET}@h")))
    assert "httpx2[socks]" in caught.value.hint
    assert SECRET not in str(caught.value)


# --- SOCKS, where its package is installed ----------------------------------------------------------------------


def socks(peer: Peer) -> None:
    """A SOCKS5 proxy that wants a password and connects to names of this machine."""
    version, count = peer.sock.recv(2)
    methods = peer.sock.recv(count)
    assert (version, 2 in methods) == (5, True)
    peer.send(b"\x05\x02")
    _, size = peer.sock.recv(2)
    user = peer.sock.recv(size)
    password = peer.sock.recv(peer.sock.recv(1)[0])
    if (user, password) != (b"user", SECRET.encode()):
        peer.send(b"\x01\x01")
        return
    peer.send(b"\x01\x00")
    *_, kind = peer.sock.recv(4)
    host = peer.sock.recv(peer.sock.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(peer.sock.recv(4))
    port = int.from_bytes(peer.sock.recv(2), "big")
    with socket.create_connection((host, port)) as upstream:
        peer.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        pipe(peer.sock, upstream)


@pytest.mark.parametrize("secure", [False, True])
def test_socks(
    face: Any,
    serve: Any,
    server_tls: ssl.SSLContext,
    ca_bundle: str,
    secure: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("socksio")
    caplog.set_level(logging.DEBUG)
    target, middle = serve(echo, server_tls if secure else None), serve(socks)
    url = f"socks5://user:{SECRET}@127.0.0.1:{middle.port}"
    assert face(lambda io: ask(io, post(target.url, b"one", proxy=url, ca_bundle=ca_bundle))) == (200, b"one")
    assert SECRET not in caplog.text
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(target.url, proxy=url.replace("user", "other"))))
    assert "password" in caught.value.message
    assert not caught.value.retryable
