"""A provider over HTTP: what its settings are, and how a request becomes bytes and bytes become events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from llmsdk.errors import BadResponse, DeadlineExceeded, LLMError, Transient
from llmsdk.io import IO, MAX_BODY, HTTPReply, HTTPRequest, TransportOptions, closing
from llmsdk.io.sse import MAX_EVENT
from llmsdk.provider.contract import CONTRACT, Capabilities
from llmsdk.provider.reading import Frames, StreamDecoder, Streamed, whole
from llmsdk.secret import Hidden, Secret
from llmsdk.settings import Settings, setting
from llmsdk.types import Event, Request

LINGER = 0.05
"""Seconds that a stream which has ended may take to be over."""
LARGE = 2**20
"""Bytes of a body above which it is read on a thread, so that no loop stands still for it."""
MAX_ERROR = 2**16
"""Bytes of a refusal's body that are read. Some hosts answer with a page of several megabytes."""


def _bare(url: str | None) -> str | None:
    if url is not None and "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("must hold no credentials: give the key as api_key or in a header")
    return url


def _sends(client: Any) -> Any:
    if client is not None and not (hasattr(client, "send") and hasattr(client, "build_request")):
        raise ValueError(f"a {type(client).__name__} is no httpx2 or httpx client")
    return client


class HTTPSettings(Settings):
    """Settings that every provider over HTTP has."""

    api_key: Secret | None = None
    base_url: str | None = setting(None, min_length=1, check=_bare)
    proxy: Secret | None = None
    """A URL, which may hold a password."""
    ca_bundle: str | None = None
    client_cert: str | tuple[str, str] | None = None
    headers: dict[str, Secret] = setting(factory=dict)
    http2: bool = False
    max_connections: int | None = None
    max_body: int | None = setting(None, gt=0)
    """Bytes of a reply that are read at most, and a quarter of those of a stream; ``None`` is the provider's own."""
    max_event: int | None = setting(None, gt=0)
    """Bytes of one event of a stream at most; ``None`` is the provider's own."""
    allow_plain_http: bool = False
    """Send the key over plain http to a host that is not this machine."""
    http_client: Any = setting(None, check=_sends)
    idempotent: bool = False
    """The host does a request with the same ``Idempotency-Key`` once, so that what may have run may be sent again."""
    prices: str | None = None
    """Whose prices hold, such as ``openai``, where ``base_url`` is not a vendor's own address."""


class HTTPProvider(ABC):
    """A provider over HTTP, from four pure functions: ``encode``, ``decode``, ``decoder`` and ``error``."""

    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[Any]] = HTTPSettings
    key_variables: ClassVar[tuple[str, ...]] = ()
    loop_bound: ClassVar[bool] = False
    finds_credentials: ClassVar[bool] = False
    """Without ``api_key`` it looks for credentials on this machine, which a file that is not trusted may not direct."""
    max_body: int = MAX_BODY
    """Bytes of a reply, after decompression, that are read at most, where the settings do not say."""
    max_event: int = MAX_EVENT
    """Bytes of one event of a stream at most, likewise."""

    def __init__(self, name: str, settings: HTTPSettings) -> None:
        self.name = name
        self.settings = settings
        self.max_body = settings.max_body or self.max_body
        self.max_event = settings.max_event or self.max_event
        self.transport: TransportOptions = TransportOptions(
            proxy=None if settings.proxy is None else Hidden(settings.proxy.reveal()),
            ca_bundle=settings.ca_bundle,
            client_cert=settings.client_cert,
            http2=settings.http2,
            max_connections=settings.max_connections,
            client=settings.http_client,
        )

    @abstractmethod
    def capabilities(self, model: str) -> Capabilities: ...

    @abstractmethod
    def encode(self, request: Request) -> HTTPRequest:
        """The request as it goes over the wire."""

    @abstractmethod
    def decode(self, body: bytes, request: Request) -> Iterable[Event]:
        """The events of a whole, buffered reply."""

    @abstractmethod
    def decoder(self, request: Request) -> StreamDecoder:
        """A fresh reader for one streamed reply."""

    def frames(self) -> Frames | None:
        """How a stream is cut, where that is not by server-sent events."""
        return None

    @abstractmethod
    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        """The typed error for a reply that is not 2xx. ``body`` is cut to a sensible length and free of secrets."""

    async def prepare(self, request: HTTPRequest, io: IO) -> HTTPRequest:
        """The request with what has to be fetched for it first, such as a token that expires."""
        return request

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        if io.clock is not None:
            io.clock.stream = request.stream
        reply = await io.send(await self.prepare(self.encode(request), io))
        try:
            if not 200 <= reply.status < 300:
                raise await self.failure(reply)
            if not request.stream:
                body = await reply.read(self.max_body)
                events: Iterable[Event] = whole(self, body, request)
                if len(body) > LARGE:
                    events = await io.run(partial(list, events))
                for event in events:
                    yield event
                return
            streamed = Streamed(self, request)
            async with closing(reply.chunks()) as chunks:
                async for chunk in chunks:
                    for event in streamed.feed(chunk):
                        yield event
                    if streamed.done:
                        await _drain(chunks, io)
                        break
            for event in streamed.end():
                yield event
        finally:
            await reply.aclose()

    async def failure(self, reply: HTTPReply) -> LLMError:
        """Read the body of a reply that is not 2xx, as far as it is worth it, and make the typed error of it."""
        body = b""
        try:
            async with closing(reply.chunks()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) >= MAX_ERROR:
                        break
        except (Transient, BadResponse):
            pass  # the status came whole, and says more than the break in what follows it
        error = self.error(reply.status, reply.headers, body[:MAX_ERROR])
        error.status = error.status or reply.status
        return error

    async def aclose(self) -> None:
        """Nothing to close: connections belong to the client."""


async def _drain(chunks: AsyncIterator[bytes], io: IO) -> None:
    """Read what may follow the end of a stream, so that the connection can be used again. A host that keeps it open, or
    goes on, is not listened to for long."""
    if io.clock is not None:
        io.clock.close_in(LINGER)
    with suppress(Transient, BadResponse, DeadlineExceeded):
        async for _ in chunks:
            pass
