"""Many requests in a row through ``local:pocket``: memory must stay flat, and nothing may be left behind.

``python scripts/soak/engine.py [REQUESTS]`` prints the resident memory as it goes, and ends with 1 if it has grown.
"""

from __future__ import annotations

import gc
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from llmsdk import Client
from llmsdk.accounting import ledger
from llmsdk.errors import InputError

WARM = 0.2
"""Share of the requests after which memory is taken for settled."""
GROWTH = 4.0
"""MiB that it may grow from then on: allocators take and give back in pieces."""


def asked(client: Client) -> Iterator[Callable[[], object]]:
    """Requests of all kinds, those that fail and those that are left among them, no two alike in a row."""

    def left() -> None:
        with client.chat("Tell me a story.", stream=True) as stream:
            next(iter(stream))

    def refused() -> None:
        try:
            client.complete("x", logit_bias={10**6: 1.0})
        except InputError:
            return
        raise AssertionError("it was not refused")

    kinds: tuple[Callable[[int], object], ...] = (
        lambda n: client.complete(f"Day {n}: it is", max_tokens=8),
        lambda n: client.chat(f"Hello number {n}!", max_tokens=8),
        lambda n: client.chat("Hi!", max_tokens=8, temperature=1.0, top_p=0.9, seed=n),
        lambda n: client.classify(f"the film number {n} is great", ["good", "bad"]),
        lambda n: client.chat(f"Is {n} a number?", max_tokens=40, output=bool),
        lambda n: left(),
        lambda n: refused(),
    )
    for n, kind in enumerate(cycle(kinds)):
        yield lambda n=n, kind=kind: kind(n)  # type: ignore[misc]


def resident() -> float:
    """MiB of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def soak(count: int, show: Callable[[str], object] = print) -> float:
    """MiB that the process has grown by since it had settled."""
    ledger.KEEP = 100  # rows that stay readable are no leak, but would look like one
    settings = {"providers": {"local": {"threads": 1, "kv_memory": 4}}}
    settled = grown = 0.0
    with Client("local:pocket", config=settings) as client:
        for n, ask in enumerate(islice(asked(client), count), 1):
            ask()
            if n == int(WARM * count):
                settled = resident()
            if n % max(1, count // 10) == 0:
                grown = resident() - settled if settled else 0.0
                show(f"{n} requests, {resident():.1f} MiB, {threading.active_count()} threads")
    return grown


def main() -> int:
    grown = soak(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    print(f"grown by {grown:.1f} MiB since it had settled")
    return int(grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
