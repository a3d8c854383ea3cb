"""A provider bound to one host and one key: everything but the dialect's pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NoReturn

from llmsdk.errors import InvalidBody, LLMError
from llmsdk.io import IO, HTTPRequest, closing
from llmsdk.provider import LARGE, HTTPProvider, HTTPSettings
from llmsdk.secret import revealed
from llmsdk.wire import faults, token
from llmsdk.wire.host import Host, built, check_base_url, check_key
from llmsdk.wire.json import parse

_WAY = frozenset({
    "proxy", "ca_bundle", "client_cert", "http2", "max_body", "max_connections", "max_event",
    "http_client", "token_provider", "prices",
})  # fmt: skip
"""Settings that change no answer."""


def _told(value: Any) -> str:
    """A setting as text, its secrets too: for a hash."""
    found = revealed(value)
    return str(found) if isinstance(found, str) else repr(found)


class Hosted(HTTPProvider):
    """Subclass it with ``capabilities``, ``encode``, ``decode`` and ``decoder``, and say how the host takes its key.

    Raises:
        MissingKey, ConfigError: settings that cannot work; nothing is opened or sent.
    """

    base_url: ClassVar[str]
    """Where the vendor's own host is."""
    endpoints: ClassVar[tuple[str, ...]] = ()
    """The dialect's own paths, which do not belong into ``base_url``."""
    codes: ClassVar[Mapping[str, type[LLMError]]] = {}
    """Error codes and types of the dialect, in lower case, that mean the same whatever the status."""

    def __init__(self, name: str, settings: HTTPSettings) -> None:
        super().__init__(name, settings)
        self._token: token.Source | None = getattr(settings, "token_provider", None)
        url = check_base_url(name, settings.base_url or self.base_url, settings, self.endpoints)
        self.host: Host = Host(url, built(self.headers(self._key(url)), settings), self.transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.host.url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a provider holds a key and is not pickled; make it anew from the configuration")

    @property
    def tariff(self) -> str:
        """Whose prices hold: those of the host that is asked, unless the settings name another's."""
        return self.settings.prices or self.host.url

    @property
    def account(self) -> str:
        """The host and who asks, without showing the key: who has the same one shares limits."""
        return self.host.account

    def fingerprint(self, key: bytes) -> str:
        """What tells whom this asks, and how, from others; a hash by ``key``. The way there does not matter."""
        settings = ((name, _told(value)) for name, value in vars(self.settings).items() if name not in _WAY)
        return self.host.digest(key, self.name, *(text for setting in settings for text in setting))

    @property
    def idempotent(self) -> bool:
        """Whether the host does a request with the same ``Idempotency-Key`` only once."""
        return self.settings.idempotent

    def headers(self, key: str | None) -> Mapping[str, str | None]:
        """The dialect's own headers of every request; those that are ``None`` are left out."""
        return {"authorization": f"Bearer {key}" if key else None}

    def key_required(self) -> bool | None:
        """``None``: where the host is not this machine."""
        return None

    def _key(self, url: str) -> str | None:
        vendor = self.settings.base_url is None or self.name in self.vendor_names()
        variable = self.key_variables[0] if self.key_variables and vendor else None
        return check_key(self.name, self.settings, url, variable, self.key_required())

    def vendor_names(self) -> tuple[str, ...]:
        """Names under which the vendor's own environment variable counts for any ``base_url``."""
        return ()

    async def prepare(self, request: HTTPRequest, io: IO) -> HTTPRequest:
        """The request with a fresh token, where the settings have a ``token_provider`` (``wire.token.Source``).

        Raises:
            Unauthorized: the source gave none.
        """
        if self._token is None:
            return request
        return self.host.bearing(request, await token.fetch(self._token, io))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        return faults.from_reply(status, headers, body, self.host.secrets, self.codes)

    async def ask(self, request: HTTPRequest, io: IO) -> Any:
        """The JSON of a reply that is no stream.

        Raises:
            LLMError: the typed error for a refusal, or for an error inside a reply that seemed well.
        """
        body = await self.fetch(request, io)
        return self.parsed(body, io) if len(body) <= LARGE else await io.run(partial(self.parsed, body, io))

    async def fetch(self, request: HTTPRequest, io: IO) -> bytes:
        """The body of a reply that is no stream.

        Raises:
            LLMError: the typed error for a refusal.
        """
        async with closing(await io.send(await self.prepare(request, io))) as reply:
            if not 200 <= reply.status < 300:
                raise await self.failure(reply)
            return await reply.read(self.max_body)

    def parsed(self, body: bytes, io: IO) -> Any:
        """The JSON of a body whose status was well. Of one that is no valid Unicode the result has a warning.

        Raises:
            LLMError: the typed error inside it, or ``InvalidBody``.
        """
        value = self._value(body, io)
        if isinstance(value, dict) and faults.is_error(value):
            raise faults.from_body(value, self.host.secrets, self.codes)
        return value

    def _value(self, body: bytes, io: IO) -> Any:
        try:
            return parse(body, self.host.secrets)
        except InvalidBody:
            from llmsdk.mending import WARNING, mended

            text = mended(body)
            if text is None:
                raise
            value = parse(text, self.host.secrets)
            if io.clock is not None:
                io.clock.note(WARNING)
            return value
