"""How long after its deadline a call ends that a host holds up, by each drip fault of the matrix, on each face.

.venv/bin/python scripts/soak/drips.py --times 20
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

import anyio

from llmsdk import AsyncClient, Client
from llmsdk.errors import LLMError
from llmsdk.testing import Fault, FaultServer, faults

DEADLINE = 0.5
FACES = ("sync", "asyncio", "trio")
WORDS = b'data: {"choices": [{"index": 0, "delta": {"content": "word "}}]}\n\n'
DRIPS: dict[str, Fault] = {
    "nothing at all": faults.hang(),
    "silence after the head": faults.hang(after=0),
    "silence after words": Fault(body=[WORDS], end="hang", headers=faults.EVENT_STREAM),
    "a byte of the head now and then": faults.drip_head(0.02),
    "a byte of the body now and then": Fault(piece=1, pause=0.02),
    "comments for ever": faults.comments(0.02),
    "words for ever": Fault(body=[WORDS], forever=WORDS, pause=0.02, headers=faults.EVENT_STREAM),
    "a line without end": faults.endless(b"data: a"),
}


def late(face: str, host: FaultServer, streamed: bool) -> float:
    """Seconds past its deadline at which a call ended, closed and settled; infinite if it did not fail."""
    config = host.config(retry={"attempts": 1}, circuit={"failures": 0}, timeouts={"idle": 30})
    if face == "sync":
        with Client("openai:any", config=config) as client:
            return _late(client, streamed)

    async def main() -> float:
        async with AsyncClient("openai:any", config=config) as client:
            return await _late_async(client, streamed)

    return anyio.run(main, backend=face)


def _late(client: Client, streamed: bool) -> float:
    began, failed = time.monotonic(), True
    with suppress(LLMError):
        if streamed:
            list(client.chat("x", stream=True, deadline=DEADLINE))
        else:
            client.chat("x", deadline=DEADLINE)
        failed = False
    return _judged(client, time.monotonic() - began, failed)


async def _late_async(client: AsyncClient, streamed: bool) -> float:
    began, failed = time.monotonic(), True
    with suppress(LLMError):
        if streamed:
            async with client.chat("x", stream=True, deadline=DEADLINE) as stream:
                async for _ in stream:
                    pass
        else:
            await client.chat("x", deadline=DEADLINE)
        failed = False
    return _judged(client, time.monotonic() - began, failed)


def _judged(client: Any, took: float, failed: bool) -> float:
    assert client.ledger.open == ()
    return took - DEADLINE if failed else float("inf")


def measure(times: int) -> dict[str, float]:
    """The latest end of all calls, by face and drip."""
    worst: dict[str, float] = defaultdict(float)
    with FaultServer("word " * 40) as host:
        for _ in range(times):
            for face in FACES:
                for name, fault in DRIPS.items():
                    for streamed in (False, True):
                        host.inject(fault)
                        key = f"{face}: {name}"
                        worst[key] = max(worst[key], late(face, host, streamed))
                        host.clear()
    return dict(worst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    worst = measure(parser.parse_args().times)
    for name, seconds in worst.items():
        print(f"{name:45} + {seconds * 1000:6.1f} ms")
    print(f"at most + {max(worst.values()) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
