"""A switch that turns the network off: whatever is not this machine cannot be reached, by whichever library."""

from __future__ import annotations

import ipaddress
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmsdk.errors import ConfigError

_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_lock = threading.Lock()
_off = 0
"""How many blocks are entered."""
_watching = False


class NetworkBlocked(ConfigError):
    """Something wanted to leave this machine while the network was switched off."""

    default_hint = "Use a scripted provider, a FaultServer or a cassette; or leave no_network() out for this test."


@contextmanager
def no_network() -> Iterator[None]:
    """While the block is entered, in all threads, only loopback addresses and Unix sockets can be reached.

    Looking up a name counts as leaving, too.

    Raises:
        NetworkBlocked: from whatever tried, as it is; llmsdk does not retry it.
    """
    global _off, _watching
    with _lock:
        if not _watching:  # a hook cannot be taken away again, so there is one for good, which does nothing when idle
            sys.addaudithook(_audit)
            _watching = True
        _off += 1
    try:
        yield
    finally:
        with _lock:
            _off -= 1


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _off or event not in _EVENTS:
        return
    host, port = (args[0], args[1] if len(args) > 1 else None) if event in _NAMED else _peer(args)
    if not _is_here(host):
        where = f"{_shown(host)}:{port}" if port else _shown(host)
        raise NetworkBlocked(f"the network is switched off, and this wants to reach {where}")


def _peer(args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Host and port that a socket is to reach; a Unix socket's path is here anyway."""
    address = args[-1]
    return (address[0], address[1]) if isinstance(address, tuple) and len(address) > 1 else (None, None)


def _is_here(host: Any) -> bool:
    name = _shown(host)
    if host is None or name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _shown(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


__all__ = ["NetworkBlocked", "no_network"]
