"""A client that the user made, of httpx2 or httpx, used as it is. Told apart by its methods: neither is imported."""

from __future__ import annotations

import inspect
from typing import Any, cast

from llmsdk.errors import ConfigError, LLMError
from llmsdk.io import Clock, HTTPReply, HTTPRequest
from llmsdk.io.faults import Place, translate
from llmsdk.io.route import Address


class _Body:
    """The body as it comes: unpacking it is ours, in pieces. Only what the client has read already (a mock) it has
    unpacked too. Its own timeouts hold for a single read, ours between reads."""

    def __init__(self, response: Any, clock: Clock, loop: bool) -> None:
        self._response = response
        self._clock = clock
        self._loop = loop
        raw = not response.is_stream_consumed
        parts = ("aiter_raw" if raw else "aiter_bytes") if loop else ("iter_raw" if raw else "iter_bytes")
        self._parts = getattr(response, parts)()

    async def more(self) -> bytes:
        self._clock.left("receive")
        data = await anext(self._parts, b"") if self._loop else next(self._parts, b"")
        self._clock.received += len(data)
        return cast("bytes", data)

    async def aclose(self) -> None:
        if not self._loop:
            self._parts.close()
            self._response.close()
            return
        import anyio

        with anyio.CancelScope(shield=True):
            await self._parts.aclose()
            await self._response.aclose()


async def send(request: HTTPRequest, clock: Clock, to: Address, *, loop: bool) -> HTTPReply:
    """Send a request with the user's client.

    Raises:
        ConfigError: the object is no client, or one for the other face.
    """
    from llmsdk.io.exchange import Reply, checked, headers_of
    from llmsdk.io.hush import hush

    hush(request.secrets)
    client = request.options.client
    _check(client, loop)
    place = Place(to, None, request.secrets)
    connect, write, read = clock.left("connect"), clock.left("send"), clock.left("receive")
    clock.sent, clock.reused = True, False

    def fail(error: Exception) -> LLMError:
        if _before_sending(error):
            clock.sent = False
        return translate(error, clock, place)

    prepared = client.build_request(
        request.method,
        request.url,
        headers=headers_of(request, to),
        content=request.body,
        timeout=(connect, read, write, write),
    )
    failure: LLMError | None = None
    response: Any = None
    try:
        response = client.send(prepared, stream=True, follow_redirects=False)
        response = await response if loop else response
    except Exception as error:  # noqa: BLE001 - whatever the client raises, its types must not get out
        failure = fail(error)
    if failure is not None:
        raise failure
    headers = {name.lower(): value for name, value in response.headers.multi_items()}
    if response.is_stream_consumed:
        headers.pop("content-encoding", None)
    if clock.heard is not None:
        clock.heard(headers)
    return await checked(Reply(response.status_code, headers, _Body(response, clock, loop), fail), place)


def _check(client: Any, loop: bool) -> None:
    method = getattr(client, "send", None)
    if method is None or not hasattr(client, "build_request"):
        raise ConfigError(f"http_client is a {type(client).__name__}, not an httpx2 or httpx client")
    if inspect.iscoroutinefunction(method) != loop:
        kind = "AsyncClient" if loop else "Client"
        hint = "With hedge= the blocking client asks over a loop too: leave that out, or http_client." if loop else ""
        raise ConfigError(
            f"http_client has the other kind of methods; give llmsdk's {kind} an httpx2.{kind}", hint=hint
        )


def _before_sending(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})


__all__ = ["send"]
