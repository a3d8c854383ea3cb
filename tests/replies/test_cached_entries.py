"""What is the same question and what is not; entries that come back exactly or not at all; stores and their room."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.cache.codec import compact, decode, encode
from llmsdk.cache.key import Asked, key
from llmsdk.cache.memory import Memory
from llmsdk.cache.sqlite import SQLite
from llmsdk.reply import Reply
from llmsdk.types import (
    Event,
    Finish,
    Info,
    Media,
    Message,
    Output,
    Reasoning,
    ReasoningDelta,
    Request,
    Score,
    Span,
    Text,
    TextDelta,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from llmsdk_providers.openai import OpenAI

SECRET, OTHER_SECRET = b"s" * 32, b"t" * 32


def provider(key: str = "sk-canary", name: str = "openai", **settings: Any) -> OpenAI:
    return OpenAI(name, OpenAI.Settings(api_key=key, base_url="https://api.example/v1", **settings))


PROVIDER = provider()
ASKED = Asked("generate", Request("m", (Message("user", "Hi!"),)), PROVIDER, ())


def name(asked: Asked, secret: bytes = SECRET) -> bytes:
    made = key(asked, secret)
    assert made is not None
    return made


# --- keys -------------------------------------------------------------------------------------------------------

REQUESTS = [
    ASKED.request,
    Request("m", "Hi!"),
    Request("M", (Message("user", "Hi!"),)),
    Request("m", (Message("system", "Hi!"),)),
    Request("m", (Message("user", "Hi"), Message("user", "!"))),
    Request("m", (Message("user", (Text("Hi!"),)),)),
    Request("m", (Message("user", (Text("Hi!", {"signature": "x"}),)),)),
    Request("m", (Message("user", (Text("Hi"), Text("!"))),)),
    Request("m", (Message("assistant", (Reasoning("Hi!"),)),)),
    Request("m", (Message("assistant", (ToolCall("1", "f", "{}"),)),)),
    Request("m", (Message("tool", (ToolResult("1", "{}"),)),)),
    Request("m", (Message("user", (Media("image/png", b"1"),)),)),
    Request("m", (Message("user", (Media("image/png", b"2"),)),)),
    Request("m", (Message("user", (Media("image/png", url="https://e.example/1"),)),)),
    *(
        replace(ASKED.request, **{field: value})
        for field, values in {
            "suffix": ["", "x"],
            "max_tokens": [1, 2],
            "temperature": [0.0, 0.5, 1.0],
            "top_p": [0.5],
            "top_k": [1],
            "min_p": [0.5],
            "stop": [("a",), ("a", "b"), ("ab",)],
            "seed": [0, 1],
            "n": [2],
            "echo": [True],
            "frequency_penalty": [0.0],
            "presence_penalty": [0.0],
            "repetition_penalty": [1.0],
            "logit_bias": [{1: 1.0}, {1: 2.0}, {2: 1.0}],
            "logprobs": [0, 1],
            "schema": [{}, {"type": "object"}],
            "schema_name": ["other"],
            "tools": [(Tool("f", {}),), (Tool("f", {}, "does"),), (Tool("f", {}, strict=True),), (Tool("g", {}),)],
            "tool_choice": ["auto", "f"],
            "parallel_tool_calls": [True, False],
            "reasoning": ["low", 1, True, False],
            "extra_headers": [{"a": "b"}, {"a": "c"}],
            "extra_body": [{"a": "b"}, {"a": ["b"]}, {"ab": ""}],
        }.items()
        for value in values
    ),
]


def test_no_two_different_requests_have_one_key() -> None:
    assert len({name(replace(ASKED, request=request)) for request in REQUESTS}) == len(REQUESTS)


def test_every_field_of_a_request_is_in_the_key_or_cannot_matter() -> None:
    changed = {
        f.name for f in fields(Request) for r in REQUESTS if getattr(r, f.name) != getattr(ASKED.request, f.name)
    }
    assert {f.name for f in fields(Request)} - changed == {"stream", "idempotency_key"}
    same = replace(ASKED.request, stream=True, idempotency_key="k")
    assert name(replace(ASKED, request=same)) == name(ASKED)


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, operation="score"),
        replace(ASKED, given=("zh",)),
        replace(ASKED, given=(None,)),
        replace(ASKED, namespace="tenant"),
        replace(ASKED, provider=provider("sk-other")),
        replace(ASKED, provider=provider(headers={"openai-organization": "org"})),
        replace(
            ASKED, provider=OpenAI("openai", OpenAI.Settings(api_key="sk-canary", base_url="https://e.example/v1"))
        ),
        replace(
            ASKED, provider=OpenAI("openai", OpenAI.Settings(api_key="sk-canary", base_url="https://api.example/v2"))
        ),
    ],
)
def test_another_operation_tenant_key_or_host_is_another_question(other: Asked) -> None:
    assert name(other) != name(ASKED)


def test_the_way_to_the_host_does_not_matter() -> None:
    assert name(replace(ASKED, provider=provider(proxy="http://p.example", http2=True))) == name(ASKED)


def test_keys_of_one_store_mean_nothing_to_another() -> None:
    assert name(ASKED, OTHER_SECRET) != name(ASKED)


@pytest.mark.parametrize("value", [object(), {1, 2}, print])
def test_what_cannot_be_told_apart_has_no_key(value: object) -> None:
    assert key(replace(ASKED, request=replace(ASKED.request, extra_body={"x": value})), SECRET) is None


def test_a_provider_that_does_not_say_who_it_is_has_none() -> None:
    class Stranger:
        pass

    assert key(replace(ASKED, provider=Stranger()), SECRET) is None  # type: ignore[arg-type]


TEXTS = st.text(max_size=4)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(PLAIN, min_size=2, max_size=5))
def test_values_never_run_together(values: list[Any]) -> None:
    def asked(value: Any) -> bytes:
        return name(replace(ASKED, given=(value,)))

    exact = {repr(value): value for value in values}  # 1, True and 1.0 are equal, but not the same
    assert len({asked(value) for value in exact.values()}) == len(exact)
    assert asked(values[:1]) != asked(values)


# --- entries ----------------------------------------------------------------------------------------------------

STATES = st.none() | st.dictionaries(TEXTS, PLAIN, max_size=2)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(TextDelta, TEXTS, st.integers(0, 1)),
    st.builds(TextDelta, TEXTS, st.just(0), st.just((TokenLogprob("a", -0.5, (("b", -1.0),)),))),
    st.builds(ReasoningDelta, TEXTS, st.just(0), STATES, st.integers(0, 2)),
    st.builds(ToolCallDelta, st.integers(0, 1), TEXTS, TEXTS, TEXTS, st.just(0), STATES),
    st.builds(Usage, st.none() | st.integers(0, 9), st.integers(0, 9)),
    st.builds(Info, TEXTS, TEXTS, st.none() | TEXTS),
    st.builds(Finish, st.sampled_from(["stop", "length"]), TEXTS, st.integers(0, 1)),
    st.builds(Output, PLAIN | st.just((Score(-1.0, 2), Span(0, 1, 2, 0.5)))),
)


@given(st.lists(EVENTS, max_size=12))
def test_a_reply_comes_back_as_it_was(events: list[Event]) -> None:
    entry = encode(events, b"k", SECRET)
    assert entry is not None
    found = decode(entry, b"k", SECRET)
    assert found == compact(events)
    first, second = Reply(), Reply()
    for event in events:
        first.add(event)
    for event in found:
        second.add(event)
    assert (first.choices, first.usage, first.output, first.id, first.warnings) == (
        second.choices, second.usage, second.output, second.id, second.warnings
    )  # fmt: skip


def test_the_wire_and_the_pieces_are_not_kept() -> None:
    events = [TextDelta("a"), TextDelta("b"), Info("1", raw=b"{secret}"), TextDelta("c", 1), TextDelta("d", 1)]
    assert compact(events) == [TextDelta("ab"), Info("1"), TextDelta("cd", 1)]
    assert b"secret" not in (encode(events, b"k", SECRET) or b"")


@pytest.mark.parametrize("value", [object(), {1}, 1j, type])
def test_what_would_not_come_back_is_not_kept(value: object) -> None:
    assert encode([Output(value)], b"k", SECRET) is None


@given(st.binary(max_size=40), st.integers(0, 200), st.integers(1, 255))
def test_a_damaged_entry_is_none(junk: bytes, place: int, change: int) -> None:
    entry = encode([TextDelta("hello"), Usage(1, 2), Finish("stop")], b"k", SECRET)
    assert entry is not None
    assert decode(junk, b"k", SECRET) is None
    damaged = bytearray(entry)
    damaged[place % len(entry)] ^= change
    assert decode(bytes(damaged), b"k", SECRET) is None
    assert decode(entry[: place % len(entry)], b"k", SECRET) is None


def test_an_entry_of_another_key_or_store_is_none() -> None:
    entry = encode([TextDelta("hello")], b"k", SECRET) or b""
    assert decode(entry, b"l", SECRET) is None
    assert decode(entry, b"k", OTHER_SECRET) is None


# --- stores -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = Memory(1000) if request.param == "memory" else SQLite(tmp_path / "folder/c.db", 1000)
    yield made
    made.close()


def test_what_is_put_is_found(store: Any) -> None:
    assert store.get(b"a") is None
    store.put(b"a", b"one", 5.0)
    assert store.get(b"a") == (5.0, b"one")
    store.put(b"a", b"two", 6.0)
    assert store.get(b"a") == (6.0, b"two")
    store.remove(b"a")
    assert store.get(b"a") is None
    assert len(store.secret) == 32


def test_there_is_room_for_so_much(store: Any) -> None:
    for number in range(500):
        store.put(b"%d" % number, b"x" * 90, float(number))
    kept = [number for number in range(500) if store.get(b"%d" % number)]
    assert 1 <= len(kept) <= 11
    assert kept == list(range(500 - len(kept), 500))
    store.put(b"large", b"x" * 2000, 0.0)
    assert store.get(b"large") is None


def test_what_is_used_stays() -> None:
    store = Memory(300)
    for number in range(20):
        store.put(b"%d" % number, b"x" * 90, 0.0)
        assert store.get(b"0")


def test_threads_share_a_store(store: Any) -> None:
    def work(number: int) -> None:
        for turn in range(30):
            store.put(b"%d" % (turn % 7), b"%d" % number, 0.0)
            assert store.get(b"%d" % (turn % 7))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_a_file_outlives_its_client_and_is_for_its_owner(tmp_path: Path) -> None:
    first = SQLite(tmp_path / "c.db", 1000)
    secret = first.secret
    first.put(b"a", b"one", 5.0)
    first.close()
    second = SQLite(tmp_path / "c.db", 1000)
    assert (second.get(b"a"), second.secret) == ((5.0, b"one"), secret)
    second.close()
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "c.db").stat().st_mode) == 0o600


def _write(path: Path, number: int) -> None:
    store = SQLite(path, 10**6)
    for turn in range(25):
        store.put(b"%d-%d" % (number, turn), b"entry", 0.0)
    store.close()


def test_processes_share_a_file(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write, args=(tmp_path / "c.db", number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    store = SQLite(tmp_path / "c.db", 10**6)
    assert all(store.get(b"%d-%d" % (number, turn)) for number in range(2) for turn in range(25))
    store.close()


@pytest.mark.parametrize("what", ["junk", "folder", "other"])
def test_a_file_that_cannot_be_used_is_a_miss_and_one_warning(tmp_path: Path, what: str) -> None:
    path = tmp_path / "c.db"
    if what == "junk":
        path.write_bytes(b"this is no database at all" * 100)
    elif what == "folder":
        path.mkdir()
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE entries (what TEXT)")
        connection.close()
    store = SQLite(path, 1000)
    with warnings.catch_warnings(record=True, action="always") as told:
        assert store.secret == b""
        store.put(b"a", b"one", 5.0)
        assert store.get(b"a") is None
    assert ["cannot be used" in str(warning.message) for warning in told] == [True]
    store.close()


def test_a_warning_that_is_an_error_costs_no_reply(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.mkdir()
    store = SQLite(path, 1000)
    with warnings.catch_warnings(action="error"):
        store.put(b"a", b"one", 5.0)
        assert store.get(b"a") is None
    store.close()


def test_a_locked_file_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmsdk.cache.sqlite._SECONDS", 0.05)
    path = tmp_path / "c.db"
    store = SQLite(path, 1000)
    store.put(b"a", b"one", 5.0)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(UserWarning, match="SQLITE_BUSY"):
        store.put(b"b", b"two", 5.0)
    other.close()
    store.close()
