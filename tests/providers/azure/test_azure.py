"""Azure OpenAI: its addresses, keys and tokens, what it sends, and the verbs over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recorded
from dialects import CANARY, events, five_verbs, fold, interruptions, refusal, sent, shown
from pydantic import BaseModel
from recorded import folded, load, sizes
from servers.http_server import Answer, Recorded
from servers.openai_server import OpenAIServer, embedding

from llmsdk import Client
from llmsdk.errors import (
    ConfigError,
    ContentFiltered,
    ContextTooLong,
    LLMError,
    MissingKey,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Unauthorized,
)
from llmsdk.io.pools import Pools
from llmsdk.io.sync import SyncIO
from llmsdk.types import Message, Request, Usage
from llmsdk_providers.azure import Azure, Settings
from llmsdk_providers.openai import OpenAI
from llmsdk_providers.openai import Settings as OpenAISettings

ROOT = "https://lab.openai.azure.com"
HI = (Message("user", "Hi!"),)
VERSION = "2024-10-21"


def provider(**settings: Any) -> Azure:
    return Azure("azure", Settings(**{"api_key": CANARY, "base_url": ROOT, **settings}))


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path", "model"),
    [
        ({}, "/openai/v1/chat/completions", "gpt-4o"),
        ({"base_url": f"{ROOT}/openai/v1/"}, "/openai/v1/chat/completions", "gpt-4o"),
        ({"base_url": f"{ROOT}/openai/v1", "api_version": "preview"},
         "/openai/v1/chat/completions?api-version=preview", "gpt-4o"),
        ({"deployment": "prod"}, "/openai/v1/chat/completions", "prod"),
        ({"api_version": VERSION}, f"/openai/deployments/gpt-4o/chat/completions?api-version={VERSION}", "gpt-4o"),
        ({"api_version": VERSION, "base_url": f"{ROOT}/openai"},
         f"/openai/deployments/gpt-4o/chat/completions?api-version={VERSION}", "gpt-4o"),
        ({"api_version": VERSION, "deployment": "my prod"},
         f"/openai/deployments/my%20prod/chat/completions?api-version={VERSION}", "my prod"),
        ({"api_version": VERSION, "base_url": f"{ROOT}/openai/deployments/prod"},
         f"/openai/deployments/prod/chat/completions?api-version={VERSION}", "prod"),
        ({"api_version": VERSION, "base_url": f"{ROOT}/models"},
         f"/models/chat/completions?api-version={VERSION}", "gpt-4o"),
    ],
)  # fmt: skip
def test_where_a_deployment_is(settings: dict[str, Any], path: str, model: str) -> None:
    request = provider(**settings).encode(Request("gpt-4o", HI))
    assert request.url == ROOT + path
    assert json.loads(request.body) == {"model": model, "messages": [{"role": "user", "content": "Hi!"}]}


def test_the_environment_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{ROOT}/")
    monkeypatch.setenv("OPENAI_API_VERSION", VERSION)
    request = Azure("azure", Settings(api_key=CANARY)).encode(Request("m", HI))  # type: ignore[arg-type]
    assert request.url == f"{ROOT}/openai/deployments/m/chat/completions?api-version={VERSION}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": None}, "no base_url"),
        ({"base_url": f"{ROOT}?api-version=1"}, "has a query"),
        ({"base_url": f"{ROOT}/openai/deployments/prod"}, "no api_version"),
        ({"base_url": f"{ROOT}/models"}, "no api_version"),
        ({"base_url": f"{ROOT}/openai/deployments/a", "deployment": "b", "api_version": VERSION}, "two deployments"),
        ({"base_url": f"{ROOT}/openai/deployments/a/chat/completions", "api_version": VERSION}, "ends in /chat/comp"),
        ({"base_url": f"{ROOT}/openai/v1/responses"}, "ends in /responses"),
        ({"base_url": "http://e.example"}, "unencrypted"),
        ({"base_url": "http://e.example", "api_key": None, "token": CANARY}, "unencrypted"),
        ({"base_url": "http://e.example", "api_key": None, "token_provider": lambda: CANARY}, "unencrypted"),
        ({"api_key": None, "token": f"Bearer {CANARY}"}, "begins with"),
        ({"api_key": None, "token": ""}, "is empty"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        provider(**settings)
    assert caught.value.hint
    assert CANARY not in str(caught.value)


def test_no_key() -> None:
    with pytest.raises(MissingKey, match="API key for 'azure'"):
        provider(api_key=None)


def test_what_the_models_can_do() -> None:
    """A deployment with the name of a model is known by it; behind /models there are models of others."""
    azure, foundry = provider(), provider(base_url=f"{ROOT}/models", api_version=VERSION)
    assert "reasoning" in azure.capabilities("gpt-5").options
    assert azure.capabilities("prod").logprobs == 20
    assert sent(azure, Request("prod", HI, max_tokens=5))["max_completion_tokens"] == 5
    assert sent(foundry, Request("grok-4", HI, max_tokens=5))["max_tokens"] == 5
    assert foundry.capabilities("grok-4").logprobs == 0


# --- keys and tokens ----------------------------------------------------------------------------------------------


def headers(request: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in request.headers}


def test_a_key_and_a_token() -> None:
    keyed = headers(provider().encode(Request("m", HI)))
    assert keyed["api-key"] == CANARY
    assert "authorization" not in keyed
    borne = headers(provider(token="ey.token").encode(Request("m", HI)))
    assert borne["authorization"] == "Bearer ey.token"
    assert "api-key" not in borne
    assert CANARY not in repr(provider()) + repr(provider(token=CANARY)) + repr(Settings(token=CANARY))  # type: ignore[arg-type]


# --- replies ------------------------------------------------------------------------------------------------------


FILTERS = {"hate": {"filtered": False, "severity": "safe"}}
FIRST = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0}],
}
HEAD = {"id": "chatcmpl-1", "model": "gpt-4o-2024"}
FIGURES = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 161}}


def stream(finish: str = "stop") -> bytes:
    def chunk(delta: Any, reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "content_filter_results": FILTERS}
        return {**HEAD, "choices": [choice], "usage": None}

    return events(
        FIRST, chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), chunk({"content": "llo"}),
        {**HEAD, "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 44}}]},
        chunk({}, finish), {**HEAD, "choices": [], "usage": FIGURES}, "[DONE]",
    )  # fmt: skip


@pytest.mark.parametrize(("finish", "reason"), [("stop", "stop"), ("content_filter", "content_filter")])
def test_a_reply_with_filters(finish: str, reason: str) -> None:
    message = {"role": "assistant", "content": "Héllo"}
    choice = {"index": 0, "message": message, "finish_reason": finish, "content_filter_results": FILTERS}
    body = {**HEAD, "choices": [choice], "usage": FIGURES, "prompt_filter_results": []}
    whole = fold(provider(), json.dumps(body).encode())
    assert (whole.text, whole.id, whole.model) == ("Héllo", "chatcmpl-1", "gpt-4o-2024")
    assert whole.finish is not None
    assert (whole.finish.reason, whole.finish.raw_reason) == (reason, finish)
    assert whole.usage == Usage(10, 2, 10)
    assert len(whole.warnings) == 1
    for size in (0, 1, 7):
        assert shown(fold(provider(), stream(finish), streamed=True, size=size)) == shown(whole)


def test_a_stream_cut_anywhere_is_never_taken_for_whole() -> None:
    whole = fold(provider(), stream(), streamed=True)
    complete = interruptions(provider(), stream(), whole)
    assert complete[0] > stream().index(b'"stop"')


ERRORS: list[tuple[int, dict[str, Any], type[LLMError]]] = [
    (401, {"code": "401", "message": "Access denied due to invalid subscription key."}, Unauthorized),
    (404, {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}, NotFound),
    (404, {"code": "404", "message": "Resource not found"}, NotFound),
    (400, {"code": "content_filter", "message": "Filtered.", "innererror": {
        "code": "ResponsibleAIPolicyViolation", "content_filter_result": FILTERS}}, ContentFiltered),
    (400, {"code": None, "message": "No.", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, ContentFiltered),
    (400, {"code": "context_length_exceeded", "message": "maximum context length is 8 tokens"}, ContextTooLong),
    (429, {"code": "429", "message": "Exceeded call rate limit."}, RateLimited),
    (429, {"code": "insufficient_quota", "message": "You exceeded your current quota."}, QuotaExhausted),
    (503, {"code": "503", "message": "The service is temporarily unable to process your request."}, Overloaded),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "kind"), ERRORS)
def test_errors(status: int, error: dict[str, Any], kind: type[LLMError]) -> None:
    hints = {"retry-after": "1", "retry-after-ms": "0", "apim-request-id": "req-1"}
    body = json.dumps({"error": {**error, "message": f"{error['message']} {CANARY}"}}).encode()
    fault = provider().error(status, hints, body)
    assert type(fault) is kind
    assert fault.request_id == "req-1"
    assert CANARY not in str(fault) + repr(vars(fault))
    if isinstance(fault, RateLimited):
        assert fault.retry_after == 1


# --- recorded -----------------------------------------------------------------------------------------------------


def test_recorded_chats_are_read_as_the_chat_dialect_reads_them(shared_data: Path) -> None:
    """Whose reading is held against the official package's in tests/providers/openai."""
    azure, chat = provider(), OpenAI("openai", OpenAISettings(base_url="http://127.0.0.1:1/v1"))
    exchanges = list(load(shared_data, "azure"))
    assert len(exchanges) >= 47
    for exchange in exchanges:
        mine = recorded.read(azure, exchange)
        assert mine == recorded.read(chat, exchange), exchange.name
        for size in sizes(exchange):
            assert recorded.read(azure, exchange, size) == mine, exchange.name


# --- a server -----------------------------------------------------------------------------------------------------


class AzureServer(OpenAIServer):
    """The chat server under the addresses of a resource, with its key or a token."""

    tokens = ("ey.one", "ey.two")

    def handle(self, request: Recorded) -> Answer:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.headers.get("api-key") != self.key and bearer not in self.tokens:
            return Answer(401, {"error": {"code": "401", "message": f"Access denied: {bearer}"}})
        path, _, endpoint = request.path.removeprefix("/openai").partition("/deployments/")
        if endpoint:
            if request.query.get("api-version") != VERSION:
                return Answer(404, {"error": {"code": "404", "message": "Resource not found"}})
            path = f"/v1/{endpoint.split('/', 1)[1]}"
        elif path == "/models":
            path = "/v1/models"
        answer = super().handle(replace(request, path=path, headers={"authorization": f"Bearer {self.key}"}))
        if isinstance(answer.body, bytes | str | Mapping):
            return answer
        return Answer(answer.status, [events(FIRST), *answer.body], answer.headers)


@pytest.fixture
def server() -> Iterator[AzureServer]:
    with AzureServer(key=CANARY) as server:
        yield server


def connected(server: AzureServer, **settings: Any) -> Client:
    host = {"base_url": server.origin, **settings}
    return Client("azure:test-model", config={"providers": {"azure": host}})


@pytest.mark.parametrize("settings", [{}, {"api_version": VERSION}])
def test_the_five_verbs(server: AzureServer, settings: dict[str, Any]) -> None:
    with connected(server, api_key=CANARY, logprobs=0, **settings) as client:
        five_verbs(client)


class City(BaseModel):
    city: str


def test_a_schema_a_token_that_expires_and_refusals(server: AzureServer) -> None:
    tokens = [*server.tokens, "ey.secret-that-expired", "", "ey.one"]
    with connected(server, token_provider=lambda: tokens.pop(0), api_version=VERSION) as client:
        assert client.chat("city=Paris", output=City).value == City(city="Paris")
        with client.chat("Hello!", stream=True) as events:
            assert "".join(event.text for event in events) == "Hello! How can I help you?"
        denied = refusal(client)
        assert isinstance(denied, Unauthorized)
        assert "ey.secret" not in str(denied) + repr(vars(denied))
        assert isinstance(refusal(client), Unauthorized)
        assert isinstance(refusal(client, model="azure:nobody"), NotFound)
        with pytest.raises(Unauthorized, match="failed with IndexError"):
            client.chat("Hello!", retry={"attempts": 1})
    bearers = [request.headers["authorization"] for request in server.requests]
    assert bearers == [f"Bearer {token}" for token in ("ey.one", "ey.two", "ey.secret-that-expired", "ey.one")]
    assert all("api-key" not in request.headers for request in server.requests)


def test_embeddings_and_models(server: AzureServer) -> None:
    settings = {"api_key": CANARY, "base_url": server.origin, "api_version": VERSION, "deployment": "test-embed"}
    host = Azure("azure", Settings(**settings))  # type: ignore[arg-type]
    pools = Pools()
    try:
        assert folded(host.embed("any", ["a cat"], SyncIO(pools))).output == (tuple(embedding("a cat")),)
        models = folded(host.models(SyncIO(pools))).output
    finally:
        pools.close()
    assert isinstance(models, tuple)
    assert "test-model" in [model.id for model in models]
    assert [request.path for request in server.requests] == [
        "/openai/deployments/test-embed/embeddings",
        "/openai/models",
    ]
