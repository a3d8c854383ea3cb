"""``base_url`` is what precedes the dialect's own path, as docs/providers/index.md has it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from dialects import HI
from servers.backends import BACKENDS

from llmsdk.errors import ConfigError
from llmsdk.registry import BUILT_IN
from llmsdk.types import Request

HOST = "http://127.0.0.1:1"


def url(name: str, base_url: str, **more: Any) -> str:
    """Where a chat goes."""
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    settings = {**BACKENDS[name]().settings(HOST, "sk-0123456789abcdef"), "base_url": base_url, **more}
    return str(kind(name, kind.Settings(**settings)).encode(Request("m", HI)).url)


@pytest.mark.parametrize(
    ("name", "before", "path"),
    [
        ("openai", "/v1", "/v1/chat/completions"), ("openai", "", "/chat/completions"),
        ("openai", "/proxy/v1/", "/proxy/v1/chat/completions"), ("mistral", "/v1", "/v1/chat/completions"),
        ("huggingface", "/v1", "/v1/chat/completions"), ("openai-responses", "/v1", "/v1/responses"),
        ("anthropic", "", "/v1/messages"), ("anthropic", "/v1", "/v1/messages"),
        ("anthropic", "/proxy/v1/", "/proxy/v1/messages"), ("cohere", "", "/v2/chat"),
        ("gemini", "", "/v1beta/models/m:generateContent"), ("gemini", "/v1", "/v1/models/m:generateContent"),
        ("gemini", "/v1beta/", "/v1beta/models/m:generateContent"),
        ("vertex", "", "/v1/projects/p/locations/here/publishers/google/models/m:generateContent"),
        ("bedrock", "", "/model/m/converse"), ("ollama", "", "/api/chat"),
        ("azure", "", "/openai/v1/chat/completions"), ("azure", "/openai/v1", "/openai/v1/chat/completions"),
    ],
)  # fmt: skip
def test_the_path_follows_the_base(name: str, before: str, path: str) -> None:
    assert url(name, HOST + before) == HOST + path


def test_azure_takes_the_address_of_a_deployment() -> None:
    there = f"{HOST}/openai/deployments/d"
    assert url("azure", there, api_version="1") == f"{there}/chat/completions?api-version=1"


@pytest.mark.parametrize(
    ("name", "pasted"),
    [
        ("openai", "/v1/chat/completions"), ("openai-responses", "/v1/responses"), ("anthropic", "/v1/messages"),
        ("cohere", "/v2/chat"), ("gemini", "/v1beta/models"), ("ollama", "/api/chat"),
        ("mistral", "/v1/chat/completions"), ("azure", "/openai/deployments/d/chat/completions"),
    ],
)  # fmt: skip
def test_a_path_that_was_pasted_along_is_refused(name: str, pasted: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        url(name, HOST + pasted)
