"""What real hosts sent: text, reasoning, tool calls, finish and usage equal the official package's reading.

Where they must differ (the package shows what a host says, this library what it means) the rule stands in
``meant``; what the package cannot see is listed by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import Exchange, Reading, fold, load, read, sizes
from recordings import PROVIDER, Witness, embed, provider

from llmsdk.reply import Reply

FULL = {
    "openai": 105, "azure": 47, "cerebras": 25, "deepseek": 32, "google": 6, "groq": 61, "huggingface": 10,
    "local_openai_compatible": 7, "mistral": 55, "ollama": 31, "openrouter": 140, "perplexity": 7, "together": 3,
    "xai": 58, "zhipu": 46,
}  # fmt: skip
"""Chat exchanges of each host at the time of writing: fewer means that the reader lost some."""
REPLIES = {
    "deepseek": 5, "groq": 3, "moonshot": 3, "openai_compatible": 5, "perplexity": 3, "qwen": 4, "xai": 2,
}  # fmt: skip
"""Replies of which no request was recorded."""
KINDS = {
    "AuthenticationError": {"Unauthorized"},
    "PermissionDeniedError": {"PermissionDenied"},
    "NotFoundError": {"NotFound"},
    "RateLimitError": {"RateLimited", "QuotaExhausted"},
    "BadRequestError": {
        "InvalidRequest",
        "ContextTooLong",
        "NotFound",
        "Unauthorized",
        "ContentFiltered",
        "InvalidToolArguments",
    },
    "APIError": {"InvalidRequest", "InvalidToolArguments"},
}
"""The package's class of an error, and ours for the same."""
NOT_SEEN = (
    "openrouter/mistralai_devstral_small_2505/tool_round_trip_2.json",
    "openrouter/mistralai_mistral_small_3_1_24b_instruct/tool_round_trip_2.json",
)
"""Errors with status 200 of which the package makes a reply without choices."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.close()


def meant(official: Reading) -> Reading:
    """What the official figures mean: a part is no larger than the whole, reasoning counts as output (xAI)."""
    if official.usage is None:
        return replace(official, total=None)
    said, given, cached, written, thought = official.usage
    assert said is not None
    assert given is not None
    if official.total == said + given + (thought or 0):
        given = official.total - said
    return replace(official, usage=(said, given, cached and min(cached, said), written, thought), total=None)


def with_made_ids(official: Reading, mine: Reading) -> Reading:
    """The official reading, with our ids where the host gave none."""
    pairs = zip(official.calls, mine.calls, strict=False)
    calls = tuple((theirs[0] or own[0], *theirs[1:]) for theirs, own in pairs)
    return replace(official, calls=calls if len(official.calls) == len(mine.calls) else official.calls)


def differences(exchange: Exchange, witness: Witness) -> list[str]:
    reader = provider(exchange.provider)
    mine = read(reader, exchange)
    if exchange.name.split("#")[0].endswith(NOT_SEEN):
        return [] if (mine.error, mine.status) == ("ServerFault", 502) else [f"{exchange.name}: {mine}"]
    official = witness.read(exchange)
    faults = []
    if official.error is not None:
        if mine.error not in KINDS[official.error] or (official.status and mine.status != official.status):
            faults.append(f"{exchange.name}: {official} read as {mine}")
    elif (expected := with_made_ids(meant(official), mine)) != mine:
        faults.append(f"{exchange.name}: {expected} read as {mine}")
    for size in sizes(exchange):
        if read(reader, exchange, size) != mine:
            faults.append(f"{exchange.name}: {size} bytes at a time read as another reply")
    return faults


@pytest.mark.parametrize("name", FULL)
def test_chat_is_read_as_the_official_package_reads_it(shared_data: Path, witness: Witness, name: str) -> None:
    exchanges = list(load(shared_data, name))
    assert len(exchanges) >= FULL[name]
    assert [fault for exchange in exchanges for fault in differences(exchange, witness)] == []


@pytest.mark.parametrize("name", REPLIES)
def test_replies_without_their_requests(shared_data: Path, witness: Witness, name: str) -> None:
    exchanges = [e for e in load(shared_data, name, "(fixture)") if b'"choices"' in e.body]
    assert len(exchanges) >= REPLIES[name]
    assert [fault for exchange in exchanges for fault in differences(exchange, witness)] == []


@pytest.mark.parametrize("name", ["together", "local_openai_compatible"])
def test_completions_too(shared_data: Path, witness: Witness, name: str) -> None:
    exchanges = [e for e in load(shared_data, name, "/v1/completions") if "/chat/" not in e.name]
    assert exchanges
    for exchange in exchanges:
        text, finish, usage = witness.complete(exchange)
        reply = fold(PROVIDER, exchange)
        mine = None if reply.usage is None else (reply.usage.input_tokens, reply.usage.output_tokens)
        assert (reply.text, reply.finish and reply.finish.raw_reason, mine) == (text, finish, usage), exchange.name
        assert all(read(PROVIDER, exchange, way) == read(PROVIDER, exchange) for way in sizes(exchange)), exchange.name


@pytest.mark.parametrize("name", ["openai", "azure", "mistral", "openrouter", "local_openai_compatible"])
def test_embeddings_too(shared_data: Path, witness: Witness, name: str) -> None:
    exchanges = [e for e in load(shared_data, name, "/embeddings") if e.status == 200]
    assert exchanges
    for exchange in exchanges:
        official = witness.embed(exchange)
        reply = embed(exchange, len(official))
        assert reply.output == tuple(map(tuple, official)), exchange.name
        assert reply.usage is not None
        assert reply.usage.input_tokens is not None


def test_what_the_official_package_does_not_see(shared_data: Path) -> None:
    """Who answered, for every reply that says so, and that nothing of it is a warning but known oddities."""
    replies: list[tuple[Exchange, Reply]] = []
    for exchange in load(shared_data, "openai"):
        if exchange.status == 200:
            replies.append((exchange, fold(PROVIDER, exchange)))
    assert all(reply.id and reply.model for _, reply in replies if _has_id(_))
    assert [warning for _, reply in replies for warning in reply.warnings] == []


def _has_id(exchange: Exchange) -> bool:
    return b'"id": "chatcmpl' in exchange.body or b'"id":"chatcmpl' in exchange.body
