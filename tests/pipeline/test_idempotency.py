"""Idempotency keys: really sent, the same for all attempts of a question, another for each question, in the rows."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import Scripted, says
from servers.openai_server import OpenAIServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import Disconnected, InputError, Overloaded, TimedOut

NO_WAIT = {"base": 0.0}


class Once(Scripted):
    """Of a host that does a request with the same key once."""

    idempotent = True


def keys(provider: Scripted) -> list[str | None]:
    return [request.idempotency_key for request in provider.requests]


def test_attempts_share_the_key_and_rows_have_it() -> None:
    provider = Scripted([Overloaded("busy")], says("ok"))
    with Client("scripted:m", provider=provider, retry=NO_WAIT) as client:
        rows = client.complete("x", idempotency_key="job-1").attempts
    assert keys(provider) == [row.idempotency_key for row in rows] == ["job-1", "job-1"]


def test_inputs_of_a_list_and_further_models_have_keys_of_their_own() -> None:
    first = Scripted(*([Overloaded("busy")] for _ in range(2)), name="first")
    second = Scripted(says("a"), says("b"), name="second")
    config = {"models": {"smart": ["first:m", "second:m"]}}
    with Client("smart", config=config, provider=[first, second], retry=1) as client:
        client.complete(["x", "y"], idempotency_key="job", concurrency=1)
    assert keys(first) + keys(second) == ["job.0", "job.1", "job.0/1", "job.1/1"]


@pytest.mark.parametrize("fault", [Disconnected("gone"), TimedOut("late")])
def test_where_the_host_honours_it_what_may_have_run_is_sent_again(fault: Exception) -> None:
    provider = Once([fault], says("ok"), says("ok"))
    with Client("scripted:m", provider=provider, retry=NO_WAIT) as client:
        assert client.complete("x").text == "ok"
        client.complete("x")
    first, again, other = keys(provider)
    assert first == again != other
    assert first is not None
    assert len(first) == 32


def test_elsewhere_a_key_allows_nothing_and_none_is_made_up() -> None:
    provider = Scripted([TimedOut("late")], says("ok"))
    with Client("scripted:m", provider=provider, retry=NO_WAIT) as client:
        with pytest.raises(TimedOut):
            client.complete("x", idempotency_key="k")
        client.complete("x")
    assert keys(provider) == ["k", None]


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_a_client_has_none_for_all_its_calls(make: Any) -> None:
    given: dict[str, Any] = {"idempotency_key": "k"}
    with pytest.raises(InputError, match="is for one call") as refused:
        make("scripted:m", provider=Scripted(), **given)
    assert "Pass it to the call" in refused.value.hint
    with pytest.raises(InputError, match="is for one call"):
        make("scripted:m", provider=Scripted()).with_options(**given)


def test_on_a_socket(openai_server: OpenAIServer) -> None:
    openai_server.script(drop="close", times=1)
    host: dict[str, Any] = {"base_url": openai_server.url, "api_key": openai_server.key, "idempotent": True}
    with Client("openai:test-model", config={"providers": {"openai": host}, "retry": NO_WAIT}) as client:
        result = client.chat("Hi!")
    sent = [request.headers["idempotency-key"] for request in openai_server.requests]
    assert len(sent) == 2
    assert set(sent) == {row.idempotency_key for row in result.attempts}
    assert len(set(sent)) == 1
    assert [row.settled for row in result.attempts] == ["upper_bound", "exact"]
