"""HTTP over the transport layer of httpx2: pooled connections, no redirects, no retries, every wait on the clock.

This is the only file that imports an HTTP library; ``llmsdk.io.pools`` loads it at the first request.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NoReturn, Protocol, Self, TypeVar, cast

import anyio
import httpcore2

from llmsdk.errors import ClientClosed, ConfigError, InputError, InvalidBody, LLMError, ResponseTooLarge
from llmsdk.io import Clock, HTTPRequest, TransportOptions
from llmsdk.io.body import Decoder, decoder
from llmsdk.io.faults import Place, redirected, translate
from llmsdk.io.guard import LoopGuard, SyncGuard
from llmsdk.io.hush import hush
from llmsdk.io.limit import Limit, Wait
from llmsdk.io.route import Address, Proxy, proxy_for, trust
from llmsdk.io.sockets import SyncNetwork
from llmsdk.io.streams import LoopNetwork

T = TypeVar("T")

KEEP_IDLE = 30.0
"""Seconds that an unused connection is kept."""
KEEP_COUNT = 100
MAX_BODY = 64 * 2**20

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f]+(?:[ \t]+[^\x00-\x20\x7f]+)*)?")
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def system_trust() -> ssl.SSLContext:
    """The certificates that httpx2 trusts by default; it honours SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpcore2.default_ssl_context()


@lru_cache(maxsize=1024)
def _url(to: Address) -> httpcore2.URL:
    return httpcore2.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)


class _Masked(bytes):
    """Credentials that the HTTP library writes to its debug log."""

    def __repr__(self) -> str:
        return "***"


def _proxy(proxy: Proxy, options: TransportOptions) -> httpcore2.Proxy:
    credentials = None
    if proxy.credentials:
        credentials = (_Masked(proxy.credentials[0].encode()), _Masked(proxy.credentials[1].encode()))
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


# --- the request ------------------------------------------------------------------------------------------------


def headers_of(request: HTTPRequest, to: Address) -> list[tuple[bytes, bytes]]:
    """The headers as they go out, the ones that HTTP itself needs added.

    Raises:
        InputError: a header that HTTP does not allow. Its value may be a key and is not shown.
    """
    if (problem := _problem(request)) is not None:
        raise InputError(problem, argument="headers", hint=_HEADER_HINT)
    result = list(request.headers)
    names = {name.lower() for name, _ in result}
    if b"host" not in names:
        result.insert(0, (b"Host", to.authority))
    if b"accept-encoding" not in names:
        result.append((b"Accept-Encoding", b"gzip, deflate"))
    if request.body or request.method not in ("GET", "HEAD", "DELETE"):
        result.append((b"Content-Length", b"%d" % len(request.body)))
    return result


_HEADER_HINT = "Look for a line break, a NUL or a blank at its ends, such as a newline behind a key from a file."


def _problem(request: HTTPRequest) -> str | None:
    """What is wrong with the headers. Told rather than raised from here: a traceback may show the locals of a frame."""
    for name, value in request.headers:
        if name.lower() in _OURS or not _NAME.fullmatch(name):
            return f"the header {name!r} cannot be set"
        if not _VALUE.fullmatch(value):
            return f"the header {name!r} holds a character that HTTP forbids"
    return None


def _prepare(request: HTTPRequest, to: Address, limit: Limit) -> httpcore2.Request:
    timeout = {"connect": limit, "read": limit, "write": limit, "pool": limit.clock.left("send")}
    return httpcore2.Request(
        request.method,
        _url(to),
        headers=headers_of(request, to),
        content=request.body,
        extensions={"timeout": timeout},
    )


# --- the reply --------------------------------------------------------------------------------------------------


class Body(Protocol):
    """What is left to read of a reply."""

    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> bytes: ...
    async def aclose(self) -> None: ...


class _SyncBody:
    def __init__(self, response: Any, limit: Limit, shared: bool) -> None:
        self._response = response
        self._parts = iter(response.stream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for part in self._parts:
            return cast("bytes", part)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._parts.close()
        self._response.close()


class _LoopBody:
    def __init__(self, response: Any, limit: Limit, shared: bool) -> None:
        self._response = response
        self._parts = aiter(response.stream)
        self._limit = limit if shared else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._limit is None:
            return cast("bytes", await anext(self._parts))
        return cast("bytes", await _bounded(anext(self._parts), self._limit, "receive"))

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._parts.aclose()
            await self._response.aclose()


class Reply:
    """A reply whose body has not been read yet; see ``HTTPReply``."""

    __slots__ = ("_body", "_closed", "_decoder", "_fail", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: Body, fail: Callable[[Exception], LLMError]):
        self.status: int = status
        self.headers: Mapping[str, str] = headers
        self._body = body
        self._fail = fail
        self._decoder: Decoder | None = None
        self._closed = False

    def unpack(self) -> Self:
        """Undo the Content-Encoding while reading."""
        encoding = self.headers.get("content-encoding")
        self._decoder = decoder(encoding) if encoding else None
        return self

    async def chunks(self) -> AsyncGenerator[bytes]:
        failure: LLMError | None = None
        unpack = self._decoder
        try:
            async for data in self._body:
                if unpack is None:
                    yield data
                    continue
                for piece in unpack.feed(data):
                    yield piece
            if unpack is not None:
                unpack.finish()
        except Exception as error:  # noqa: BLE001 - whatever the library raises, its types must not get out
            failure = self._fail(error)
        if failure is not None:
            await self.aclose()
            raise failure

    async def read(self, limit: int = MAX_BODY) -> bytes:
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await self._too_large(limit)
        parts: list[bytes] = []
        size = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                size += len(chunk)
                if size > limit:
                    await self._too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _too_large(self, limit: int) -> NoReturn:
        await self.aclose()
        raise ResponseTooLarge(f"the reply is larger than {limit} bytes")

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await self._body.aclose()


# --- sending ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A pool of connections towards one origin, and what is known about the way there."""

    handle: Callable[[httpcore2.Request], Awaitable[Any]]
    body: Callable[[Any, Limit, bool], Body]
    aclose: Callable[[], Awaitable[None]]
    proxy: Proxy | None
    layers: int
    http2: bool

    @property
    def greeting(self) -> Literal["", "http", "socks"]:
        if self.proxy is None:
            return ""
        return "socks" if self.proxy.scheme.startswith("socks") else "http"


class _SyncPool(httpcore2.ConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> Any:
        return SyncGuard(super().create_connection(origin), httpcore2.ConnectionNotAvailable)


class _LoopPool(httpcore2.AsyncConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> Any:
        return LoopGuard(super().create_connection(origin), httpcore2.ConnectionNotAvailable)


def connect_sync(options: TransportOptions, to: Address) -> Link:
    """A pool of blocking connections. Opens nothing yet."""

    def link(pool: Any, *how: Any) -> Link:
        async def handle(request: httpcore2.Request) -> Any:
            return pool.handle_request(request)

        async def aclose() -> None:
            pool.close()

        return Link(handle, _SyncBody, aclose, *how)

    return _link(options, to, _SyncPool, SyncNetwork(httpcore2.WriteError), link)


def connect_loop(options: TransportOptions, to: Address) -> Link:
    """A pool of connections on a loop. Opens nothing yet."""

    def link(pool: Any, *how: Any) -> Link:
        return Link(pool.handle_async_request, _LoopBody, pool.aclose, *how)

    return _link(options, to, _LoopPool, LoopNetwork(httpcore2.WriteError), link)


def _link(
    options: TransportOptions, to: Address, kind: Callable[..., Any], network: Any, link: Callable[..., Link]
) -> Link:
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


async def send(request: HTTPRequest, clock: Clock, link: Link, to: Address, closed: Callable[[], bool]) -> Reply:
    """Send a request and wait for the head of its reply; see ``IO.send``."""
    place = Place(to, link.proxy, request.secrets)
    limit = Limit(clock, link.layers, greeting=link.greeting)

    def fail(error: Exception) -> LLMError:
        if closed():
            return ClientClosed("the client was closed while a request was under way")
        return translate(error, clock, place)

    hush(request.secrets)
    prepared = _prepare(request, to, limit)
    failure: LLMError | None = None
    response = None
    try:
        if link.http2 and link.body is _LoopBody:
            response = await _bounded(link.handle(prepared), limit, "receive")
        else:
            response = await link.handle(prepared)
    except Exception as error:  # noqa: BLE001 - whatever the library raises, its types must not get out
        failure = fail(error)
    finally:
        # The library forgets a connection that fails during a SOCKS greeting.
        if response is None and limit.stream is not None and not link.http2:
            await limit.stream.aclose()
    if failure is not None or response is None:
        raise failure or AssertionError
    headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    reply = Reply(response.status, headers, link.body(response, limit, link.http2), fail)
    return await checked(reply, place)


async def checked(reply: Reply, place: Place) -> Reply:
    """The reply, unless its head already says that it cannot be used; then it is closed."""
    failure: LLMError
    if 300 <= reply.status < 400:
        failure = redirected(reply.status, reply.headers.get("location", ""), place)
    elif reply.status < 200:
        failure = InvalidBody(f"{place.address.label} answered with the interim status {reply.status}")
    else:
        try:
            return reply.unpack()
        except InvalidBody as error:
            failure = error
    await reply.aclose()
    raise failure


__all__ = ["Link", "Reply", "checked", "connect_loop", "connect_sync", "headers_of", "send", "system_trust"]
