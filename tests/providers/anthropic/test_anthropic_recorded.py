"""What the host really sent: text, reasoning, calls, finish and usage equal the official package's reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded import Exchange, fold, folded, load, read, sizes, wire

pytest.importorskip("anthropic", reason="the official package is the witness")

from anthropic_recordings import PROVIDER, Witness, exchanges

from llmsdk.types import Message, Reasoning, Request, TokenCount

FULL = 152
"""Exchanges at the time of writing: fewer means that the reader lost some."""
SEVERAL = ("anthropic-programmatic-tool-calling.1.chunks.txt", "anthropic-tool-search-deferred-regex.chunks.txt")
"""Files with several streams, of which the first is read, as everything ends with ``message_stop``."""
SPLICED = "spliced-message-start.chunks.txt"
"""A message that begins within another; see tests/wire/EXCLUDED.md."""
KINDS = {
    "AuthenticationError": "Unauthorized", "NotFoundError": "NotFound", "BadRequestError": "InvalidRequest",
}  # fmt: skip
"""The package's class of an error, and ours for the same."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


def is_one(exchange: Exchange, *names: str) -> bool:
    return exchange.name.split("#")[0].endswith(names)


def first(exchange: Exchange) -> Exchange:
    """The first stream of several."""
    head, end, _ = exchange.body.partition(b'"message_stop"')
    return replace(exchange, body=head + end + b"}\n\n")


def differences(exchange: Exchange, witness: Witness) -> list[str]:
    mine = read(PROVIDER, exchange)
    if is_one(exchange, SPLICED):
        return [] if mine.error == "InvalidBody" else [f"{exchange.name}: {mine}"]
    official = witness.read(first(exchange) if is_one(exchange, *SEVERAL) else exchange)
    faults = []
    if official.error is not None:
        if (mine.error, mine.status) != (KINDS[official.error], official.status):
            faults.append(f"{exchange.name}: {official} read as {mine}")
    elif official != mine:
        faults.append(f"{exchange.name}: {official} read as {mine}")
    for size in sizes(exchange):
        if read(PROVIDER, exchange, size) != mine:
            faults.append(f"{exchange.name}: {size} bytes at a time read as another reply")
    return faults


def test_messages_are_read_as_the_official_package_reads_them(shared_data: Path, witness: Witness) -> None:
    found = list(exchanges(shared_data))
    assert len(found) >= FULL
    assert [fault for exchange in found for fault in differences(exchange, witness)] == []


def test_every_block_goes_back_as_it_came(shared_data: Path) -> None:
    """A buffered reply, sent back as the assistant's turn, is the content that was received."""
    compared = 0
    for exchange in exchanges(shared_data):
        if exchange.status != 200 or exchange.streamed:
            continue
        content = json.loads(exchange.body)["content"]
        answer = fold(PROVIDER, exchange).choices[0].message
        sent = json.loads(PROVIDER.encode(Request("m", (Message("user", "x"), answer, Message("user", "y")))).body)
        turns = [turn["content"] for turn in sent["messages"] if turn["role"] == "assistant"]
        assert plain(turns[0] if turns else []) == plain(content), exchange.name
        compared += 1
    assert compared > 90


def plain(content: Any) -> list[dict[str, Any]]:
    """Blocks without what is empty, and with neighbouring plain texts as one."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    whole: list[dict[str, Any]] = []
    for block in blocks:
        kept = {
            key: value for key, value in block.items() if value is not None and not (key == "citations" and not value)
        }
        last = whole[-1] if whole else {}
        if kept.keys() == last.keys() == {"type", "text"}:
            last["text"] = f"{last['text']}{kept['text']}"
        elif kept.get("text") != "":
            whole.append(kept)
    return whole


def test_thoughts_are_signed(shared_data: Path) -> None:
    thoughts = [
        part
        for exchange in exchanges(shared_data)
        if exchange.status == 200 and not is_one(exchange, SPLICED)
        for part in fold(PROVIDER, exchange).choices[0].message.parts
        if isinstance(part, Reasoning) and part.text
    ]
    assert len(thoughts) > 15
    assert all(part.provider_state["anthropic.block"]["signature"] for part in thoughts)


def test_counts_of_tokens(shared_data: Path) -> None:
    counted = 0
    for exchange in load(shared_data, "anthropic", "/count_tokens"):
        if exchange.status == 200:
            reply = _counted(exchange)
            assert reply == TokenCount(json.loads(exchange.body)["input_tokens"], "exact")
            counted += 1
    assert counted == 3


def _counted(exchange: Exchange) -> object:
    return folded(PROVIDER.count_exactly(Request("m", (Message("user", "x"),)), wire(exchange))).output
