"""Counting with tiktoken: equal to what OpenAI billed, and never a download."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import Exchange, fold, load

from llmsdk.messages import from_dict
from llmsdk.types import Media, Message, Request, Text, Tool, ToolCall, ToolResult
from llmsdk_providers.openai import OpenAI, Settings
from llmsdk_providers.openai import tokens as module
from llmsdk_providers.openai.tokens import MARGIN, PER_MESSAGE, PRIMER, count, encoding_name

HI = (Message("user", "Hello, world!"),)
OPENAI = OpenAI("openai", Settings(api_key="k"))


@pytest.fixture
def ranks(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(shared_data / "data/tiktoken-cache"))
    return


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"), ("gpt-4o-mini-2024-07-18", "o200k_base"), ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5.2", "o200k_base"), ("o3-mini", "o200k_base"), ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4", "cl100k_base"), ("gpt-4-turbo", "cl100k_base"), ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"), ("ft:gpt-4o-mini:x:y", "o200k_base"), ("davinci-002", "cl100k_base"),
        ("llama-3", None), ("my-gpt-4o", None), ("", None),
    ],
)  # fmt: skip
def test_which_encoding(model: str, encoding: str | None) -> None:
    assert encoding_name(model) == encoding


def test_a_chat(ranks: None, no_network: None) -> None:
    counted = OPENAI.count(Request("gpt-4o", HI))
    assert counted is not None
    # "Hello", ",", " world", "!" and the role
    assert (counted.value, counted.method, counted.margin) == (PRIMER + PER_MESSAGE + 1 + 4, "local", 0.0)
    raw = OPENAI.count(Request("davinci-002", "Hello, world!"))
    assert raw is not None
    assert (raw.value, raw.method) == (4, "local")


def test_what_cannot_be_known_is_an_estimate(ranks: None) -> None:
    plain = count(Request("gpt-4o", HI), openai=True, raw=False)
    tool = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "The weather")
    turns = (*HI, Message("assistant", (ToolCall("1", "f", "{}"),)), Message("tool", (ToolResult("1", "x"),)))
    assert plain is not None
    for request, openai in (
        (Request("gpt-4o", HI, tools=(tool,)), True),
        (Request("gpt-4o", HI, schema={"type": "object"}), True),
        (Request("gpt-4o", turns), True),
        (Request("gpt-4o", (*HI, Message("user", (Text("And this?"), Media("image/png", b"x"))))), True),
        (Request("llama-3", HI), True),
        (Request("gpt-4o-mini-search-preview", HI), True),
        (Request("o1-mini", (*HI, *HI)), True),
        (Request("gpt-4o", HI), False),
    ):
        counted = count(request, openai=openai, raw=False)
        assert counted is not None
        assert (counted.method, counted.margin) == ("estimate", MARGIN)
        assert counted.value >= plain.value


def test_text_that_looks_like_a_special_token_is_text(ranks: None) -> None:
    counted = OPENAI.count(Request("gpt-4o", (Message("user", "<|endoftext|>"),)))
    assert counted is not None
    assert counted.value > PRIMER + PER_MESSAGE + 1 + 1


@pytest.mark.parametrize("folder", ["empty", "damaged", "none", "off"])
def test_no_ranks_is_no_count_and_no_download(
    folder: str, no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_data: Path
) -> None:
    pytest.importorskip("tiktoken")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    match folder:
        case "empty":
            monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
        case "damaged":
            for path in (shared_data / "data/tiktoken-cache").iterdir():
                (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
            monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path))
        case "off":
            monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    before = sorted(tmp_path.rglob("*"))
    assert OPENAI.count(Request("gpt-4o", HI)) is None
    assert sorted(tmp_path.rglob("*")) == before


def test_the_default_place_of_the_cache(
    shared_data: Path, no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("tiktoken")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "data-gym-cache").symlink_to(shared_data / "data/tiktoken-cache")
    assert OPENAI.count(Request("gpt-4", HI)) is not None


def test_no_tiktoken(ranks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module._load.cache_clear()
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert OPENAI.count(Request("gpt-4o", HI)) is None
    module._load.cache_clear()


@pytest.mark.parametrize(("provider", "least"), [("openai", 18), ("azure", 3), ("openrouter", 5)])
def test_equal_to_what_openai_counted(
    ranks: None, shared_data: Path, no_network: None, provider: str, least: int
) -> None:
    """Every recorded exchange of plain text with a model of OpenAI's: the count is its ``prompt_tokens``."""
    compared = {exchange.name: both for exchange in load(shared_data, provider) if (both := _both(exchange))}
    assert len(compared) >= least
    assert {name: both for name, both in compared.items() if both[0] != both[1]} == {}


def _both(exchange: Exchange) -> tuple[int, int] | None:
    """Our count and the host's, where the request is nothing but text."""
    asked = exchange.request
    model = str(asked.get("model", "")).removeprefix("openai/")
    if exchange.status != 200 or {"tools", "response_format"} & set(asked) or not encoding_name(model):
        return None
    messages = asked["messages"]
    if any(set(message) != {"role", "content"} or not isinstance(message["content"], str) for message in messages):
        return None
    usage = fold(OPENAI, exchange).usage
    counted = OPENAI.count(Request(model, tuple(from_dict(message, "messages") for message in messages)))
    assert counted is not None
    if usage is None or usage.input_tokens is None or counted.method != "local":
        return None
    return counted.value, usage.input_tokens


def test_ranks_are_looked_up_anew_when_the_variable_changes(ranks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OPENAI.count(Request("gpt-4o", HI)) is not None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", os.devnull)
    assert OPENAI.count(Request("gpt-4o", HI)) is None
