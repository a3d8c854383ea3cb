"""What real hosts sent: text, reasoning, tool calls, finish and usage equal the official package's reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import Exchange, fold, folded, load, read, sizes, wire
from responses_recordings import PROVIDER, Witness

from llmsdk.errors import LLMError
from llmsdk.types import Reasoning, Request, TokenCount
from llmsdk_providers.openai_responses.items import STATE, Origin
from llmsdk_providers.openai_responses.items import read as items

FULL = {"openai": 224, "xai": 36, "azure": 8, "bedrock": 3, "deepseek": 12, "openrouter": 1}
"""Exchanges of each host at the time of writing: fewer means that the reader lost some."""
FIXTURES = {"openai": 36, "azure": 9}
"""Replies without their requests."""
EXCLUDED = ("openai-shell-container.1.chunks.txt", "parallel-tool-call-wrapper.1.chunks.txt")
"""See tests/wire/EXCLUDED.md."""
KINDS = {
    "AuthenticationError": {"Unauthorized"},
    "BadRequestError": {"InvalidRequest", "NotFound", "Unauthorized"},
    "APIError": {"QuotaExhausted"},
}
"""The package's class of an error, and ours for the same."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


def exchanges(shared: Path, provider: str) -> list[Exchange]:
    return list(load(shared, provider, "/responses"))


def fixtures(shared: Path, provider: str) -> list[Exchange]:
    found = load(shared, provider, "(fixture)")
    found = (e for e in found if not e.name.split("#")[0].endswith(EXCLUDED))
    return [e for e in found if b'"object":"response"' in e.body.replace(b'": "', b'":"')]


def differences(exchange: Exchange, witness: Witness) -> list[str]:
    mine, official = read(PROVIDER, exchange), witness.read(exchange)
    faults = []
    if official.error is not None:
        if mine.error not in KINDS[official.error] or (official.status and official.status != mine.status):
            faults.append(f"{exchange.name}: {official} read as {mine}")
    elif official != mine:
        faults.append(f"{exchange.name}: {official} read as {mine}")
    for size in sizes(exchange):
        if read(PROVIDER, exchange, size) != mine:
            faults.append(f"{exchange.name}: {size} bytes at a time read as another reply")
    return faults


@pytest.mark.parametrize("provider", FULL)
def test_replies_are_read_as_the_official_package_reads_them(
    shared_data: Path, witness: Witness, provider: str
) -> None:
    found = exchanges(shared_data, provider)
    assert len(found) >= FULL[provider]
    assert [fault for exchange in found for fault in differences(exchange, witness)] == []


@pytest.mark.parametrize("provider", FIXTURES)
def test_replies_without_their_requests_too(shared_data: Path, witness: Witness, provider: str) -> None:
    found = fixtures(shared_data, provider)
    assert len(found) >= FIXTURES[provider]
    assert [fault for exchange in found for fault in differences(exchange, witness)] == []


def test_what_a_host_made_goes_back_as_it_came(shared_data: Path) -> None:
    """The items of every reply with encrypted reasoning, byte for byte and in their order."""
    seen = 0
    for provider in ("openai", "xai", "azure"):
        for exchange in exchanges(shared_data, provider):
            if exchange.status != 200 or exchange.streamed or b'"encrypted_content"' not in exchange.body:
                continue
            output = json.loads(exchange.body)["output"]
            if any(item["type"] == "custom_tool_call" for item in output):
                continue
            message = fold(PROVIDER, exchange).choices[0].message
            back = items([message], Origin("127.0.0.1:1"))
            sent = [_comparable(item) for item in output if _is_sendable(item)]
            if output and output[0]["type"] == "reasoning" and output[-1]["type"] != "reasoning":
                assert [_comparable(item) for item in back] == sent, exchange.name
                seen += 1
    assert seen >= 50


def _is_sendable(item: dict[str, object]) -> bool:
    return item["type"] != "reasoning" or bool(item.get("encrypted_content") or item.get("content"))


def _comparable(item: dict[str, object]) -> object:
    """An item without what the library rebuilds: annotations and logprobs of text, and the state of a call."""
    if item["type"] == "message":
        content = item["content"]
        assert isinstance(content, list)
        return {**item, "content": "".join(part.get("text", part.get("refusal", "")) for part in content)}
    return {name: value for name, value in item.items() if item["type"] != "function_call" or name != "status"}


def test_it_goes_to_no_other_host(shared_data: Path) -> None:
    exchange = next(e for e in exchanges(shared_data, "xai") if e.status == 200 and not e.streamed)
    message = fold(PROVIDER, exchange).choices[0].message
    assert any(isinstance(part, Reasoning) and STATE in (part.provider_state or {}) for part in message.parts)
    assert all(item.get("type") != "reasoning" for item in items([message], Origin("api.openai.com:443")))


def test_counting_input(shared_data: Path, witness: Witness) -> None:
    found = list(load(shared_data, "openai", "/responses/input_tokens"))
    assert len(found) >= 3
    for exchange in found:
        reply = folded(PROVIDER.count_exactly(Request("m", "x"), wire(exchange)))
        assert reply.output == TokenCount(witness.count(exchange), "exact")


def test_no_reply_has_a_warning_without_a_cause(shared_data: Path) -> None:
    warnings = []
    for provider in FULL:
        for exchange in exchanges(shared_data, provider):
            try:
                warnings += fold(PROVIDER, exchange).warnings
            except LLMError:
                assert exchange.status >= 400
    assert set(warnings) <= {"an item of the type 'custom_tool_call' was left out of the reply"}
