"""What Cohere sent: text, reasoning, tool calls, finish and usage equal the official package's reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dialects import spec_errors
from recorded import folded, load, read, sizes, wire

from llmsdk_providers.cohere import Cohere, Settings

if TYPE_CHECKING:
    from cohere_witness import Witness

PROVIDER = Cohere("recorded", Settings(base_url="http://127.0.0.1:1"))
FULL = 38
"""Chat exchanges at the time of writing: fewer means that the reader lost some."""
LAGS = ("response_format: ",)
"""It says "one of", told apart by ``type``, of two forms that both admit the other's fields."""
KINDS = {"UnauthorizedError": "Unauthorized"}


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    pytest.importorskip("cohere", reason="the witness is the official package")
    from cohere_witness import Witness

    witness = Witness()
    yield witness
    witness.close()


def test_chat_is_read_as_the_official_package_reads_it(shared_data: Path, witness: Witness) -> None:
    exchanges = list(load(shared_data, "cohere", "/v2/chat"))
    assert len(exchanges) >= FULL
    for exchange in exchanges:
        official, mine = witness.read(exchange), read(PROVIDER, exchange)
        official.error = official.error and KINDS[official.error]
        assert mine == official, exchange.name
        assert all(read(PROVIDER, exchange, size) == mine for size in sizes(exchange)), exchange.name


def test_embeddings_too(shared_data: Path, witness: Witness) -> None:
    exchanges = list(load(shared_data, "cohere", "/v2/embed"))
    assert exchanges
    for exchange in exchanges:
        official = witness.embed(exchange)
        vectors = official.embeddings.float_
        reply = folded(PROVIDER.embed("m", ["x"] * len(vectors), wire(exchange)))
        assert reply.output == tuple(map(tuple, vectors)), exchange.name
        assert reply.usage is not None
        assert reply.usage.input_tokens == official.meta.billed_units.input_tokens


def test_requests_satisfy_the_description_of_the_service(shared_data: Path) -> None:
    from test_cohere_encode import BODIES

    for path, body in BODIES:
        found = spec_errors(shared_data, "cohere.openapi.yaml", path, body)
        assert [fault for fault in found if not fault.startswith(LAGS)] == [], body
