"""A fast OpenAI-compatible server with canned bytes, in a process of its own: what is left to measure is the client.

Prints its port. HTTP/1.1 with keep-alive on a raw protocol. The model says what comes back: ``now`` at once, ``wait``
after 50 ms, ``large`` a megabyte. A streamed reply has ``CHUNKS`` events in one go with ``burst``, each in an HTTP
chunk of its own, and one a millisecond with ``paced``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from pin import pin

ANSWER = "It is sunny in Rome today, and it will stay so until the evening."
CHUNKS = 2000
PACED = 500
LARGE = "sunny in Rome, " * 70_000
USAGE = {"prompt_tokens": 14, "completion_tokens": 16, "total_tokens": 30}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1700000000, "model": "gpt-x", "system_fingerprint": "fp_1"}
_MODEL = re.compile(rb'"model":"([a-z]+)"')


def pieces(count: int) -> list[str]:
    """The text of a stream: each differs from the last, since some client takes repetition for a fault."""
    return [f" {number:05}" for number in range(count)]


def whole(answer: str) -> bytes:
    message = {"role": "assistant", "content": answer, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def streamed(count: int) -> list[bytes]:
    """A head with the first of ``count`` pieces of text, the others, and the end."""
    first, *others = pieces(count)
    chunks = [chunk({"role": "assistant", "content": first}, None)]
    chunks += [chunk({"content": piece}, None) for piece in others]
    chunks += [chunk({}, "stop"), {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}]
    events = [f"data: {json.dumps(item)}\n\n".encode() for item in chunks] + [b"data: [DONE]\n\n"]
    framed = [b"%x\r\n%b\r\n" % (len(event), event) for event in events] + [b"0\r\n\r\n"]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head + framed[0], *framed[1:count], b"".join(framed[count:])]


class Canned(asyncio.Protocol):
    small, large = whole(ANSWER), whole(LARGE)
    burst, paced = b"".join(streamed(CHUNKS)), streamed(PACED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.seen = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        self.seen += data
        end = self.seen.find(b"\r\n\r\n")
        if end < 0 or len(self.seen) < (size := end + 4 + self.length(bytes(self.seen[:end]))):
            return
        body = bytes(self.seen[end + 4 : size]).replace(b" ", b"")
        del self.seen[:size]
        found = _MODEL.search(body)
        self.answer(found[1] if found else b"")

    def answer(self, model: bytes) -> None:
        write = self.transport.write
        match model:
            case b"wait":
                asyncio.get_running_loop().call_later(0.05, write, self.small)
            case b"large":
                write(self.large)
            case b"burst":
                write(self.burst)
            case b"paced":
                self.pace(0)
            case _:
                write(self.small)

    def pace(self, number: int) -> None:
        if number < len(self.paced) and not self.transport.is_closing():
            self.transport.write(self.paced[number])
            asyncio.get_running_loop().call_later(0.001, self.pace, number + 1)

    @staticmethod
    def length(head: bytes) -> int:
        lines = head.lower().split(b"\r\n")
        return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us closes the pipe


if __name__ == "__main__":
    pin(1)
    asyncio.run(serve())
