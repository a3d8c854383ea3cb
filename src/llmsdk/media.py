"""Addresses of media that a host is to fetch: whether they may be given to it.

This library fetches nothing. A host that does, such as a server on one's own network, would read for whoever wrote the
message: what is not plainly on the public internet is refused before anything is sent. Names are not looked up, since
they may mean something else there: a public name that leads to a private address, at once or after a redirect, is for
the host to refuse.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from llmsdk.errors import InputError

SCHEMES = ("https", "http", "gs", "s3")
INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "localdomain")
"""Endings of names that are no part of the public internet."""
METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Public addresses under which a cloud talks to its own machines."""
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_OUTSIDE = ("0.0.0.0/0", "2000::/3")
"""Where public addresses are."""
_SPECIAL = ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16")
"""What of that is not: protocols of their own, and IPv6 addresses that lead to an IPv4 one."""
_PUBLIC = "Pass the content as data=, or an https:// URL of the public internet."
_PRIVATE = f"{_PUBLIC} If the host may read it there: Media(..., url=..., private=True)."


def check_url(url: str, where: str, *, private: bool = False) -> None:
    """See that a URL is one that a host may be asked to fetch. ``private`` allows those of private networks.

    Raises:
        InputError: what is wrong with it, without its query, which may hold a signature.
    """
    if problem := _form(url):
        raise InputError(f"{where} has a URL that {problem}", argument=where, hint=_PUBLIC)
    if not private and (problem := _place(url)):
        raise InputError(f"{where} has a URL that leads to {problem}", argument=where, hint=_PRIVATE)


def _form(url: str) -> str:
    """What is wrong with a URL, whatever it leads to. Readers of URLs do not agree on odd ones: none is passed on."""
    scheme, found, rest = url.partition(":")
    if scheme.lower() not in SCHEMES or not found:
        return f"begins with {scheme[:12]!r}, not with https://" if found else "is no URL"
    if not url.isprintable() or " " in url or "\\" in url:
        return "holds a blank, a control character or a backslash"
    if not rest.startswith("//") or not (authority := re.split(r"[/?#]", rest[2:], maxsplit=1)[0]):
        return "names no host"
    if scheme.lower() in ("gs", "s3"):
        return ""
    if "@" in authority:
        return "holds credentials"
    try:
        host, _ = urlsplit(url).hostname or "", urlsplit(url).port
    except ValueError:
        return "cannot be read"
    return _name(host, bracketed=authority.startswith("["))


def _name(host: str, *, bracketed: bool) -> str:
    """What is wrong with a host's name or address as it is written."""
    if bracketed:
        return "" if _ip(host) else "has an odd host"
    if not _HOST.fullmatch(host):
        return "has an odd host: write its name in ASCII"
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) and not _ip(host):
        return "has an IP address in an odd spelling: write it as 203.0.113.7"
    return ""


def _place(url: str) -> str:
    """What kind of place a URL leads to that is not the public internet."""
    if urlsplit(url).scheme in ("gs", "s3"):
        return ""
    host = urlsplit(url).hostname or ""
    address = _ip(host)
    if address is not None:
        return _kind(address)
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "the machine itself"
    if "." not in name or any(name.endswith(f".{ending}") for ending in INSIDE):
        return f"{name[:80]!r}, a name of a private network"
    return ""


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """What an address is, unless it is one of the public internet."""
    if address.is_loopback or address.is_unspecified:
        return "the machine itself"
    if address.is_link_local or address in METADATA:
        return "a link-local address, where clouds keep their credentials"
    outside = address.is_global and not address.is_multicast and _within(address, _OUTSIDE)
    return "" if outside and not _within(address, _SPECIAL) else "a private or special address"


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Iterable[str]) -> bool:
    return any(address in ipaddress.ip_network(network) for network in networks)


__all__ = ["check_url"]
