"""Where a request goes: its address, the proxy on the way, the certificates to trust."""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from llmsdk.errors import ConfigError
from llmsdk.io import TransportOptions

if TYPE_CHECKING:
    import ssl

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_PROXY_HINT = (
    "Proxies look like http://host:3128, https://host:3129 or socks5://host:1080; check HTTPS_PROXY or proxy=."
)


@dataclass(frozen=True, slots=True)
class Address:
    """A URL, checked and taken apart. ``target`` may hold a key and is never shown."""

    scheme: str
    host: str
    port: int
    target: bytes = field(repr=False)

    @property
    def label(self) -> str:
        """Host and port, for people."""
        return f"{self.bracketed}:{self.port}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> bytes:
        """The Host header."""
        return (self.bracketed if self.port == _PORTS[self.scheme] else self.label).encode()

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@lru_cache(maxsize=1024)
def address(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ConfigError: it is not an absolute http or https URL of plain ASCII without credentials.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError("a URL holds a blank, a control character or a character outside ASCII", hint=_URL_HINT)
    scheme, host, port, userinfo = _split(url, "the URL")
    if scheme not in ("http", "https"):
        raise ConfigError(f"the URL of {host!r} begins with {scheme!r}, not with https://", hint=_URL_HINT)
    if userinfo:
        raise ConfigError(f"the URL of {host!r} holds credentials", hint="Give the key as api_key or in a header.")
    parts = urlsplit(url)
    if parts.fragment:
        raise ConfigError(f"the URL of {host!r} has a part behind '#', which is never sent", hint=_URL_HINT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(scheme, host, port or _PORTS[scheme], target.encode())


_URL_HINT = "Check base_url: it looks like https://api.example.com/v1."


def _split(url: str, what: str) -> tuple[str, str, int | None, tuple[str, str] | None]:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{what} cannot be read", hint=_URL_HINT) from None
    if not host or not (_is_ip(host) or _is_name(host)):
        raise ConfigError(f"{what} has no valid host", hint=_URL_HINT)
    userinfo = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return scheme, host, port, userinfo


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if _is_ip(host):
        return ipaddress.ip_address(host).is_loopback
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. Its credentials show nowhere."""

    scheme: str
    host: str
    port: int
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        return f"{self.scheme}://{Address(self.scheme, self.host, self.port, b'').label}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password, and the form in which HTTP sends it."""
        if self.credentials is None:
            return ()
        return self.credentials[1], b64encode(":".join(self.credentials).encode()).decode()


def proxy_for(options: TransportOptions, to: Address) -> Proxy | None:
    """The proxy on the way to an address: the one asked for (``""`` is none), else the environment's.

    Raises:
        ConfigError: its URL is not one.
    """
    if options.proxy is not None:
        return _proxy(options.proxy, "proxy") if options.proxy else None
    if to.loopback:
        return None
    import urllib.request

    found = urllib.request.getproxies()
    url = found.get(to.scheme) or found.get("all")
    if not url or _bypassed(to, found.get("no", "")):
        return None
    return _proxy(url, f"the environment's proxy for {to.scheme}")


def _proxy(url: str, what: str) -> Proxy:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{what} holds a character that no URL has", hint=_PROXY_HINT)
    scheme, host, port, credentials = _split(url if "://" in url else f"http://{url}", what)
    if scheme not in _PORTS:
        raise ConfigError(f"{what} is of a kind that is not supported: {scheme!r}", hint=_PROXY_HINT)
    if credentials and scheme.startswith("http") and not all(text.isascii() for text in credentials):
        raise ConfigError(f"{what} has a user or password outside ASCII", hint=_PROXY_HINT)
    return Proxy(scheme, host, port or _PORTS[scheme], credentials)


def _bypassed(to: Address, exceptions: str) -> bool:
    import urllib.request

    if urllib.request.proxy_bypass(f"{to.host}:{to.port}") or urllib.request.proxy_bypass(to.host):
        return True
    if not _is_ip(to.host):
        return False
    mine = ipaddress.ip_address(to.host)
    return any(mine in network for network in map(_network, exceptions.split(",")) if network is not None)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def trust(options: TransportOptions, *, http2: bool) -> ssl.SSLContext:
    """The TLS context for some options: shared by the process, because loading the system's certificates is slow.

    Raises:
        ConfigError: a file is missing or not in PEM.
    """
    environment = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return _context(options.ca_bundle, options.client_cert, http2, environment)


@lru_cache(maxsize=64)
def _context(
    ca_bundle: str | None,
    client_cert: str | tuple[str, str] | None,
    http2: bool,
    environment: tuple[str | None, str | None],
) -> ssl.SSLContext:
    context = _trusting(ca_bundle, environment)
    if client_cert is not None:
        names = (client_cert,) if isinstance(client_cert, str) else client_cert
        try:
            context.load_cert_chain(*names)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"client_cert cannot be loaded: {error}",
                hint="It is a PEM file with both the certificate and its key, or a pair of files.",
            ) from None
    # Set here once, so that two pools never change a context that both use.
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context


def _trusting(ca_bundle: str | None, environment: tuple[str | None, str | None]) -> ssl.SSLContext:
    import ssl

    from llmsdk.io.http import system_trust

    try:
        if ca_bundle is None:
            return system_trust()
        if Path(ca_bundle).is_dir():
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ValueError) as error:
        source = f"ca_bundle {ca_bundle!r}" if ca_bundle else f"SSL_CERT_FILE or SSL_CERT_DIR ({environment})"
        raise ConfigError(f"{source} cannot be loaded: {error}", hint="It is a file of certificates in PEM.") from None


__all__ = ["Address", "Proxy", "address", "is_loopback", "proxy_for", "trust"]
