"""A fast OpenAI-compatible server with canned bytes, in a process of its own: what is left to measure is the client.

Prints its port. HTTP/1.1 with keep-alive on a raw protocol; a streamed reply is one burst of ``CHUNKS`` events, each in
an HTTP chunk of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pin import pin

ANSWER = "It is sunny in Rome today, and it will stay so until the evening."
CHUNKS = 2000
PIECE = " word"
USAGE = {"prompt_tokens": 14, "completion_tokens": 16, "total_tokens": 30}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1700000000, "model": "gpt-x", "system_fingerprint": "fp_1"}


def whole() -> bytes:
    message = {"role": "assistant", "content": ANSWER, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def streamed() -> bytes:
    chunks = [chunk({"role": "assistant", "content": PIECE}, None)]
    chunks += [chunk({"content": PIECE}, None)] * (CHUNKS - 1)
    chunks += [chunk({}, "stop"), {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}]
    events = [f"data: {json.dumps(item)}\n\n".encode() for item in chunks] + [b"data: [DONE]\n\n"]
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + body


class Canned(asyncio.Protocol):
    whole, streamed = whole(), streamed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.seen = transport, b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, split, rest = self.seen.partition(b"\r\n\r\n")
        if split and len(rest) >= (length := self.length(head)):
            body, self.seen = rest[:length], rest[length:]
            reply = self.streamed if b'"stream":true' in body.replace(b" ", b"") else self.whole
            self.transport.write(reply)  # type: ignore[attr-defined]

    @staticmethod
    def length(head: bytes) -> int:
        lines = head.lower().split(b"\r\n")
        return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us closes the pipe


if __name__ == "__main__":
    pin(1)
    asyncio.run(serve())
