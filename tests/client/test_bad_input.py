"""Every bad input of a newcomer is a typed error with a hint, before a byte goes over the wire."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Chat, Client, LLMError, Message
from llmsdk.errors import ConfigError, InputError, MissingExtra, MissingKey, UnknownModel, UnknownProvider
from llmsdk.results import Record

MODEL = "openai:test-model"
Act = Callable[[Client], Any]
SAID = Chat(record=Record("openai", "m", "chat", ()), text="x", message=Message("assistant", "x"))


class State(Enum):
    NEW = "new"
    OLD = "old"


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
    "labels without an order": (InputError, lambda c: c.classify("x", {"good", "bad"})),
    "multi that is text": (InputError, lambda c: c.classify("x", ["a", "b"], multi="no")),
    "stream that is text": (InputError, lambda c: c.chat("x", stream="no")),
    "stream that is a number": (InputError, lambda c: c.complete("x", stream=1)),
    "texts that are no list": (InputError, lambda c: c.classify((text for text in "xy"), ["a", "b"])),
    "a set of texts": (InputError, lambda c: c.translate({"x", "y"}, to="zh")),
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
    "bytes for a prompt": (InputError, lambda c: c.complete(b"x")),
    "bytes for labels": (InputError, lambda c: c.classify("x", b"good")),
    "a threshold that is text": (InputError, lambda c: c.classify("x", ["a", "b"], threshold="high")),
    "no threshold": (InputError, lambda c: c.classify("x", ["a", "b"], threshold=None)),
    "output that is a schema": (InputError, lambda c: c.chat("x", output={"type": "object"})),
    "retry_unknown that is text": (InputError, lambda c: c.chat("x", retry_unknown="no")),
    "a seed beyond all numbers": (InputError, lambda c: c.chat("x", seed=10**400)),
    "a temperature beyond all numbers": (InputError, lambda c: c.chat("x", temperature=10**400)),
    "a role that is a list": (InputError, lambda c: c.chat([{"role": ["user"], "content": "x"}])),
    "a message without a role": (InputError, lambda c: c.chat([{"content": "x"}])),
    "a message with odd keys": (InputError, lambda c: c.chat([{"role": "user", "content": "x", 1: 2, "a": 3}])),
    "tool calls that are a number": (InputError, lambda c: c.chat([{"role": "assistant", "tool_calls": 3}])),
    "a message of nobody": (InputError, lambda c: c.chat([Message("robot", "x")])),
    "a message of a number": (InputError, lambda c: c.chat([Message("user", 3)])),
    "a message of parts that are none": (InputError, lambda c: c.chat([Message("user", ("x",))])),
    "texts to embed that are none": (InputError, lambda c: c.embed(3)),
    "nothing to embed": (InputError, lambda c: c.embed([])),
    "echo for a conversation": (InputError, lambda c: c.chat("x", echo=True)),
    "echo that is text": (InputError, lambda c: c.complete("x", echo="yes")),
    "a model that is a number": (InputError, lambda c: c.with_options(model=3)),
    "an empty model": (UnknownModel, lambda c: c.with_options(model="").chat("x")),
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


def test_one_bad_input_of_many_is_named_by_its_place(server: OpenAIServer) -> None:
    with Client(MODEL, api_key=KEY, base_url=server.url) as client:
        with pytest.raises(InputError, match=r"^prompt\[2\] must be a str, not NoneType"):
            client.complete(["a", "b", None])
        with pytest.raises(InputError, match=r"^to='klingon'"):
            client.translate(["a", "b"], to="klingon")


@pytest.mark.parametrize(
    ("act", "message", "hint"),
    [
        (lambda c: c.chat("x", stream="no"), "stream='no' is no bool", "Pass True or False."),
        (lambda c: c.complete({"x"}), "prompt is of type set", "Pass a str, or a list of str: list(...)."),
        (lambda c: c.chat([c]), "messages[0] is a Client, not a message", 'Pass {"role": "user", "content": "..."}'),
        (lambda c: c.chat([SAID]), "messages[0] is a Chat, not a message", "Pass its .message."),
        (lambda c: c.chat([{"rol": "user", "content": "x"}]), "messages[0] has the unknown key 'rol'", "Known: "),
        (lambda c: c.chat([{"content": "x"}]), "messages[0] has no role", 'Write {"role": "user", "content": "..."}'),
        (lambda c: c.classify("x", ["a", ""]), "labels[1] is empty", ""),
        (lambda c: c.classify("x", ["a", 5]), "labels[1] must be a str, not int", ""),
        (lambda c: c.classify("x", {"a": "", "b": 5}), "labels['b'] must be a str, not int", ""),
        (lambda c: c.classify("x", ["a"]), "one label to choose from", "Pass at least two labels"),
        (lambda c: c.classify("x", {"a", "b"}), "labels is a set", "Pass a list: "),
        (
            lambda c: c.classify("x", [State.NEW, State.OLD]),
            "labels[0] is <State.NEW: 'new'>",
            "the class itself, State,",
        ),
        (lambda c: c.explain("chat", "x", stream="no"), "stream='no' is no bool", ""),
    ],
)
def test_a_mistake_is_named_with_what_to_do(act: Act, message: str, hint: str, server: OpenAIServer) -> None:
    with Client(MODEL, api_key=KEY, base_url=server.url) as client:
        with pytest.raises(InputError) as caught:
            act(client)
        assert caught.value.message == message
        assert hint in caught.value.hint


def test_what_other_clients_dump_is_a_message(server: OpenAIServer) -> None:
    empty = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    with Client(MODEL, api_key=KEY, base_url=server.url) as client:
        client.chat(
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", **empty}, Message("user", "z")]
        )
        with pytest.raises(InputError, match="unknown key 'audio'"):
            client.chat([{"role": "assistant", "content": "y", **empty, "audio": {"id": "a"}}])


def test_a_client_is_not_pickled_and_a_copy_shares_what_it_has(server: OpenAIServer) -> None:
    with Client(MODEL, api_key=KEY, base_url=server.url) as client:
        for copied in (pickle.dumps, copy.deepcopy):
            with pytest.raises(
                TypeError, match=r"^Client holds connections and models, and cannot be pickled or copied: "
            ):
                copied(client)
        twin = copy.copy(client)
        twin.chat("x")
        assert twin.ledger is client.ledger
    with pytest.raises(TypeError, match=r"^AsyncClient holds"):
        copy.deepcopy(AsyncClient(config={}))


def test_the_async_client_refuses_at_the_call_and_not_when_it_is_awaited(server: OpenAIServer) -> None:
    client = AsyncClient(MODEL, api_key=KEY, base_url=server.url)
    with pytest.raises(InputError, match="temperature=-1 is out of range"):
        client.chat("x", temperature=-1)
    with pytest.raises(InputError, match="stream='no' is no bool"):
        client.chat("x", stream="no")


CLIENTS: dict[str, tuple[type[LLMError], Callable[[], Client]]] = {
    "missing key": (MissingKey, lambda: Client("openai:gpt-5")),
    "key with a line break": (ConfigError, lambda: Client("openai:gpt-5", api_key="sk-secret\nx")),
    "key that is not ASCII": (ConfigError, lambda: Client("openai:gpt-5", api_key="sk-секрет")),
    "empty key": (ConfigError, lambda: Client("openai:gpt-5", api_key="")),
    "base_url that is none": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url="example.com")),
    "plain http with a key": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url="http://example.com")),
    "an empty base_url": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url="")),
    "a blank base_url": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, base_url=" ")),
    "an http_client that is none": (ConfigError, lambda: Client("openai:gpt-5", api_key="k" * 9, http_client=3)),
    "plain http with a secret header": (ConfigError, lambda: Client("openai:x", config={"providers": {"openai": {
        "base_url": "http://example.com", "headers": {"X-Api-Key": "sk-secret"}, "key_required": False}}})),
    "plain http with a token": (ConfigError, lambda: Client("vertex:x", config={"providers": {"vertex": {
        "base_url": "http://example.com", "token": "sk-secret", "project": "p"}}})),
    "plain http with a token of Azure": (ConfigError, lambda: Client("azure:x", config={"providers": {"azure": {
        "base_url": "http://example.com", "token_provider": lambda: "sk-secret"}}})),
    "plain http with a token of Hugging Face": (ConfigError, lambda: Client("huggingface:x", config={"providers": {
        "huggingface": {"base_url": "http://example.com", "api_key": "sk-secret"}}})),
    "an empty model": (UnknownModel, lambda: Client("")),
    "a model that is a number": (InputError, lambda: Client(3)),
    "a model that is an empty list": (InputError, lambda: Client([])),
    "a model that is a path": (InputError, lambda: Client(Path("model"))),
    "only a provider": (ConfigError, lambda: Client("local")),
    "only a model": (UnknownModel, lambda: Client("pocket")),
    "a provider that is a number": (ConfigError, lambda: Client("openai:x", api_key="k", provider=3)),
    "a provider that is a name": (InputError, lambda: Client("local:pocket", provider="openai")),
    "a tracer that is none": (InputError, lambda: Client(config={}, tracer=3)),
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
