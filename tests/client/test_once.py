"""What a call needs is worked out once, and what an error says fits on a line."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import Scripted, says
from servers.openai_server import KEY

from llmsdk import AsyncClient, Client
from llmsdk.core import NAMED, PLANS
from llmsdk.errors import InputError, Unsupported
from llmsdk.functions import Function
from llmsdk.provider import Capabilities
from llmsdk.registry import BUILT_IN


class Counted(list[str]):
    """Counts how often it is read."""

    read = 0

    def __iter__(self) -> Iterator[str]:
        self.read += 1
        return super().__iter__()


def test_an_option_is_checked_once() -> None:
    stop = Counted(["a", "b"])
    with Client("scripted:m", provider=Scripted(says("x"))) as client:
        assert client.chat("x", stop=stop).text == "x"
    assert stop.read == 1


def test_a_default_is_checked_when_it_is_set_and_not_again() -> None:
    stop, provider = Counted(["a"]), Scripted(says("x"), says("y"))
    with Client("scripted:m", provider=provider, stop=stop, extra={"body": {"a": 1}}) as client:
        client.chat("x")
        client.chat("x", extra={"headers": {"X-A": "b"}})
    assert stop.read == 1
    assert [request.stop for request in provider.requests] == [("a",), ("a",)]
    assert provider.requests[0].extra_body == {"a": 1}
    assert provider.requests[1].extra_body == {}, "an option takes the place of the default's whole"


def test_a_batch_checks_its_options_once_for_all_of_its_items() -> None:
    stop, provider = Counted(["a"]), Scripted(says("x"), says("y"), says("z"))
    with Client("scripted:m", provider=provider) as client:
        client.chat(["1", "2", "3"], stop=stop, idempotency_key="k", concurrency=1)
    assert stop.read == 1
    assert [request.stop for request in provider.requests] == [("a",)] * 3
    assert [request.idempotency_key for request in provider.requests] == ["k.0", "k.1", "k.2"]


@pytest.mark.anyio
async def test_the_options_of_a_batch_are_checked_before_any_item_is_asked_and_at_once() -> None:
    provider = Scripted()
    async with AsyncClient("scripted:m", provider=provider) as client:
        with pytest.raises(InputError, match="temperature"):
            _ = client.chat(["1", "2"], temperature=-1, errors="return")  # never awaited
    assert provider.requests == []


def test_the_schema_of_a_function_is_worked_out_once() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    provider = Scripted(says("x"))
    with Client("scripted:m", provider=provider) as client:
        client.chat("x", tools=[add], steps=3)
    assert provider.requests[0].tools[0] is Function.of(add).tool
    gone = weakref.ref(add)
    del add
    gc.collect()
    assert gone() is None, "it is not kept for it"


def test_functions_that_only_look_alike_have_schemas_of_their_own() -> None:
    def make(kind: Any) -> Any:
        def f(a: Any) -> None: ...

        f.__annotations__["a"] = kind
        return f

    kinds = [Function.of(make(kind)).tool.parameters["properties"]["a"]["type"] for kind in (int, str)]
    assert kinds == ["integer", "string"]


def test_who_has_a_capability_is_told_in_a_few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    bare = Scripted(can=Capabilities(options=frozenset()))
    with Client("scripted:m", provider=bare) as client, pytest.raises(Unsupported) as caught:
        client.chat("x", temperature=0.5)
    said = caught.value.hint.split(" can.")[0]
    assert said.startswith("mistral, local, "), "those that could be asked at once come first"
    assert said.endswith(" and others")
    assert sum(name in said for name in BUILT_IN) >= NAMED == said.count(", ") + 1
    with Client("scripted:m", provider=bare) as client, pytest.raises(Unsupported) as caught:
        client.embed("x")
    assert " can." not in caught.value.hint, "nobody is named where nobody is known"


def test_the_same_keywords_are_checked_once_and_equal_ones_of_another_type_again() -> None:
    provider = Scripted(*(says("x") for _ in range(6)))
    with Client("scripted:m", provider=provider) as client:
        for seed in (1, 1, 2):
            client.chat("x", seed=seed, system="s")
        assert len(client._core.plans) == 2
        with pytest.raises(InputError, match="seed=True is not a whole number"):
            client.chat("x", seed=True)
        with pytest.raises(InputError, match=r"seed=1\.0 is not a whole number"):
            client.chat("x", seed=1.0)  # type: ignore[arg-type]
        client.with_options(seed=3, temperature=1).chat("x", seed=1)
        client.chat("x", seed=1)
    assert [(request.seed, request.temperature) for request in provider.requests] == [
        (1, None), (1, None), (2, None), (1, 1), (1, None),
    ]  # fmt: skip


def test_few_keywords_are_remembered() -> None:
    provider = Scripted(*(says("x") for _ in range(PLANS + 1)))
    with Client("scripted:m", provider=provider) as client:
        for seed in range(PLANS + 1):
            client.chat("x", seed=seed)
        assert len(client._core.plans) == 1
    assert [request.seed for request in provider.requests] == [*range(PLANS + 1)]
