"""Addresses of media: what is not plainly on the public internet is refused before anything is sent."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk import AsyncClient, Client, Media, Message, Text
from llmsdk.errors import InputError
from llmsdk.media import check_url
from llmsdk.testing import FaultServer

GOOD = (
    "https://example.org/cat.jpg",
    "http://example.org:8080/a?b=c#d",
    "HTTPS://EXAMPLE.ORG./x",
    "https://93.184.216.34/a.png",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/a.png",
    "https://xn--bcher-kva.example/%20",
    "https://example.org/b\u00fccher.png",
    "https://localhost.example.org/a",
    "https://a_b.example.org/a@b:c",
    "gs://bucket/path",
    "s3://bucket/a b".replace(" ", "-"),
)
ITSELF = (
    "http://localhost/x",
    "http://LOCALHOST./x",
    "http://a.localhost:1/x",
    "http://127.0.0.1/x",
    "http://127.255.0.9/x",
    "http://0.0.0.0/x",
    "http://[::1]/x",
    "http://[::]/x",
)
LINK_LOCAL = (
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://[fe80::1]/",
)
PRIVATE = (
    "http://10.1.2.3/",
    "http://172.31.0.1/",
    "http://192.168.1.1/",
    "http://100.100.100.200/latest",
    "http://192.0.0.192/opc",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[fec0::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
)
NAMES = (
    "http://metadata.google.internal/",
    "http://metadata/",
    "http://redis:6379/",
    "http://printer.local./",
    "http://box.home.arpa/",
)
ODD = (
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1.:80/".replace(".:", ".0x1:"),
    "http://010.0.0.1/",
    "http://1.2.3.4.5/",
    "http://999.1.1.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020.0.1/",
    "http://\u2460.example/",
    "http://%31%32%37.0.0.1/",
    "http://b\u00fccher.example/",
    "http://example.org%2f@127.0.0.1/",
    "http://user:pass@example.org/",
    "http://@example.org/",
    "http://example.org\\@127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://exam\nple.org/",
    " http://example.org/",
    "http://example.org /",
    "http://example.org:99999/",
    "http://example.org:x/",
    "http://[::1/",
    "http://[example.org]/",
    "http://[2606:2800::1%25eth0]/",
    "http://[v1.a]/",
    "http:///x",
    "http:example.org",
    "http:/example.org",
    "//example.org/x",
    "https://",
    "file:///etc/passwd",
    "FILE://localhost/etc/passwd",
    "ftp://example.org/",
    "gopher://example.org/",
    "javascript:alert(1)",
    "data:image/png;base64,AAAA",
    "example.org/a.png",
    "",
)


@pytest.mark.parametrize("url", GOOD)
def test_the_public_internet(url: str) -> None:
    check_url(url, "messages[0]")


@pytest.mark.parametrize(
    ("url", "says"),
    [(url, "the machine itself") for url in ITSELF]
    + [(url, "link-local") for url in LINK_LOCAL]
    + [(url, "private or special") for url in PRIVATE]
    + [(url, "private network") for url in NAMES],
)
def test_places_that_are_not_the_public_internet(url: str, says: str) -> None:
    with pytest.raises(InputError, match=f"leads to .*{says}") as refused:
        check_url(url, "messages[0]")
    assert "private=True" in refused.value.hint
    check_url(url, "messages[0]", private=True)


@pytest.mark.parametrize("url", ODD)
def test_what_readers_of_URLs_do_not_agree_on_is_refused_however_private_it_may_be(url: str) -> None:
    for private in (False, True):
        with pytest.raises(InputError, match=r"messages\[0\] has a URL that") as refused:
            check_url(url, "messages[0]", private=private)
        assert refused.value.argument == "messages[0]"
        assert "pass" not in str(refused.value).replace("Pass", "").replace("passwd", "")


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "{}.", "%s"]))
def test_no_spelling_of_an_address_that_is_not_public_gets_by(address: ipaddress.IPv4Address, form: str) -> None:
    number = int(address)
    spellings = [str(address), f"{number}", f"{number:#x}", f"0{number:o}", f"[::ffff:{address}]", f"[::{address}]"]
    spellings += [f"{number >> 24}.{number & 0xFFFFFF}", f"{number >> 24:#x}.{number >> 16 & 255}.{number & 0xFFFF}"]
    for spelling in spellings:
        try:
            check_url(f"http://{spelling}/x", "x")
        except InputError:
            continue
        assert spelling == str(address)
        assert address.is_global
        assert not address.is_multicast


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "https://127.", "http://a@"]))
def test_any_text_is_taken_or_refused_with_a_typed_error(text: str, start: str) -> None:
    with suppress(InputError):
        check_url(start + text, "x")


def ways(url: str) -> list[Any]:
    """The same image, in the forms in which it may be given."""
    return [
        [Message("user", (Text("What is it?"), Media("image/png", url=url)))],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": url}}]}],
        ["Hi", [Message("user", (Media("audio/wav", url=url),))]],
    ]


@pytest.mark.anyio
async def test_F083_nothing_is_sent_for_a_URL_that_leads_inside(anyio_backend: str) -> None:
    urls = (ITSELF[0], LINK_LOCAL[0], PRIVATE[0], NAMES[0], ODD[0], ODD[15], "file:///etc/passwd")
    with FaultServer() as host:
        with Client("openai:any", config=host.config()) as client:
            for url in urls:
                for messages in ways(url):
                    for stream in (False, True) if len(messages) == 1 else (False,):
                        with pytest.raises(InputError, match="has a URL that"):
                            client.chat(messages, stream=stream)
            assert client.ledger.rows == ()
        async with AsyncClient("openai:any", config=host.config()) as other:
            for messages in ways(urls[1]):
                with pytest.raises(InputError, match="link-local"):
                    await other.chat(messages)
        assert (host.connections, host.requests) == (0, [])


def test_F083_a_server_on_the_same_network_may_be_asked_to_read_there() -> None:
    url = "http://10.0.0.7:9000/cat.png"
    with FaultServer() as host, Client("openai:any", config=host.config()) as client:
        client.chat([Message("user", (Text("See"), Media("image/png", url=url, private=True)))])
        assert host.requests[0].json["messages"][0]["content"][1]["image_url"] == {"url": url}


@pytest.mark.parametrize(
    "media",
    [Media("image/png"), Media("image/png", b"x", url="https://a.example/b"), Media("image/png", "x")],  # type: ignore[arg-type]
)
def test_media_that_are_none(media: Media) -> None:
    with FaultServer() as host, Client("openai:any", config=host.config()) as client:
        with pytest.raises(InputError, match=r"messages\[0\] has media"):
            client.chat([Message("user", (media,))])
        assert host.requests == []
