"""What a call costs is told by whoever was asked: an address of one's own has no price list but the one it is given."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import Client
from llmsdk.results import Chat

MODEL = "gpt-4o-mini"
OWN = Decimal("0.00000015"), Decimal("0.0000006")
"""Dollars for a token of input and of output."""


def cost(provider: str, config: dict[str, Any]) -> tuple[Decimal | None, Chat]:
    with Client(f"{provider}:{MODEL}", config={"providers": {provider: {"api_key": KEY, **config}}}) as client:
        result = client.chat("Hello!")
        assert client.ledger.rows == result.attempts
        return result.cost, result


@pytest.mark.parametrize("name", ["openai", "groq", "azure-openai-mirror", "my-openai"])
def test_an_address_of_ones_own_has_no_known_price(openai_server: OpenAIServer, name: str) -> None:
    kind = {} if name in ("openai", "groq") else {"kind": "openai"}
    found, result = cost(name, {"base_url": openai_server.url, **kind})
    assert found is None
    assert result.usage.input_tokens
    assert type(result).from_json(result.to_json()).cost is None


@pytest.mark.parametrize("name", ["openai", "lab"])
def test_the_settings_say_whose_prices_hold(openai_server: OpenAIServer, name: str) -> None:
    kind = {} if name == "openai" else {"kind": "openai"}
    for prices in ("openai", "https://api.openai.com/v1"):
        found, result = cost(name, {"base_url": openai_server.url, "prices": prices, **kind})
        given, written = result.usage.input_tokens or 0, result.usage.output_tokens or 0
        assert found == given * OWN[0] + written * OWN[1]
        assert type(result).from_json(result.to_json()).cost == found
    assert cost(name, {"base_url": openai_server.url, "prices": "nobody", **kind})[0] is None


@pytest.mark.parametrize(
    ("provider", "model", "settings", "known"),
    [
        ("openai", MODEL, {}, True),
        ("openai", MODEL, {"base_url": "https://openai.example/v1"}, False),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://api.openai.com/v1"}, True),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://api.openai.com:443/v1"}, True),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://api.openai.com.evil.example/v1"}, False),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://api.openai.community/v1"}, False),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://evil.example/openai.azure.com"}, False),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://evil.example/https://api.openai.com"}, False),
        ("lab", "gemini-2.5-flash", {"kind": "openai", "base_url": "https://evil.example/a.googleapis.com"}, False),
        ("lab", "gemini-2.5-flash", {"kind": "openai", "base_url": "https://eu-aiplatform.googleapis.com/v1"}, True),
        ("lab", MODEL, {"kind": "openai", "base_url": "https://me.openai.azure.com/openai/v1"}, True),
        ("openai-responses", MODEL, {}, True),
        ("anthropic", "claude-sonnet-4-5", {}, True),
        ("anthropic", "claude-sonnet-4-5", {"base_url": "https://claude.example"}, False),
        ("gemini", "gemini-2.5-flash", {}, True),
        ("mistral", "mistral-small-latest", {}, True),
        ("deepseek", "deepseek-chat", {}, True),
        ("xai", "grok-3", {}, True),
        ("moonshot", "kimi-k2-0905-preview", {}, True),
        ("litellm", "openai/gpt-4o-mini", {}, False),
        ("vllm", MODEL, {}, False),
    ],
)
def test_vendors_are_known_by_their_addresses(provider: str, model: str, settings: dict[str, Any], known: bool) -> None:
    config = {"providers": {provider: {"api_key": KEY, **settings}}}
    with Client(f"{provider}:{model}", config=config) as client:
        told = client.explain("chat", "Hello!", max_tokens=100).cost
    assert (told is not None and told > 0) if known else told is None
