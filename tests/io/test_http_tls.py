"""Certificates: whom to trust, and who one is."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from wire import Peer, ask, clean, echo, post, timed

from llmsdk.errors import ConfigError, ConnectFailed, Disconnected, InvalidBody
from llmsdk.io import TransportOptions
from llmsdk.io.route import trust


def test_a_private_authority(face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str) -> None:
    server = serve(echo, server_tls)

    async def scenario(io: Any) -> None:
        request = post(server.url, b"x" * 200_000, ca_bundle=ca_bundle)
        for reused in (False, True):
            clock = timed(10)
            assert await ask(io, request, clock) == (200, b"x" * 200_000)
            assert clock.reused == reused

    face(scenario)
    assert server.connections == 1


def test_an_authority_from_the_environment(
    face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(echo, server_tls)
    monkeypatch.setenv("SSL_CERT_FILE", ca_bundle)
    assert face(lambda io: ask(io, post(server.url)))[0] == 200


def test_a_folder_of_authorities(face: Any, serve: Any, server_tls: ssl.SSLContext, ca_bundle: str) -> None:
    with pytest.raises(ConnectFailed):  # a folder without hashed names trusts nobody
        face(lambda io: ask(io, post(serve(echo, server_tls).url, ca_bundle=str(Path(ca_bundle).parent))))


def test_a_stranger_is_not_trusted(face: Any, serve: Any, server_tls: ssl.SSLContext) -> None:
    server = serve(echo, server_tls)
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(server.url)))
    assert (caught.value.retryable, caught.value.sent) == (False, False)
    assert f"127.0.0.1:{server.port}" in caught.value.message
    assert "ca_bundle" in caught.value.hint
    assert clean(caught.value)
    assert not server.requests


def test_a_certificate_for_another_name(face: Any, serve: Any, authority: trustme.CA, ca_bundle: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    server = serve(echo, context)
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(server.url, ca_bundle=ca_bundle)))
    assert not caught.value.retryable
    assert not server.requests


def test_a_client_certificate(face: Any, serve: Any, authority: trustme.CA, ca_bundle: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    names = []

    def handler(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        names.append(peer.sock.getpeercert())
        echo(peer)

    server = serve(handler, context)
    mine = authority.issue_cert("client.example")
    both, key, chain = (str(tmp_path / name) for name in ("both.pem", "key.pem", "chain.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(both)
    mine.private_key_pem.write_to_path(key)
    mine.cert_chain_pems[0].write_to_path(chain)
    for cert in (both, (chain, key)):
        assert face(lambda io, cert=cert: ask(io, post(server.url, ca_bundle=ca_bundle, client_cert=cert)))[0] == 200
    assert "client.example" in str(names)
    with pytest.raises((ConnectFailed, Disconnected)):
        face(lambda io: ask(io, post(server.url, ca_bundle=ca_bundle)))


@pytest.mark.parametrize("option", ["ca_bundle", "client_cert"])
def test_files_that_cannot_be_used(face: Any, tmp_path: Path, option: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for path in (str(wrong), str(tmp_path / "missing.pem")):
        with pytest.raises(ConfigError) as caught:
            face(lambda io, path=path: ask(io, post("https://api.example/", **{option: path})))
        assert option in caught.value.message
        assert caught.value.hint


def test_an_environment_that_names_no_file(face: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        face(lambda io: ask(io, post("https://api.example/")))


def test_plain_http_asked_for_tls(face: Any, serve: Any, ca_bundle: str) -> None:
    def handler(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.gone(1)

    url = serve(handler).url.replace("http:", "https:")
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(url, ca_bundle=ca_bundle)))
    assert (caught.value.retryable, caught.value.sent) == (False, False)
    assert "TLS" in caught.value.message
    assert "port" in caught.value.hint


def test_tls_asked_for_plain_http(face: Any, serve: Any) -> None:
    def handler(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(b"\x15\x03\x01\x00\x02\x02\x46")

    with pytest.raises(InvalidBody, match="not HTTP"):
        face(lambda io: ask(io, post(serve(handler).url)))


def test_a_server_that_hangs_up_during_the_handshake(face: Any, serve: Any, ca_bundle: str) -> None:
    url = serve(lambda peer: peer.sock.recv(10) and None).url.replace("http:", "https:")
    with pytest.raises(ConnectFailed) as caught:
        face(lambda io: ask(io, post(url, ca_bundle=ca_bundle)))
    assert (caught.value.retryable, caught.value.sent) == (True, False)
    assert clean(caught.value)


def test_contexts_are_shared(ca_bundle: str) -> None:
    options = TransportOptions(ca_bundle=ca_bundle)
    assert trust(options, http2=False) is trust(TransportOptions(ca_bundle=ca_bundle, max_connections=3), http2=False)
    assert trust(options, http2=False) is not trust(options, http2=True)
    assert trust(TransportOptions(), http2=False).verify_mode is ssl.CERT_REQUIRED


def test_http2_needs_its_package(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        face(lambda io: ask(io, post("https://api.example/", http2=True)))
    assert "httpx2[http2]" in caught.value.hint
    assert threading.active_count() >= 1
