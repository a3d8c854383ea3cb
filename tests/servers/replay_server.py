"""Recorded replies over a real socket, compressed: the road of a user's call, down to the decompression.

One server and one connection serve all of a module's; ``tests/providers/conftest.py`` closes them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from recorded import Exchange, cut
from servers.http_server import Answer, HTTPServer, Recorded

from llmsdk.io import HTTPReply, HTTPRequest
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO

PIECE = 997
"""Bytes that are compressed at a time, so that pieces end anywhere."""
_HOP = frozenset({"connection", "keep-alive", "upgrade", "trailer"})
"""Headers of the connection that was recorded, not of this one."""


class ReplayServer(HTTPServer):
    """Answers every request with one reply."""

    def __init__(self) -> None:
        super().__init__()
        self.gzip = True
        self.answer = Answer()

    def handle(self, request: Recorded) -> Answer:
        return self.answer


class _Line:
    """An ``io`` that sends every request to the server, wherever it was to go."""

    clock = None

    def __init__(self, server: ReplayServer, pools: Pools) -> None:
        self.server = server
        self._io = SyncIO(pools)

    async def send(self, request: HTTPRequest) -> HTTPReply:
        reply = await self._io.send(replace(request, url=self.server.origin))
        assert reply.headers["content-encoding"] == "gzip"
        return reply


_open = ExitStack()
_lines: list[_Line] = []


def answering(exchange: Exchange) -> Any:
    """An ``io`` that answers every request with the exchange, compressed."""
    if not _lines:
        pools = Pools()
        server = _open.enter_context(ReplayServer())
        _open.callback(pools.close)
        _lines.append(_Line(server, pools))
    line = _lines[0]
    line.server.clear()
    headers = {name: value for name, value in exchange.plain_headers.items() if name not in _HOP}
    body = cut(exchange.body, PIECE) if exchange.streamed else exchange.body
    line.server.answer = Answer(exchange.status, body, headers)
    return line


def close() -> None:
    """End the server and its connections, if there are any."""
    _lines.clear()
    _open.close()
