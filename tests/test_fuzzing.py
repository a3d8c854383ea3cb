"""The short form of ``scripts/fuzz``: a few inputs for everything that is fuzzed, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import decoders, engine
from fuzzing.targets import MAKERS, SHARES, Target

from llmsdk.io.sse import ServerSentEvent

INPUTS = 120


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_but_typed_errors_comes_out(name: str, shared_data: Path) -> None:
    log = engine.chance(MAKERS[name](), INPUTS, 0, shared_data, patience=None)
    assert not log.findings
    assert sum(log.outcomes.values()) == INPUTS
    assert len(log.outcomes) > 1, "all inputs ended alike: they do not get far"


def test_a_whole_run_has_its_shares() -> None:
    callers = SHARES["toml"] + SHARES["tables"] + SHARES["verbs"]
    assert SHARES.keys() == MAKERS.keys()
    assert sum(SHARES.values()) - callers >= 10_000_000
    assert callers >= 1_000_000


def test_what_must_not_be_is_kept() -> None:
    def run(way: int, data: bytes) -> str:
        if data.endswith(b"!"):
            raise ZeroDivisionError(f"{data!r}")
        return "fine"

    log = engine.Log(Target(run, lambda shared: [], lambda data, chance: data))
    for data in (b"\0a", b"\0b!", b"\0c!", b""):
        log.tried(data)
    assert log.outcomes == {"fine": 2, "FOUND": 2}
    assert next(iter(log.findings.values())) == b"\0b!"
    assert all("ZeroDivisionError" in finding for finding in log.findings)


def test_the_slow_readers_are_right() -> None:
    stream = b"\xef\xbb\xbf: hello\r\nevent: a\r\ndata:  x\rdata:y\n\r\nevent: b\n\ndata: z\r\r\ndata\n\ndata: cut"
    assert list(decoders.by_the_standard(stream)) == [ServerSentEvent(b" x\ny", "a"), ServerSentEvent(b"z")]
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    assert decoders.read([reply]) == decoders.by_h11(reply) == (200, b"hi")
