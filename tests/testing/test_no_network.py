"""With the network switched off nothing leaves this machine, whoever tries."""

from __future__ import annotations

import socket
import urllib.request

import anyio
import pytest

from llmsdk import AsyncClient, Client
from llmsdk.testing import FaultServer, NetworkBlocked, no_network

AWAY = ["http://192.0.2.1:9/v1", "http://provider.invalid/v1", "http://[2001:db8::1]/v1"]


def config(url: str) -> dict[str, object]:
    return {"providers": {"openai": {"base_url": url, "api_key": "sk-x", "allow_plain_http": True}}}


@pytest.mark.parametrize("url", AWAY)
def test_a_client_is_stopped_at_once(url: str) -> None:
    with no_network(), Client("openai:any", config=config(url)) as client:
        with pytest.raises(NetworkBlocked, match="switched off, and this wants to reach") as blocked:
            client.chat("x")
    assert len(blocked.value.attempts) == 1
    assert [row.settled for row in blocked.value.attempts] == ["none"]


@pytest.mark.anyio
@pytest.mark.parametrize("url", AWAY)
async def test_an_async_client_too(url: str) -> None:
    with no_network():
        async with AsyncClient("openai:any", config=config(url)) as client:
            with pytest.raises(NetworkBlocked):
                await client.chat("x")


def test_other_libraries_too() -> None:
    with no_network():
        with pytest.raises(NetworkBlocked):
            socket.create_connection(("192.0.2.1", 9), timeout=0.1)
        with pytest.raises(NetworkBlocked, match=r"provider\.invalid"):
            urllib.request.urlopen("http://provider.invalid/")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(NetworkBlocked):
            sock.sendto(b"x", ("192.0.2.1", 9))
        with pytest.raises(NetworkBlocked):
            anyio.run(anyio.connect_tcp, "provider.invalid", 80)


def test_this_machine_stays_within_reach_and_blocks_nest() -> None:
    with no_network(), no_network(), FaultServer("Hi.") as host:
        with Client("openai:any", config=host.config()) as client:
            assert client.chat("x").text == "Hi."
        assert socket.getaddrinfo("localhost", 80)
        ours, theirs = socket.socketpair()
        ours.close()
        theirs.close()


def test_afterwards_all_is_as_before() -> None:
    with no_network():
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # a datagram socket only remembers the address
