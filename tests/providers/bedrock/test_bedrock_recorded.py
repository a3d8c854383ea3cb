"""What Bedrock sent: text, reasoning, tool calls, finish and usage equal botocore's reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from recorded import Exchange, folded, load, read, sizes, wire

from llmsdk.errors import LLMError
from llmsdk.types import Message, Request, TokenCount
from llmsdk_providers.bedrock import Bedrock, Settings

if TYPE_CHECKING:
    from bedrock_witness import Witness

PROVIDER = Bedrock("recorded", Settings(base_url="http://127.0.0.1:1"))
FULL = {"/converse": 68, "/converse-stream": 22}
"""Exchanges at the time of writing: fewer means that the reader lost some."""
KINDS = {
    "UnrecognizedClientException": {"Unauthorized"},
    "ValidationException": {"InvalidRequest", "ContextTooLong", "NotFound"},
    "400": {"InvalidRequest", "NotFound"},
}


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    pytest.importorskip("botocore", reason="the witness is AWS's own package")
    from bedrock_witness import Witness

    witness = Witness()
    yield witness
    witness.close()


@pytest.mark.parametrize("endpoint", FULL)
def test_replies_are_read_as_botocore_reads_them(shared_data: Path, witness: Witness, endpoint: str) -> None:
    stream = endpoint == "/converse-stream"
    exchanges = [replace(e, streamed=stream) for e in load(shared_data, "bedrock", endpoint)]
    assert len(exchanges) >= FULL[endpoint]
    faults = [fault for exchange in exchanges for fault in differences(exchange, witness)]
    assert faults == []


def differences(exchange: Exchange, witness: Witness) -> list[str]:
    official, mine = witness.read(exchange), read(PROVIDER, exchange)
    faults = []
    if official.error:
        if mine.error not in KINDS[official.error] or mine.status != official.status:
            faults.append(f"{exchange.name}: {official} read as {mine}")
    elif mine != official:
        faults.append(f"{exchange.name}: {official} read as {mine}")
    if any(read(PROVIDER, exchange, size) != mine for size in sizes(exchange)):
        faults.append(f"{exchange.name}: in pieces read as another reply")
    return faults


def test_counts(shared_data: Path) -> None:
    exchanges = list(load(shared_data, "bedrock", "/count-tokens"))
    assert exchanges
    for exchange in exchanges:
        count = PROVIDER.count_exactly(Request("m", (Message("user", "x"),)), wire(exchange))
        if exchange.status == 200:
            assert isinstance(folded(count).output, TokenCount)
        else:
            with pytest.raises(LLMError):
                folded(count)
