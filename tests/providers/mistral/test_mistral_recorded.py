"""What Mistral sent: text, reasoning, tool calls, finish and usage equal the official package's reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dialects import spec_errors
from recorded import Exchange, Reading, load, read, sizes

from llmsdk_providers.mistral import Mistral, Settings

if TYPE_CHECKING:
    from mistral_witness import Witness

PROVIDER = Mistral("recorded", Settings(base_url="http://127.0.0.1:1/v1"))
FULL = 55
"""Chat exchanges at the time of writing: fewer means that the reader lost some."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    pytest.importorskip("mistralai", reason="the witness is the official package")
    from mistral_witness import Witness

    witness = Witness()
    yield witness
    witness.close()


def test_chat_is_read_as_the_official_package_reads_it(shared_data: Path, witness: Witness) -> None:
    exchanges = list(load(shared_data, "mistral"))
    assert len(exchanges) >= FULL
    faults = []
    for exchange in exchanges:
        official, mine = meant(witness.read(exchange), exchange), read(PROVIDER, exchange)
        if mine != official:
            faults.append(f"{exchange.name}: {official} read as {mine}")
        if any(read(PROVIDER, exchange, size) != mine for size in sizes(exchange)):
            faults.append(f"{exchange.name}: in pieces read as another reply")
    assert faults == []


def meant(official: Reading, exchange: Exchange) -> Reading:
    """A 0 that stands under ``num_cached_tokens`` alone is read as not told, as for every host of the dialect."""
    if official.usage is not None and official.usage[2] == 0 and b'"cached_tokens"' not in exchange.body:
        official.usage = (*official.usage[:2], None, *official.usage[3:])
    return official


def test_requests_satisfy_the_description_of_the_service(shared_data: Path) -> None:
    from test_mistral_encode import BODIES

    for path, body in BODIES:
        assert spec_errors(shared_data, "mistral.openapi.yaml", path, body) == [], body
