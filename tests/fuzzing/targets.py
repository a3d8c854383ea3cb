"""All that can be fuzzed: what is run, what it is fed with, and how that is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from fuzzing import callers, changes, decoders, seeds
from fuzzing.changes import Change
from fuzzing.hosts import HOSTS, Reader

Run = Callable[[int, bytes], str]
"""Of a byte that says how, and of the input: how it ended, in a word. Whatever it raises is a finding."""


@dataclass(frozen=True)
class Target:
    """``seeds`` and the inputs of ``changed`` begin with the byte that says how."""

    run: Run
    seeds: Callable[[Path | None], list[bytes]]
    change: Change

    def __call__(self, data: bytes) -> str:
        return self.run(data[0] if data else 0, data[1:])

    def changed(self, data: bytes, chance: Random) -> bytes:
        if chance.random() < 0.05:
            return chance.randbytes(1) + data[1:]
        return data[:1] + self.change(data[1:], chance)[: changes.LARGEST]


def _bytes(count: int, size: int) -> list[bytes]:
    chance = Random(0)  # noqa: S311 - no secret
    return [b"\0", *(chance.randbytes(size) for _ in range(count))]


def _host(name: str) -> Target:
    reader = Reader(HOSTS[name])
    return Target(reader, partial(seeds.of_host, name=name, reader=reader), reader.change)


MAKERS: dict[str, Callable[[], Target]] = {
    "sse": lambda: Target(decoders.sse, seeds.sse, changes.sse),
    "ndjson": lambda: Target(decoders.ndjson, seeds.ndjson, changes.lines),
    "eventstream": lambda: Target(decoders.eventstream, seeds.frames, changes.frames),
    "http": lambda: Target(decoders.http, seeds.http, changes.reply),
    "compressed": lambda: Target(decoders.compressed, seeds.compressed, changes.packed),
    **{name: partial(_host, name) for name in HOSTS},
    "toml": lambda: Target(callers.toml, lambda _: callers.toml_seeds(), callers.toml_changed),
    "tables": lambda: Target(callers.tables, lambda _: _bytes(60, 120), changes.noise),
    "verbs": lambda: Target(callers.verbs, lambda _: _bytes(200, 120), changes.noise),
}
SHARES = {
    "sse": 2_000_000, "ndjson": 2_500_000, "http": 1_500_000, "compressed": 2_000_000, "eventstream": 500_000,
    **dict.fromkeys(HOSTS, 125_000), "toml": 200_000, "tables": 300_000, "verbs": 500_000,
}  # fmt: skip
"""Inputs of a whole run: 10 million for what decodes, 1 million for configuration and the verbs."""
