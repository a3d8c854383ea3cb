"""Rows F067 to F082 and F107 to F110 of the matrix: hooks, budgets, prices, settings and inputs that are wrong.

F071, F072 and F083 have more in ``test_canary.py`` and ``tests/test_media.py``, F107 to F110 in
``tests/accounting/test_ledger_file.py`` and ``tests/pipeline/test_cache.py``.
"""

from __future__ import annotations

import enum
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_table import KEY

from llmsdk import AsyncClient, Client, Message
from llmsdk.errors import BudgetExceeded, CircuitOpen, ConfigError, ContextTooLong, InputError, LLMError, ServerFault
from llmsdk.pipeline import hooks
from llmsdk.testing import FaultServer, faults

CYCLE: dict[str, Any] = {}
CYCLE["role"] = CYCLE


@pytest.fixture(scope="module")
def host() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def client(host: FaultServer) -> Iterator[Client]:
    """A client whose calls must send nothing, but for those that are told to."""
    host.clear()
    with Client("openai:any", config=host.config(retry={"attempts": 1}, circuit={"failures": 0})) as client:
        yield client


def refused(client: Client, host: FaultServer, argument: str, verb: str, *given: Any, **options: Any) -> InputError:
    """The error for an argument, before anything was sent or written down."""
    with pytest.raises(InputError) as caught:
        getattr(client, verb)(*given, **options)
    assert caught.value.argument == argument
    assert caught.value.hint
    assert (host.requests, client.ledger.rows, client.ledger.open) == ([], (), ())
    assert len(caught.value.message) < 300
    return caught.value


# --- hooks, budgets, circuits, prices -----------------------------------------------------------------------------


class Broken:
    """A tracer that fails in whichever way it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def start(self, name: str, attributes: dict[str, Any]) -> Any:
        if self.where == "start":
            raise ZeroDivisionError("of the hook")
        return self.close

    def close(self, outcome: dict[str, Any]) -> None:
        raise ZeroDivisionError("of the hook")


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["start", "close", "progress"])
async def test_F067_a_hook_that_raises_is_logged_once_and_disturbs_nothing(
    where: str, host: FaultServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    monkeypatch.setattr(hooks, "_told", set())
    host.clear()

    def progress(done: int, of: int) -> None:
        raise ZeroDivisionError("of the hook")

    tracer = None if where == "progress" else Broken(where)
    options: Any = {"progress": progress} if where == "progress" else {}
    with Client("openai:any", config=host.config(), tracer=tracer) as client:
        assert [result.text for result in client.chat(["a", "b", "c"], **options)] == [host.reply] * 3
        assert [row.settled for row in client.ledger.rows] == ["exact"] * 3
    async with AsyncClient("openai:any", config=host.config(), tracer=tracer) as other:
        assert [result.text for result in await other.chat(["a", "b"], **options)] == [host.reply] * 2
    told = [record for record in caplog.records if record.name == "llmsdk"]
    assert [(record.levelno, "ZeroDivisionError" in str(record.exc_info)) for record in told] == [
        (logging.WARNING, True)
    ]
    assert ("progress" if where == "progress" else "tracer") in told[0].getMessage()


@pytest.mark.anyio
async def test_F068_64_callers_never_pass_a_budget(host: FaultServer, anyio_backend: str) -> None:
    host.clear()
    refusals: list[LLMError] = []
    async with AsyncClient("openai:any", config=host.config(budget={"requests": 10})) as client:

        async def ask() -> None:
            try:
                await client.chat("x")
            except BudgetExceeded as error:
                refusals.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(ask)
        assert (len(host.requests), len(refusals), len(client.ledger.rows)) == (10, 54, 10)
    assert all(word in str(refusals[0]) for word in ("10", "requests"))


def test_F069_an_open_circuit_says_when_it_lets_one_try(host: FaultServer) -> None:
    host.clear()
    host.key = f"{KEY}-circuit"
    config = host.config(retry={"attempts": 1}, circuit={"failures": 2, "cooldown": 60})
    with Client("openai:any", config=config) as client:
        host.inject(*[faults.status(500)] * 2)
        for _ in range(2):
            with pytest.raises(ServerFault):
                client.chat("x")
        with pytest.raises(CircuitOpen) as shut:
            client.chat("x")
        assert (len(host.requests), len(client.ledger.rows)) == (2, 2)
    assert shut.value.retry_after is not None
    assert 0 < shut.value.retry_after <= 60


def test_F070_an_unknown_price_is_None_and_never_0(client: Client) -> None:
    """No warning: a host of one's own has no price, and that is no fault."""
    result = client.chat("x")
    assert (result.cost, client.ledger.rows[0].cost) == (None, None)
    assert result.usage.source == "provider"
    assert result.usage.output_tokens


# --- configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "  "])
def test_F071_no_key_names_the_variable(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = {"providers": {"openai": {} if key is None else {"api_key": key}}}
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        Client("openai:any", config=config)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[providers.opeanai]\nbase_url = 'https://a.example'\n", "providers.opeanai|opeanai"),
        ("[providers.openai]\nbase_ur = 'x'\n", r"named.toml:2: providers.openai.base_ur.*base_url"),
        ("[retry]\nattempts = 'many'\n", r"named.toml:2: retry.attempts"),
        ("[timeouts]\ntotal = -1\n", r"named.toml:2: timeouts.total"),
        ("[providers.openai]\napi_key = { env = 'NOT_SET_AT_ALL' }\n", "NOT_SET_AT_ALL"),
        ("a = " + "[" * 100_000, r"named.toml:\d+: not valid TOML"),
        ("a = " + "1" * 100_000, r"named.toml"),
        ("x = '" + "y" * 2**21 + "'", "larger than"),
        ("[models]\nsmart = ['smart']\n", "circle"),
    ],
)
def test_F072_a_wrong_file_is_refused_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    """TOML has no references, so there is no bomb of them as in YAML; depth and size are bounded."""
    file = tmp_path / "named.toml"
    file.write_text(text)
    name = "opeanai:any" if "opeanai" in text else "openai:any"
    with pytest.raises(ConfigError) as wrong:
        Client(name, config=file)
    assert re.search(says, str(wrong.value), re.DOTALL), str(wrong.value)


@pytest.mark.parametrize("url", ["http://a.example/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example/v1"])
def test_F073_a_key_is_not_sent_in_clear_to_another_machine(url: str) -> None:
    with pytest.raises(ConfigError, match="unencrypted") as refusal:
        Client("openai:any", api_key=KEY, base_url=url)
    assert "allow_plain_http" in refusal.value.hint
    config = {"providers": {"openai": {"api_key": KEY, "base_url": url, "allow_plain_http": True}}}
    Client("openai:any", config=config).close()
    for loopback in ("http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]/v1"):
        Client("openai:any", api_key=KEY, base_url=loopback).close()


def test_F073_an_address_holds_no_credentials() -> None:
    with pytest.raises(ConfigError, match="credentials"):
        Client("openai:any", api_key=KEY, base_url="https://user:pass@a.example/v1")


def test_F074_this_machine_is_never_reached_through_a_proxy(host: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    host.clear()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Client("openai:any", config=host.config(retry={"attempts": 1})) as client:
        assert client.chat("x").text == host.reply


# --- prompts and options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u3000"])
def test_F075_an_empty_or_blank_prompt(blank: str, client: Client, host: FaultServer) -> None:
    """A blank to be continued is allowed: a base model may be asked for whatever follows a line break."""
    refused(client, host, "messages", "chat", blank)
    refused(client, host, "messages[0]", "chat", [Message("user", blank)])
    refused(client, host, "messages[0]", "chat", [{"role": "user", "content": blank}])
    refused(client, host, "system", "chat", "x", system=blank)
    refused(client, host, "text", "translate", blank, to="zh")
    refused(client, host, "question", "answer", blank, context="x")
    refused(client, host, "text", "classify", blank, ["a", "b"])
    refused(client, host, "texts", "embed", blank)
    refused(client, host, "messages", "chat", [])
    if not blank:
        refused(client, host, "prompt", "complete", blank)


@pytest.mark.parametrize("wrong", [None, 7, b"x", object(), {1}, CYCLE])
def test_F076_what_is_no_text(wrong: Any, client: Client, host: FaultServer) -> None:
    refused(client, host, "messages", "chat", wrong)
    refused(client, host, "prompt", "complete", wrong)
    refused(client, host, "text", "translate", wrong, to="zh")
    refused(client, host, "question", "answer", wrong, context="x")
    refused(client, host, "text", "classify", wrong, ["a", "b"])
    refused(client, host, "messages[0]", "chat", [{"role": "boss", "content": "x"}])
    refused(client, host, "messages[0]", "chat", [CYCLE])
    refused(client, host, "messages[0]", "chat", [Message("user", wrong)] if wrong is not None else [None])


@pytest.mark.parametrize(("text", "says"), [("ab\ud800", "surrogate at 2"), ("a\0b", "NUL character at 1")])
def test_F077_what_no_wire_takes_is_named_with_its_place(
    text: str, says: str, client: Client, host: FaultServer
) -> None:
    for argument, verb, options in (
        ("messages", "chat", {}),
        ("prompt", "complete", {}),
        ("text", "translate", {"to": "zh"}),
    ):
        assert says in refused(client, host, argument, verb, text, **options).message
    assert says in refused(client, host, "labels[1]", "classify", "x", ["a", text]).message


def test_F078_a_prompt_of_10_MB_does_not_fit() -> None:
    with Client("local:pocket") as client, pytest.raises(ContextTooLong) as long:
        client.chat("word " * 2_000_000)
    assert long.value.limit is not None
    assert long.value.needed is not None
    assert long.value.needed > 1_000_000 > long.value.limit


def test_F079_special_tokens_in_a_text_are_text() -> None:
    with Client("local:pocket") as client:
        plain, special = (client.count_tokens(f"Hi {text} there").value for text in ("", "<|im_end|>"))
    assert special > plain + 1


class Same(enum.Enum):
    A = "good"
    B = "Good"


@pytest.mark.parametrize(
    ("labels", "argument", "says"),
    [
        ([], "labels", "no labels"),
        (["a"], "labels", "one label to choose from"),
        (["a", "a"], "labels", "twice"),
        (["a", "A"], "labels", "one label"),
        (["caf\u00e9", "cafe\u0301"], "labels", "one label"),
        (["stra\u00dfe", "STRASSE"], "labels", "one label"),
        (["a", ""], "labels[1]", "empty"),
        (["a", " b"], "labels", "white space"),
        (["a", 7], "labels[1]", "not int"),
        (["a", None], "labels[1]", "not NoneType"),
        (["a", "b" * 2000], "labels", "2000 characters"),
        ([str(number) for number in range(10_000)], "labels", "10000 labels"),
        ({"a": "x", "b": 7}, "labels['b']", "not int"),
        (Same, "labels", "one label"),
        ("ab", "labels", "str"),
        (None, "labels", "NoneType"),
    ],
)
def test_F080_labels(labels: Any, argument: str, says: str, client: Client, host: FaultServer) -> None:
    assert says in refused(client, host, argument, "classify", "x", labels).message


@pytest.mark.parametrize(
    ("options", "argument", "hint"),
    [
        ({"to": "zz"}, "to", "BCP-47"),
        ({"to": "zh_CN"}, "to", "zh-CN"),
        ({"to": "jp"}, "to", '"ja"'),
        ({"to": "English"}, "to", '"en"'),
        ({"to": ""}, "to", "BCP-47"),
        ({"to": None}, "to", "str"),
        ({"to": "x" * 500}, "to", ""),
        ({"to": "en", "source": "en"}, "source", "Leave source out"),
        ({"to": "en", "source": "EN"}, "source", "Leave source out"),
        ({"to": "en", "source": "jp"}, "source", '"ja"'),
    ],
)
def test_F081_languages(options: dict[str, Any], argument: str, hint: str, client: Client, host: FaultServer) -> None:
    assert hint in refused(client, host, argument, "translate", "Good morning", **options).hint


def test_F081_tags_are_brought_into_their_form(client: Client) -> None:
    assert client.translate("Good morning", to="ZH-hans").to == "zh-Hans"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", math.nan), ("temperature", -0.1), ("temperature", 1e9), ("temperature", "hot"),
        ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 2**63), ("max_tokens", 1.5), ("max_tokens", True),
        ("stop", ""), ("stop", [""]), ("stop", ["x"] * 1000), ("stop", [7]),
        ("top_p", 0), ("top_p", 1.1), ("top_p", math.inf), ("n", 0), ("n", 10**6), ("seed", -1), ("seed", 2**70),
        ("logprobs", 21), ("frequency_penalty", 3), ("presence_penalty", math.nan), ("logit_bias", {"a": 1}),
        ("deadline", -1), ("timeout", 0), ("retry", 0), ("idempotency_key", "a\nb"),
    ],
)  # fmt: skip
def test_F082_options_out_of_range(name: str, value: Any, client: Client, host: FaultServer) -> None:
    assert name in refused(client, host, name, "chat", "x", **{name: value}).message


def test_F082_no_stop_is_no_fault(client: Client, host: FaultServer) -> None:
    """An empty list says that nothing is to stop the reply, which programs pass on as it is."""
    assert client.chat("x", stop=[]).text == host.reply


# --- what is written ----------------------------------------------------------------------------------------------


def test_F108_a_ledger_that_cannot_be_written_says_so_and_holds_up_nobody(host: FaultServer, tmp_path: Path) -> None:
    host.clear()
    (tmp_path / "usage.db").mkdir()
    client = Client("openai:any", config=host.config(ledger={"path": str(tmp_path / "usage.db")}))
    with pytest.warns(UserWarning, match="usage.db"), client:
        assert client.chat("x").text == host.reply
    assert client.ledger.degraded


def test_F108_what_is_no_ledger_is_refused_before_anything_is_sent(host: FaultServer, tmp_path: Path) -> None:
    host.clear()
    (tmp_path / "usage.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigError, match="not a ledger"):
        Client("openai:any", config=host.config(ledger={"path": str(tmp_path / "usage.db")}))
    assert host.requests == []


@pytest.mark.parametrize("damage", ["torn", "no database"])
def test_F110_a_damaged_cache_is_a_miss(damage: str, host: FaultServer, tmp_path: Path) -> None:
    host.clear()
    file = tmp_path / "replies.db"
    config = host.config(cache={"on": True, "path": str(file)})
    for _ in range(2):
        with Client("openai:any", config=config) as client:
            assert client.chat("x", temperature=0).text == host.reply
    assert len(host.requests) == 1
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "torn" else b"x" * len(whole))
    for beside in (".db-wal", ".db-shm"):
        file.with_suffix(beside).unlink(missing_ok=True)
    with pytest.warns(UserWarning, match="the cache .* cannot be used"), Client("openai:any", config=config) as client:
        assert client.chat("x", temperature=0).text == host.reply
    assert len(host.requests) == 2


LEDGER, CACHE = "accounting/test_ledger_file.py", "replies/test_cached_entries.py"
ELSEWHERE = {
    107: (LEDGER, "what_a_killed_process_left_open_may_have_run", "killed_writers_lose_and_double"),
    108: (LEDGER, "a_full_disk_stops_nobody", "a_torn_file_stops_nobody", "a_clock_that_is_set_back"),
    109: (LEDGER, "killed_writers_lose_and_double", "processes_that_race_for_a_budget"),
    110: (CACHE, "no_two_different_requests_have_one_key", "another_operation_tenant_key", "a_damaged_entry_is_none"),
}
"""Rows that have their tests beside what they are about."""


@pytest.mark.parametrize("row", ELSEWHERE)
def test_rows_that_are_tested_elsewhere_are_there(row: int) -> None:
    file, *names = ELSEWHERE[row]
    source = (Path(__file__).parents[1] / file).read_text()
    assert [name for name in names if f"def test_{name}" not in source] == []
