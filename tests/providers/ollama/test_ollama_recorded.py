"""What Ollama sent: text, reasoning, tool calls, finish and usage equal the official package's reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dialects import spec_errors
from recorded import folded, load, read, sizes, wire

from llmsdk_providers.ollama import Ollama, Settings

if TYPE_CHECKING:
    from ollama_witness import Witness

PROVIDER = Ollama("recorded", Settings(base_url="http://127.0.0.1:1"))
FULL = {"/api/chat": 19, "/api/generate": 12}
"""Exchanges at the time of writing: fewer means that the reader lost some."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    pytest.importorskip("ollama", reason="the witness is the official package")
    from ollama_witness import Witness

    witness = Witness()
    yield witness
    witness.close()


@pytest.mark.parametrize("endpoint", FULL)
def test_replies_are_read_as_the_official_package_reads_them(
    shared_data: Path, witness: Witness, endpoint: str
) -> None:
    # whether a reply is a stream shows in the request: some recorders dropped the content type
    exchanges = [replace(e, streamed=e.request.get("stream", True)) for e in load(shared_data, "ollama", endpoint)]
    assert len(exchanges) >= FULL[endpoint]
    for exchange in exchanges:
        official, mine = witness.read(exchange, chat=endpoint == "/api/chat"), read(PROVIDER, exchange)
        if official.error:
            assert (official.status, mine.status, mine.error) == (404, 404, "NotFound"), exchange.name
        else:
            without_ids = tuple(("", *call[1:]) for call in mine.calls)  # the package does not show them
            assert replace(mine, calls=without_ids) == official, exchange.name
        assert all(read(PROVIDER, exchange, size) == mine for size in sizes(exchange)), exchange.name


def test_embeddings_too(shared_data: Path, witness: Witness) -> None:
    exchanges = list(load(shared_data, "ollama", "/api/embed"))
    assert exchanges
    for exchange in exchanges:
        official = witness.embed(exchange)
        reply = folded(PROVIDER.embed("m", ["x"] * len(official.embeddings), wire(exchange)))
        assert reply.output == tuple(map(tuple, official.embeddings)), exchange.name
        assert reply.usage is not None
        assert reply.usage.input_tokens == official.prompt_eval_count


def test_requests_satisfy_the_description_of_the_service(shared_data: Path) -> None:
    from test_ollama_encode import BODIES

    for path, body in BODIES:
        assert spec_errors(shared_data, "ollama.openapi.yaml", path, body) == [], body
