"""One request and its reply, over whichever connection: what goes out, what comes back, and what a failure means."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import NoReturn, Protocol, Self

from llmsdk.errors import ClientClosed, InputError, InvalidBody, LLMError, ResponseTooLarge
from llmsdk.io import LARGER, MAX_BODY, Clock, HTTPRequest
from llmsdk.io.body import Decoder, decoder
from llmsdk.io.faults import Place, redirected, refused_by_proxy, translate
from llmsdk.io.route import Address, Proxy

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f]+(?:[ \t]+[^\x00-\x20\x7f]+)*)?")
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class Body(Protocol):
    """What is left to read of a reply."""

    async def more(self) -> bytes:
        """The next piece; empty at the end."""
        ...

    async def aclose(self) -> None: ...


class Link(Protocol):
    """The connections to one origin, and what is known about the way there."""

    @property
    def proxy(self) -> Proxy | None: ...

    async def send(self, request: HTTPRequest, to: Address, clock: Clock) -> tuple[int, Mapping[str, str], Body]:
        """Status, headers (names in lower case) and body of the reply.

        Raises:
            Exception: of any kind; ``faults.translate`` makes a typed error of it.
        """
        ...

    async def aclose(self) -> None: ...


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


# --- the reply --------------------------------------------------------------------------------------------------


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

    def unpack(self, place: Place) -> Self:
        """Undo the Content-Encoding while reading."""
        encoding = self.headers.get("content-encoding")
        self._decoder = decoder(encoding, place.quote) if encoding else None
        return self

    async def chunks(self) -> AsyncGenerator[bytes]:
        if self._decoder is None:
            while data := await self._more():
                yield data
            return
        failure: LLMError | None = None
        try:
            while data := await self._body.more():
                for piece in self._decoder.feed(data):
                    yield piece
            self._decoder.finish()
        except Exception as error:  # noqa: BLE001 - whatever the library raises, its types must not get out
            failure = self._fail(error)
        if failure is not None:
            await self.aclose()
            raise failure

    async def _more(self) -> bytes:
        """What comes next over the wire; empty at the end."""
        failure: LLMError
        try:
            return await self._body.more()
        except Exception as error:  # noqa: BLE001 - as above
            failure = self._fail(error)
        await self.aclose()
        raise failure

    async def read(self, limit: int = MAX_BODY) -> bytes:
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await self._too_large(limit)
        parts: list[bytes] = []
        size = 0
        if self._decoder is None:
            while size <= limit and (data := await self._more()):
                parts.append(data)
                size += len(data)
        else:
            async with aclosing(self.chunks()) as chunks:
                async for data in chunks:
                    parts.append(data)
                    size += len(data)
                    if size > limit:
                        break
        if size > limit:
            parts.clear()  # which a traceback would keep
            await self._too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _too_large(self, limit: int) -> NoReturn:
        await self.aclose()
        raise ResponseTooLarge(f"the reply is larger than {limit} bytes", hint=LARGER)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await self._body.aclose()


# --- sending ----------------------------------------------------------------------------------------------------


async def send(request: HTTPRequest, clock: Clock, link: Link, to: Address, closed: Callable[[], bool]) -> Reply:
    """Send a request and wait for the head of its reply; see ``IO.send``."""
    place = Place(to, link.proxy, request.secrets, safe=request.method == "GET")

    def fail(error: Exception) -> LLMError:
        if closed():
            return ClientClosed("the client was closed while a request was under way")
        return translate(error, clock, place)

    failure: LLMError
    try:
        status, headers, body = await link.send(request, to, clock)
    except Exception as error:  # noqa: BLE001 - whatever the library raises, its types must not get out
        failure = fail(error)
    else:
        if clock.heard is not None:
            clock.heard(headers)
        return await checked(Reply(status, headers, body, fail), place)
    raise failure


async def checked(reply: Reply, place: Place) -> Reply:
    """The reply, unless its head already says that it cannot be used; then it is closed."""
    failure: LLMError
    if 300 <= reply.status < 400:
        failure = redirected(reply.status, reply.headers.get("location", ""), place)
    elif reply.status == 407 and place.proxy is not None:
        failure = refused_by_proxy("407 Proxy Authentication Required", place)
    elif reply.status < 200:
        failure = InvalidBody(f"{place.address.label} answered with the interim status {reply.status}")
    else:
        try:
            return reply.unpack(place)
        except InvalidBody as error:
            failure = error
    await reply.aclose()
    raise failure


__all__ = ["Body", "Link", "Reply", "checked", "headers_of", "send"]
