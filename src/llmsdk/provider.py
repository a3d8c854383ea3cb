"""The contract between llmsdk and a backend.

A provider has one generating method. Whatever else it can do (score candidates, embed, count tokens, list models,
translate without being asked in words) it shows by implementing one more small protocol; there are no flags for methods
and none that only raise.

Writing one: see docs/providers/writing-one.md. A host that speaks HTTP subclasses ``HTTPProvider`` and gives pure
functions: a request to bytes, bytes to events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from llmsdk.errors import BadResponse, DeadlineExceeded, InvalidBody, LLMError, ResponseTooLarge, Transient
from llmsdk.io import IO, LARGER, MAX_BODY, HTTPReply, HTTPRequest, TransportOptions, closing
from llmsdk.io.sse import ServerSentEvent, SSEDecoder
from llmsdk.secret import Hidden, Secret
from llmsdk.settings import Settings, setting
from llmsdk.types import Event, Info, Request, TokenCount

Native = Literal["translate", "answer", "classify"]
"""The verbs that a model may be made for."""
Schema = Literal["none", "json", "strict"]
SCHEMAS: tuple[Schema, ...] = get_args(Schema)
"""From the loosest to the best."""
CONTRACT = 1
"""Version of this contract. The registry refuses a provider that was written for another."""
LINGER = 0.05
"""Seconds that a stream which has ended may take to be over."""
STREAMED = 4
"""How many times as long as a whole body a stream may be: each token of it is wrapped in some hundred bytes."""
LARGE = 2**20
"""Bytes of a body above which it is read on a thread, so that no loop stands still for it."""
MAX_ERROR = 2**16
"""Bytes of a refusal's body that are read. Some hosts answer with a page of several megabytes."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model of a provider can do. The verbs choose their route by it, before any I/O."""

    complete: bool = False
    """Continues a raw prompt."""
    suffix: bool = False
    """Fills in between a prompt and a suffix."""
    chat: bool = True
    schema: Schema = "none"
    """``strict`` holds the reply to a JSON schema, ``json`` only to some JSON object."""
    logprobs: int = 0
    """How many alternatives a token may report; 0 is none."""
    tools: bool = False
    options: frozenset[str] = frozenset({"max_tokens", "temperature", "top_p", "stop"})
    """The fields of ``Request`` that are honoured beyond model, input and stream."""
    context: int | None = None
    """The window in tokens, where known."""
    output: int | None = None
    """Tokens of one reply at most where the caller sets no ``max_tokens``, where known: what a budget reserves."""
    native: frozenset[Native] = frozenset()
    """The verbs that this very model is made for. They are then not asked in words, but by ``Translates``, ``Answers``
    and ``Classifies``, which are the provider's. Many such models have neither ``chat`` nor ``complete``."""

    def __and__(self, other: Capabilities) -> Capabilities:
        """What both can. Of windows and replies the smaller and the larger, as far as they are known: what surely fits,
        and what may have to be paid for."""
        return Capabilities(
            complete=self.complete and other.complete,
            suffix=self.suffix and other.suffix,
            chat=self.chat and other.chat,
            schema=SCHEMAS[min(SCHEMAS.index(self.schema), SCHEMAS.index(other.schema))],
            logprobs=min(self.logprobs, other.logprobs),
            tools=self.tools and other.tools,
            options=self.options & other.options,
            context=min((n for n in (self.context, other.context) if n is not None), default=None),
            output=None if self.output is None or other.output is None else max(self.output, other.output),
            native=self.native & other.native,
        )


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
    allow_plain_http: bool = False
    """Send the key over plain http to a host that is not this machine."""
    http_client: Any = setting(None, check=_sends)
    idempotent: bool = False
    """The host does a request with the same ``Idempotency-Key`` once, so that what may have run may be sent again."""
    prices: str | None = None
    """Whose prices hold, such as ``openai``, where ``base_url`` is not a vendor's own address."""


class Provider(Protocol):
    """A backend. One instance serves every thread and loop of a client.

    Constructed as ``Provider(name, settings)`` with ``settings`` an instance of its own ``Settings``; construction
    checks the settings, opens nothing, and raises ``ConfigError`` for what cannot work.
    """

    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[Any]]
    """A class of ``Settings``, or a pydantic model that refuses unknown keys."""
    key_variables: ClassVar[tuple[str, ...]] = ()
    """The vendor's own environment variables for ``api_key``, tried in order."""
    loop_bound: ClassVar[bool] = False
    """It awaits an event loop of its own choice; the sync client then runs it on a portal thread."""
    name: str

    def capabilities(self, model: str) -> Capabilities: ...

    def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """The reply as events: text as it comes, usage, and ``Finish`` for each choice if and only if it is whole."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Scores(Protocol):
    """Says how probable each candidate is as the whole reply to ``request``, in one go."""

    def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output(tuple[Score, ...])``, one score a candidate, in order."""
        ...


@runtime_checkable
class Embeds(Protocol):
    def embed(self, model: str, texts: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` and ``Output(tuple[tuple[float, ...], ...])``, one vector a text, in order."""
        ...


@runtime_checkable
class Counts(Protocol):
    def count(self, request: Request) -> TokenCount | None:
        """Count the input tokens of a request without a network. May block on disk the first time.

        ``None``: there is no tokenizer to count with; the caller estimates.
        """
        ...


@runtime_checkable
class Lists(Protocol):
    def models(self, io: IO) -> AsyncIterator[Event]:
        """Yield ``Output(tuple[Model, ...])``."""
        ...


@runtime_checkable
class CountsExactly(Protocol):
    def count_exactly(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """Ask the host how many input tokens a request has: yield ``Output(TokenCount(..., "exact"))``."""
        ...


@runtime_checkable
class Describes(Protocol):
    def describe(self, model: str) -> str | None:
        """How a model would run here, in a few words for people; ``None`` where that is not known yet.

        Nothing is loaded or sent. Raises the error that keeps the model from running, where that is known.
        """
        ...


@runtime_checkable
class Translates(Protocol):
    def translate(self, request: Request, to: str, source: str | None, io: IO) -> AsyncIterator[Event]:
        """Yield the translation of ``request.input`` as text, ``Usage`` where known, and ``Finish`` when it is whole.

        ``to`` and ``source`` are BCP-47 tags; without ``source`` the model has to find out.

        Raises:
            InputError: a language that the model does not translate to or from, or ``source`` missing where it needs
                one; before anything is sent.
        """
        ...


@runtime_checkable
class Answers(Protocol):
    def answer(self, request: Request, documents: Sequence[str], io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` where known, and ``Output(tuple[Span, ...])``: where in the documents the answer to the
        question in ``request.input`` stands, the best first; none where it does not.
        """
        ...


@runtime_checkable
class Classifies(Protocol):
    def classify(self, request: Request, labels: Sequence[str], multi: bool, io: IO) -> AsyncIterator[Event]:
        """Yield ``Usage`` where known, and ``Output(dict[str, float])``: the probability of each label for the text in
        ``request.input``, each by itself if ``multi``, else adding up to 1.

        A model whose labels are fixed gives all that it has, whatever ``labels`` says; the caller compares.
        """
        ...


class Frames(Protocol):
    """Cuts the bytes of a stream into events, however they come in."""

    def feed(self, chunk: bytes) -> Iterable[ServerSentEvent]: ...


class StreamDecoder(Protocol):
    """Reads one streamed reply. Holds the state of that reply and nothing else.

    One that knows when the stream has ended, before the host hangs up, has a ``done`` that says so.
    """

    def feed(self, event: ServerSentEvent) -> Iterable[Event]: ...


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

    def __init__(self, name: str, settings: HTTPSettings) -> None:
        self.name = name
        self.settings = settings
        self.max_body = settings.max_body or self.max_body
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
        async with closing(await io.send(await self.prepare(self.encode(request), io))) as reply:
            if not 200 <= reply.status < 300:
                raise await self.failure(reply)
            if not request.stream:
                body = await reply.read(self.max_body)
                events: Iterable[Event] = self._document(body, request)
                if len(body) > LARGE:
                    events = await io.run(partial(list, events))
                for event in events:
                    yield event
                return
            streamed = _Streamed(self, request)
            async with closing(reply.chunks()) as chunks:
                async for chunk in chunks:
                    for event in streamed.feed(chunk):
                        yield event
                    if streamed.done:
                        await _drain(chunks, io)
                        break
            for event in streamed.end():
                yield event

    def _document(self, body: bytes, request: Request) -> Iterator[Event]:
        """The events of a whole body, which is read once more, with less strictness, if it is no valid Unicode."""
        event: Event | None = None
        try:
            for event in self.decode(body, request):
                yield event
        except InvalidBody:
            from llmsdk.mending import WARNING, mended

            text = mended(body)
            if event is not None or text is None:
                raise
            yield from self.decode(text, request)
            yield Info(warning=WARNING)
        yield Info(raw=body)

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


class _Streamed:
    """One streamed reply as it is read. A host that ignores ``stream``, or that has an error or a page to show, sends a
    document in its place, which is kept whole. Other frames than server-sent events may look like one.
    """

    __slots__ = ("_begun", "_decoder", "_document", "_frames", "_provider", "_request", "_seen", "_size")

    def __init__(self, provider: HTTPProvider, request: Request) -> None:
        self._provider, self._request = provider, request
        self._decoder = provider.decoder(request)
        frames = provider.frames()
        self._frames: Frames = frames or SSEDecoder()
        self._begun = frames is not None
        self._document: bytearray | None = None
        self._seen: list[bytes] = []
        self._size = 0

    @property
    def done(self) -> bool:
        """Whether the host has said that nothing follows."""
        return getattr(self._decoder, "done", False)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes."""
        self._size += len(chunk)
        if self._size > STREAMED * self._provider.max_body:
            self._seen.clear()
            raise ResponseTooLarge(f"the stream is longer than {STREAMED * self._provider.max_body} bytes", hint=LARGER)
        if not self._begun:
            self._begin(chunk)
        if self._document is not None:
            self._keep(self._document, chunk)
            return
        for message in self._frames.feed(chunk):
            if self.done:
                return  # what follows the end is not read, whether it comes in the same piece or in the next
            self._seen.append(message.data)
            event: Event | None = None
            try:
                for event in self._decoder.feed(message):
                    yield event
            except InvalidBody:
                if event is not None or not self._mends(message):
                    raise
                yield from self._decoder.feed(message)

    def end(self) -> Iterator[Event]:
        """The events at the end of it: all of them, where a document came in its place."""
        if self._document is None:
            yield Info(raw=tuple(self._seen))
        else:
            yield from self._provider._document(bytes(self._document), self._request)

    def _begin(self, chunk: bytes) -> None:
        start = chunk.lstrip()[:1]
        self._begun = bool(start)
        if start in (b"{", b"[", b"<"):  # a line of an event stream begins with a name or a colon
            self._document = bytearray()

    def _keep(self, document: bytearray, chunk: bytes) -> None:
        document += chunk
        limit = self._provider.max_body
        if len(document) > limit:
            document.clear()  # which a traceback would keep
            raise ResponseTooLarge(f"the reply is larger than {limit} bytes", hint=LARGER)

    def _mends(self, message: ServerSentEvent) -> bool:
        """Whether an event that was not understood may be from now on, since it is no valid Unicode."""
        from llmsdk.mending import Mending, marked

        if isinstance(self._decoder, Mending) or marked(message.data) is None:
            return False
        self._decoder = Mending(self._decoder)
        return True


__all__ = [
    "CONTRACT",
    "LARGE",
    "Answers",
    "Capabilities",
    "Classifies",
    "Counts",
    "CountsExactly",
    "Describes",
    "Embeds",
    "Frames",
    "HTTPProvider",
    "HTTPSettings",
    "Lists",
    "Native",
    "Provider",
    "Scores",
    "Secret",
    "Settings",
    "StreamDecoder",
    "Translates",
    "setting",
]
