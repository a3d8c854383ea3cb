"""Every bad input of a newcomer is a typed error with a hint, before a byte goes over the wire."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import Client, LLMError
from llmsdk.errors import ConfigError, InputError, MissingExtra, MissingKey, UnknownModel, UnknownProvider

MODEL = "openai:test-model"
Act = Callable[[Client], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


CALLS: dict[str, tuple[type[LLMError], Act]] = {
    "empty prompt": (InputError, lambda c: c.complete("")),
    "empty conversation": (InputError, lambda c: c.chat([])),
    "empty batch": (InputError, lambda c: c.translate([], to="zh")),
    "streamed batch": (InputError, lambda c: c.chat(["a", "b"], stream=True)),
    "no labels": (InputError, lambda c: c.classify("x", [])),
    "duplicate labels": (InputError, lambda c: c.classify("x", ["a", "a"])),
    "labels as str": (InputError, lambda c: c.classify("x", "good")),
    "unknown language": (InputError, lambda c: c.translate("x", to="xx")),
    "language as people write it": (InputError, lambda c: c.translate("x", to="zh_cn")),
    "NUL": (InputError, lambda c: c.chat("a\0b")),
    "lone surrogate": (InputError, lambda c: c.complete("a\ud800")),
    "NUL in a document": (InputError, lambda c: c.answer("q", context=["fine", "a\0"])),
    "NaN temperature": (InputError, lambda c: c.chat("x", temperature=math.nan)),
    "max_tokens 0": (InputError, lambda c: c.chat("x", max_tokens=0)),
    "stop that is no text": (InputError, lambda c: c.chat("x", stop=3)),
    "tags that are no list": (InputError, lambda c: c.chat("x", tags=3)),
    "extra that is no mapping": (InputError, lambda c: c.chat("x", extra=3)),
    "extra of something else": (InputError, lambda c: c.chat("x", extra={"body": 3})),
    "tools that are no list": (InputError, lambda c: c.chat("x", tools=3)),
    "a tool that is a name": (InputError, lambda c: c.chat("x", tools=["f"])),
    "output that is a value": (InputError, lambda c: c.chat("x", output=3)),
    "output that is a name": (InputError, lambda c: c.chat("x", output="City")),
    "glossary that is a list": (InputError, lambda c: c.translate("x", to="zh", glossary=["a"])),
    "progress that is no function": (InputError, lambda c: c.chat(["x", "y"], progress=3)),
    "unknown provider": (UnknownProvider, lambda c: c.chat("x", model="opnai:gpt-5")),
    "unknown alias": (UnknownModel, lambda c: c.chat("x", model="smrt")),
    "provider without model": (ConfigError, lambda c: c.chat("x", model="openai")),
    "missing model folder": (UnknownModel, lambda c: c.chat("x", model="local:./no-such-folder")),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_bad_call_is_refused_before_anything_is_sent(what: str, server: OpenAIServer) -> None:
    kind, act = CALLS[what]
    server.requests.clear()
    with Client(MODEL, api_key=KEY, base_url=server.url) as client:
        with pytest.raises(kind) as caught:
            act(client)
        assert caught.value.hint, "an error says what to do"
        assert client.ledger.rows == client.ledger.open == ()
    assert server.requests == []


def test_an_unknown_keyword_is_a_type_error(server: OpenAIServer) -> None:
    with Client(MODEL, api_key=KEY, base_url=server.url) as client, pytest.raises(TypeError, match="max_tokens"):
        client.chat("x", max_token=5)  # type: ignore[call-overload]


CLIENTS: dict[str, tuple[type[LLMError], Callable[[], Client]]] = {
    "missing key": (MissingKey, lambda: Client("openai:gpt-5")),
    "key with a line break": (ConfigError, lambda: Client("openai:gpt-5", api_key="sk-secret\nx")),
    "key that is not ASCII": (ConfigError, lambda: Client("openai:gpt-5", api_key="sk-секрет")),
    "empty key": (ConfigError, lambda: Client("openai:gpt-5", api_key="")),
    "base_url that is none": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url="example.com")),
    "plain http with a key": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url="http://example.com")),
    "unknown section": (ConfigError, lambda: Client(config={"modles": {}})),
    "unknown setting": (ConfigError, lambda: Client("openai:x", config={"providers": {"openai": {"apikey": "x"}}})),
    "wrong type": (ConfigError, lambda: Client(config={"retry": {"attempts": "many"}})),
    "missing file": (ConfigError, lambda: Client(config="no-such.toml")),
    "alias of nothing": (ConfigError, lambda: Client(config={"models": {"smart": []}})),
}  # fmt: skip


@pytest.mark.parametrize("what", CLIENTS)
def test_a_bad_configuration_is_refused_when_the_client_is_made(what: str) -> None:
    kind, make = CLIENTS[what]
    with pytest.raises(kind) as caught:
        make()
    assert caught.value.hint
    shown = str(caught.value) + repr(caught.value.__dict__) + repr(caught.value.__cause__)
    assert "sk-s" not in shown
    assert "секрет" not in shown


def test_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "llmsdk.toml"
    path.write_text('default = "local:pocket"\n[models\n')
    with pytest.raises(ConfigError, match=r"llmsdk\.toml") as caught:
        Client(config=path)
    assert "2" in str(caught.value)


def test_a_client_without_a_model_says_the_three_ways_to_name_one() -> None:
    with Client(config={}) as client, pytest.raises(ConfigError) as caught:
        client.chat("x")
    for way in ("model=", "Client(", "llmsdk.toml"):
        assert way in caught.value.hint


def test_without_torch_the_local_runtime_names_its_extra() -> None:
    program = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from llmsdk import Client
from llmsdk.errors import MissingExtra
try:
    Client("local:pocket").complete("x")
except MissingExtra as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'pip install "llmsdk[local]"', done.stderr
    assert issubclass(MissingExtra, ConfigError)
