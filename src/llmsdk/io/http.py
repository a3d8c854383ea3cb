"""Connections over httpx2's transport layer: through a proxy, and over HTTP/2. What is direct is ``io.origin``'s.

This is the only file that imports an HTTP library; ``llmsdk.io.pools`` loads it when it is needed.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast

import anyio
import httpcore2

from llmsdk.errors import ConfigError, InvalidBody
from llmsdk.io import Clock, HTTPRequest, TransportOptions
from llmsdk.io.exchange import Body, headers_of
from llmsdk.io.guard import LoopGuard, SyncGuard
from llmsdk.io.http1 import MAX_FIELDS
from llmsdk.io.hush import hush
from llmsdk.io.limit import Limit, Wait
from llmsdk.io.route import Address, Proxy, proxy_for, trust
from llmsdk.io.sockets import SyncNetwork
from llmsdk.io.streams import LoopNetwork
from llmsdk.secret import Masked

T = TypeVar("T")

KEEP_IDLE = 30.0
"""Seconds that an unused connection is kept."""
KEEP_COUNT = 100


def system_trust() -> ssl.SSLContext:
    """The certificates that httpx2 trusts by default; it honours SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpcore2.default_ssl_context()


@lru_cache(maxsize=1024)
def _url(to: Address) -> httpcore2.URL:
    return httpcore2.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)


def _proxy(proxy: Proxy, options: TransportOptions) -> httpcore2.Proxy:
    credentials = None
    if proxy.credentials:
        credentials = (Masked(proxy.credentials[0].encode()), Masked(proxy.credentials[1].encode()))
    return httpcore2.Proxy(
        httpcore2.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target=b"/"),
        auth=credentials,
        ssl_context=trust(options, http2=False) if proxy.scheme == "https" else None,
    )


def _check_extras(options: TransportOptions, proxy: Proxy | None) -> None:
    if options.http2:
        _need("h2", "http2=True", "httpx2[http2]")
    if proxy is not None and proxy.scheme.startswith("socks"):
        _need("socksio", f"the proxy {proxy.label}", "httpx2[socks]")


def _need(module: str, what: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ConfigError(f"{what} needs the package {module!r}", hint=f'pip install "{extra}"')


def _prepare(request: HTTPRequest, to: Address, limit: Limit) -> httpcore2.Request:
    timeout = {"connect": limit, "read": limit, "write": limit, "pool": limit.clock.left("pool")}
    return httpcore2.Request(
        request.method,
        _url(to),
        headers=headers_of(request, to),
        content=request.body,
        extensions={"timeout": timeout},
    )


# --- the reply --------------------------------------------------------------------------------------------------


class _SyncBody:
    def __init__(self, response: Any, limit: Limit, shared: bool) -> None:
        self._response = response
        self._parts = iter(response.stream)

    async def more(self) -> bytes:
        return cast("bytes", next(self._parts, b""))

    async def aclose(self) -> None:
        self._parts.close()
        self._response.close()


class _LoopBody:
    def __init__(self, response: Any, limit: Limit, shared: bool) -> None:
        self._response = response
        self._parts = aiter(response.stream)
        self._limit = limit if shared else None

    async def more(self) -> bytes:
        if self._limit is None:
            return cast("bytes", await anext(self._parts, b""))
        return cast("bytes", await _bounded(anext(self._parts, b""), self._limit, "receive"))

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._parts.aclose()
            await self._response.aclose()


# --- pools ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CoreLink:
    """A pool of connections towards one origin, and what is known about the way there."""

    handle: Callable[[httpcore2.Request], Awaitable[Any]]
    body: Callable[[Any, Limit, bool], Body]
    shut: Callable[[], Awaitable[None]]
    proxy: Proxy | None
    layers: int
    http2: bool

    @property
    def greeting(self) -> Literal["", "http", "socks"]:
        if self.proxy is None:
            return ""
        return "socks" if self.proxy.scheme.startswith("socks") else "http"

    async def send(self, request: HTTPRequest, to: Address, clock: Clock) -> tuple[int, Mapping[str, str], Body]:
        """Send a request and wait for the head of its reply."""
        hush(request.secrets)
        limit = Limit(clock, self.layers, greeting=self.greeting)
        prepared = _prepare(request, to, limit)
        response: Any = None
        try:
            if self.http2 and self.body is _LoopBody:
                response = await _bounded(self.handle(prepared), limit, "receive")
            else:
                response = await self.handle(prepared)
        finally:
            # The library forgets a connection that fails during a SOCKS greeting.
            if response is None and limit.stream is not None and not self.http2:
                await limit.stream.aclose()
        assert response is not None
        if len(response.headers) > MAX_FIELDS:
            await self.body(response, limit, self.http2).aclose()
            raise InvalidBody(f"the head of the reply is of more than {MAX_FIELDS} headers")
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        return response.status, headers, self.body(response, limit, self.http2)

    async def aclose(self) -> None:
        await self.shut()


class _SyncPool(httpcore2.ConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> Any:
        return SyncGuard(super().create_connection(origin), httpcore2.ConnectionNotAvailable)


class _LoopPool(httpcore2.AsyncConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> Any:
        return LoopGuard(super().create_connection(origin), httpcore2.ConnectionNotAvailable)


def connect_sync(options: TransportOptions, to: Address) -> CoreLink:
    """A pool of blocking connections. Opens nothing yet."""

    def link(pool: Any, *how: Any) -> CoreLink:
        async def handle(request: httpcore2.Request) -> Any:
            return pool.handle_request(request)

        async def aclose() -> None:
            pool.close()

        return CoreLink(handle, _SyncBody, aclose, *how)

    return _link(options, to, _SyncPool, SyncNetwork(httpcore2.WriteError), link)


def connect_loop(options: TransportOptions, to: Address) -> CoreLink:
    """A pool of connections on a loop. Opens nothing yet."""

    def link(pool: Any, *how: Any) -> CoreLink:
        return CoreLink(pool.handle_async_request, _LoopBody, pool.aclose, *how)

    return _link(options, to, _LoopPool, LoopNetwork(httpcore2.WriteError), link)


def _link(
    options: TransportOptions, to: Address, kind: Callable[..., Any], network: Any, link: Callable[..., CoreLink]
) -> CoreLink:
    proxy = proxy_for(options, to)
    _check_extras(options, proxy)
    secure = to.scheme == "https"
    pool = kind(
        ssl_context=trust(options, http2=options.http2) if secure else None,
        proxy=_proxy(proxy, options) if proxy else None,
        max_connections=options.max_connections,
        max_keepalive_connections=KEEP_COUNT,
        keepalive_expiry=KEEP_IDLE,
        http2=options.http2,
        network_backend=network,
    )
    return link(pool, proxy, int(secure) + int(proxy is not None and proxy.scheme == "https"), options.http2)


async def _bounded(waiting: Awaitable[T], limit: Limit, wait: Wait) -> T:
    """HTTP/2 shares a connection: one request may wait for the turn of another, which its own limit cannot see."""
    left = limit.left(wait)
    if left is None:
        return await waiting
    with anyio.CancelScope(deadline=anyio.current_time() + left) as scope:
        return await waiting
    assert scope.cancelled_caught
    return limit.expire(wait)


__all__ = ["CoreLink", "connect_loop", "connect_sync", "system_trust"]
