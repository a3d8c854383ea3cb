"""One host's address, key and headers, checked once and prebuilt for every request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from typing import Any, NoReturn

from llmsdk.errors import ConfigError, InputError, MissingKey
from llmsdk.io import HTTPRequest, TransportOptions
from llmsdk.io.route import address
from llmsdk.provider import HTTPSettings
from llmsdk.secret import Hidden, Masked, is_secret, revealed
from llmsdk.types import Request
from llmsdk.wire.json import dump

Header = tuple[bytes, bytes]
LATEST = 32
"""Secrets that came with requests, not with the settings, that are looked for in what the host says."""
_SALT = os.urandom(32)
_ASCII = "Use printable ASCII, without line breaks."


class Host:
    """One host's address and headers. The headers hold the key, so they show nowhere."""

    __slots__ = ("_headers", "_lasting", "_options", "secrets", "url")

    def __init__(self, url: str, headers: tuple[Header, ...], options: TransportOptions) -> None:
        self.url: str = url
        self._headers = headers
        self._options = options
        self._lasting = secrets_of(headers)
        self.secrets: tuple[str, ...] = self._lasting
        """What must show in no error and no log."""

    def __repr__(self) -> str:
        return f"Host({self.url!r})"

    @property
    def account(self) -> str:
        """What tells one key at one host from others. It changes with every process and leads back to no key."""
        digest = blake2b(digest_size=16, key=_SALT)
        for secret in self._lasting:
            digest.update(b"%d:" % len(secret) + secret.encode())
        return f"{address(self.url).label}#{digest.hexdigest()}"

    def digest(self, key: bytes, *more: str) -> str:
        """A hash of address, headers and ``more`` that leads back to none of them without ``key``."""
        digest = blake2b(digest_size=32, key=key)
        texts = [text.encode() for text in (self.url, *more)]
        for part in [*texts, *(part for header in self._headers for part in header)]:
            digest.update(b"%d:" % len(part) + part)
        return digest.hexdigest()

    def __reduce__(self) -> NoReturn:
        raise TypeError("headers with a key in them are not pickled")

    def get(self, path: str) -> HTTPRequest:
        headers = [header for header in self._headers if header[0] != b"content-type"]
        return HTTPRequest("GET", self.url + path, headers, b"", self._options, self.secrets)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        request: Request | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPRequest:
        """A request with ``body`` as JSON, with the extra headers of ``request`` and ``headers`` of its own.

        Raises:
            InputError: the body holds what JSON cannot, or a header what no header can.
        """
        content = dump(body)
        extra = {**(headers or {}), **(_extra(request) if request is not None else {})}
        if not extra:
            return HTTPRequest("POST", self.url + path, self._headers, content, self._options, self.secrets)
        try:
            added = encoded(extra)
        except ValueError as error:
            raise InputError(f"a header cannot be sent: {error}", argument="extra", hint=_ASCII) from None
        self.hide(*secrets_of(added))
        return HTTPRequest("POST", self.url + path, merged(self._headers, added), content, self._options, self.secrets)

    def hide(self, *secrets: str) -> None:
        """Let secrets that came after the settings show in no error either: the latest of them, since they change."""
        if not set(secrets) <= set(self.secrets):
            latest = dict.fromkeys((*map(Hidden, secrets), *self.secrets[len(self._lasting) :]))
            self.secrets = (*self._lasting, *islice(latest, LATEST))

    def bearing(self, request: HTTPRequest, token: str) -> HTTPRequest:
        """``request`` with ``token`` in the place of a key. From now on the token shows in no error either."""
        self.hide(token)
        headers = merged(request.headers, ((b"authorization", Masked(f"Bearer {token}".encode())),))
        return replace(request, headers=headers, secrets=self.secrets)


def _extra(request: Request) -> dict[str, str]:
    own = {"idempotency-key": request.idempotency_key} if request.idempotency_key is not None else {}
    return own | dict(request.extra_headers)


# --- headers ------------------------------------------------------------------------------------------------------


def built(own: Mapping[str, str | None], settings: HTTPSettings) -> tuple[Header, ...]:
    """The headers of every request: JSON, the dialect's ``own`` (without those that are ``None``), the user's.

    Raises:
        ConfigError: one that cannot be sent. No text shows its value.
    """
    usual = {"content-type": "application/json", "user-agent": "llmsdk"}  # some hosts refuse requests without one
    named = usual | {name: value for name, value in own.items() if value}
    try:
        return merged(encoded(named), encoded(revealed(settings.headers)))
    except ValueError as error:
        raise ConfigError(f"a header cannot be sent: {error}", hint=_ASCII) from None


def encoded(headers: Mapping[str, str]) -> tuple[Header, ...]:
    """Headers as bytes. What is wrong with a value is said by the header's name: it may be a secret."""
    for name, value in headers.items():
        if not name or not name.isascii() or not name.isprintable() or any(mark in name for mark in " :"):
            raise ValueError(f"{name!r} is no name of a header")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ValueError(f"the value of {name!r} has characters that no header has")
    return tuple((name.lower().encode(), _bytes(name, value)) for name, value in headers.items())


def _bytes(name: str, value: str) -> bytes:
    return Masked(value.encode()) if is_secret(name) else value.encode()


def secrets_of(headers: Sequence[Header]) -> tuple[str, ...]:
    """What of some headers must not show."""
    named = (value.decode() for name, value in headers if is_secret(name.decode()))
    return tuple(Hidden(value.removeprefix("Bearer ")) for value in named)


def merged(headers: Sequence[Header], others: Sequence[Header]) -> tuple[Header, ...]:
    """``headers`` with ``others``, of which each takes the place of its namesake."""
    names = {name for name, _ in others}
    return (*(header for header in headers if header[0] not in names), *others)


# --- address ------------------------------------------------------------------------------------------------------


def check_base_url(name: str, url: str, settings: HTTPSettings, endpoints: Sequence[str] = ()) -> str:
    """The base URL without a slash at its end.

    ``endpoints`` are the dialect's own paths, which are often pasted with it.

    Raises:
        ConfigError: no http(s) URL, or one with a query, credentials or the dialect's own path; or one that would
            send a key, a token or a header that looks like one unencrypted to another machine.
    """
    place = f"[providers.{name}] base_url"
    to = address(url)
    if "?" in url or "#" in url:
        raise ConfigError(f"{place} must have neither query nor fragment", hint="Give the rest as headers.")
    path = to.target.decode().rstrip("/")
    if endpoint := next((end for end in endpoints if path.endswith(end)), None):
        hint = f"Leave {endpoint} out: base_url is what precedes the dialect's own path."
        raise ConfigError(f"{place} ends in {endpoint}", hint=hint)
    if to.scheme == "http" and (secret := _secret(settings)) and not (to.loopback or settings.allow_plain_http):
        hint = f"Use https, or set allow_plain_http = true if that network may read {secret}."
        raise ConfigError(f"{place} would send {secret} unencrypted to {to.label}", hint=hint)
    return url.rstrip("/")


def _secret(settings: HTTPSettings) -> str | None:
    """What of the settings would travel and is for nobody else to see."""
    if settings.api_key:
        return "the key"
    if any(getattr(settings, name, None) for name in ("token", "token_provider")):
        return "the token"
    return next((f"the header {name!r}" for name in settings.headers if is_secret(name)), None)


# --- key ----------------------------------------------------------------------------------------------------------


def check_key(
    name: str, settings: HTTPSettings, base_url: str, variable: str | None, required: bool | None = None
) -> str | None:
    """The key, or ``None`` where none is needed.

    ``variable`` is the vendor's environment variable, which counts by itself where the host is the vendor's;
    ``None`` for another host, whose variable must be named in the configuration. Without ``required``, a key is
    needed where ``base_url`` is not this machine.

    Raises:
        MissingKey: there is none, or an empty one.
        ConfigError: one that cannot be sent. No text shows it.
    """
    key = settings.api_key.reveal() if settings.api_key is not None else None
    if required is None:
        required = not address(base_url).loopback
    if key is None and not required:
        return None
    if key is None or not key.strip():
        raise _missing(name, variable, empty=key is not None)
    if fault := fault_of(key):
        raise ConfigError(f"the API key of {name!r} {fault}", hint="Copy the key again, and nothing but the key.")
    return key


def _missing(name: str, vendor: str | None, *, empty: bool) -> MissingKey:
    variable = vendor or f"{name.upper().replace('-', '_')}_API_KEY"
    line = f'[providers.{name}] api_key = {{ env = "{variable}" }} in llmsdk.toml'
    what = f"{'an empty' if empty else 'no'} API key for {name!r}"
    ways = f"Set {variable}, or write {line}" if vendor else f"Set {variable}, and write {line}"
    return MissingKey(what, hint=f'{ways}; to try without a key use "local:pocket"')


def fault_of(key: str) -> str | None:
    """What is wrong with a key or a token, in words that do not show it."""
    if key.lower().startswith("bearer "):
        return 'begins with "Bearer ", which is added for you'
    if not key.isascii():
        return "has characters outside ASCII"
    if any(mark in key for mark in "\r\n\0"):
        return "has a line break or a NUL character in it"
    if not key.isprintable() or " " in key:
        return "has white space or control characters in it"
    if key[0] in "\"'" or key[-1] in "\"'":
        return "has quotation marks around it"
    return None
