"""Hugging Face through the clients, over a real socket: chat by the router, and models made for one task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dialects import CANARY, PAGES, five_verbs, five_verbs_on_a_loop, refusal
from servers.huggingface_server import MNLI, NLLB, OPUS, SENTENCES, SQUAD, SST, HuggingFaceServer
from servers.openai_server import embedding

from llmsdk import AsyncClient, Client
from llmsdk.errors import (
    ConfigError,
    ContextTooLong,
    InputError,
    InvalidBody,
    InvalidRequest,
    LLMError,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    Unauthorized,
    Unsupported,
)

CHAT = "huggingface:test-model"
FILM = "great film, i love it"


def hf(model: str) -> str:
    return f"huggingface:{model}"


@pytest.fixture
def server() -> Iterator[HuggingFaceServer]:
    with HuggingFaceServer(CANARY) as server:
        yield server


@pytest.fixture
def client(server: HuggingFaceServer) -> Iterator[Client]:
    with Client(CHAT, api_key=CANARY, base_url=server.url, retry=1) as client:
        yield client


def body(server: HuggingFaceServer) -> Any:
    return server.requests[-1].json


# --- chat ---------------------------------------------------------------------------------------------------------


def test_the_five_verbs_of_a_model_that_chats(client: Client) -> None:
    five_verbs(client)


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: HuggingFaceServer) -> None:
    async with AsyncClient(CHAT, api_key=CANARY, base_url=server.url) as client:
        await five_verbs_on_a_loop(client)


# --- models made for one task -------------------------------------------------------------------------------------


def test_a_translation(client: Client, server: HuggingFaceServer) -> None:
    result = client.translate("Good morning.", to="zh", source="en", model=hf(OPUS))
    assert (result.text, result.route, result.model) == ("早上好。", "native", OPUS)
    assert (result.warnings, result.raw) == ((), [{"translation_text": "早上好。"}])
    assert server.requests[-1].path == f"/hf-inference/models/{OPUS}"
    assert body(server) == {"inputs": "Good morning."}
    assert "zh-Hant" in client.translate("Good morning.", to="zh-Hant", model=hf(OPUS)).warnings[0]
    with client.translate("Good morning.", to="zh", model=hf(OPUS), stream=True) as stream:
        assert "".join(event.text for event in stream) == stream.result.text == result.text


def test_a_translation_by_a_model_of_many_languages(client: Client, server: HuggingFaceServer) -> None:
    assert client.translate("Good morning", to="de", source="en", model=hf(NLLB)).text == "guten Morgen"
    assert body(server)["parameters"] == {"src_lang": "eng_Latn", "tgt_lang": "deu_Latn"}


def test_a_language_it_does_not_know_is_refused_before_anything_is_sent(
    client: Client, server: HuggingFaceServer
) -> None:
    with pytest.raises(InputError, match="does not translate to 'fr'"):
        client.translate("Good morning", to="fr", model=hf(OPUS))
    with pytest.raises(InputError, match="language of the text"):
        client.translate("Good morning", to="fr", model=hf(NLLB))
    with pytest.raises(ConfigError, match="not known which languages"):
        client.translate("Good morning", to="fr", model=hf("Helsinki-NLP/opus-mt-en-ROMANCE"))
    with pytest.raises(Unsupported, match="glossary"):
        client.translate("Good morning", to="zh", glossary={"a": "b"}, model=hf(OPUS))
    assert server.requests == []
    assert [row.settled for row in client.ledger.rows] == ["none"] * 3


def test_an_answer(client: Client, server: HuggingFaceServer) -> None:
    result = client.answer("When will order 4071 arrive?", context=[*PAGES, PAGES[0]], model=hf(SQUAD))
    assert (result.text, result.answerable, result.route) == ("on Friday", True, "native")
    pages = [*PAGES, PAGES[0]]
    assert [(e.quote, e.source, e.score) for e in result.evidence] == [("on Friday", 0, 0.875), ("on Friday", 2, 0.875)]
    assert all(pages[e.source][e.start : e.end] == e.quote for e in result.evidence)
    assert [request.json["inputs"]["context"] for request in server.requests] == pages
    assert len(result.attempts) == 1
    missing = client.answer("Where does Bob live?", context=PAGES[:1], model=hf(SQUAD))
    assert (missing.text, missing.answerable, missing.evidence) == ("", False, ())
    with client.answer("Where does Tom live?", context=PAGES, model=hf(SQUAD), stream=True) as stream:
        assert "".join(event.text for event in stream) == stream.result.text == "in Berlin"


@pytest.mark.parametrize("listed", [False, True])
def test_labels_of_ones_own(listed: bool, client: Client, server: HuggingFaceServer) -> None:
    server.listed = listed
    result = client.classify(FILM, ["negative", "positive"], model=hf(MNLI))
    assert (result.label, result.route, result.probability) == ("positive", "native", "exact")
    assert sum(result.scores.values()) == pytest.approx(1)
    assert body(server)["parameters"] == {"candidate_labels": ["negative", "positive"], "multi_label": False}
    several = client.classify(FILM, ["positive", "negative", "food"], multi=True, model=hf(MNLI))
    assert several.labels == ("positive",)
    assert body(server)["parameters"]["multi_label"] is True


def test_labels_of_the_model(client: Client, server: HuggingFaceServer) -> None:
    result = client.classify(FILM, ["negative", "positive"], model=hf(SST))
    assert (result.label, result.route, result.probability) == ("positive", "native", "exact")
    with pytest.raises(InputError, match="not those of") as others:
        client.classify(FILM, ["good", "bad"], model=hf(SST))
    assert others.value.hint == "Pass its own: 'POSITIVE', 'NEGATIVE'."
    assert client.classify(FILM, ["positive"], multi=True, model=hf(SST)).labels == ("positive",)
    assert "function_to_apply" not in body(server)["parameters"]


def test_vectors(client: Client, server: HuggingFaceServer) -> None:
    texts = ["cat", "dog"]
    assert client.embed(texts, model=hf(SENTENCES)).vectors == tuple(tuple(embedding(text)) for text in texts)
    assert server.requests[-1].path == f"/hf-inference/models/{SENTENCES}/pipeline/feature-extraction"
    assert body(server) == {"inputs": texts, "truncate": False}
    with pytest.raises(Unsupported):
        client.embed(texts)


@pytest.mark.parametrize("model", [OPUS, SQUAD, MNLI, SST, SENTENCES])
def test_they_do_not_chat(model: str, client: Client, server: HuggingFaceServer) -> None:
    for ask in (client.chat, client.complete):
        with pytest.raises(Unsupported, match="does not support chat"):
            ask("Hello!", model=hf(model))
    with pytest.raises(Unsupported):
        client.answer("Who?", model=hf(model))
    assert server.requests == []


def test_a_list_is_translated_side_by_side(client: Client) -> None:
    batch = client.translate(["Good morning", "Thank you", "Hello"], to="zh", model=hf(OPUS))
    assert [item.text for item in batch] == ["早上好", "谢谢", "你好"]
    assert {row.settled for row in batch.attempts} == {"estimated"}


@pytest.mark.anyio
async def test_all_of_it_on_a_loop(server: HuggingFaceServer) -> None:
    async with AsyncClient(hf(OPUS), api_key=CANARY, base_url=server.url) as client:
        assert (await client.translate("Good morning", to="zh")).text == "早上好"
        async with client.translate("Good morning", to="zh", stream=True) as stream:
            assert "".join([event.text async for event in stream]) == "早上好"
        answer = await client.answer("Where does Tom live?", context=PAGES, model=hf(SQUAD))
        assert answer.evidence[0].quote == answer.text == "in Berlin"
        async with client.answer("Where does Tom live?", context=PAGES, model=hf(SQUAD), stream=True) as found:
            assert "".join([event.text async for event in found]) == "in Berlin"
        assert (await client.classify(FILM, ["good", "bad"], model=hf(MNLI))).label == "good"
        assert (await client.classify(FILM, ["POSITIVE", "NEGATIVE"], model=hf(SST))).label == "POSITIVE"
        assert len((await client.embed(["cat"], model=hf(SENTENCES))).vectors) == 1
        assert client.ledger.open == ()


def test_tasks_of_a_dedicated_endpoint(server: HuggingFaceServer) -> None:
    path = f"/hf-inference/models/{SST}"
    table = {"api_key": CANARY, "base_url": server.origin, "task_path": path, "tasks": {"mine": "text-classification"}}
    with Client(hf("mine"), config={"providers": {"huggingface": table}}) as client:
        assert client.classify(FILM, ["positive", "negative"]).label == "positive"
    assert server.requests[-1].path == path


# --- errors -------------------------------------------------------------------------------------------------------

LOADING = {"error": f"Model {OPUS} is currently loading", "estimated_time": 20.0}


def failed(client: Client, **options: Any) -> LLMError:
    """The error of a translation, which shows the key nowhere."""
    with pytest.raises(LLMError) as caught:
        client.translate("Good morning", to="zh", model=hf(OPUS), **options)
    assert CANARY not in repr(caught.value) + str(caught.value) + repr(vars(caught.value)) + repr(client)
    assert client.ledger.open == ()
    return caught.value


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, {"error": f"Invalid token {CANARY}"}, Unauthorized),
        (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, QuotaExhausted),
        (404, b"Not Found", NotFound),
        (400, {"error": {"message": "The requested model 'x' is not supported by any provider you have enabled.",
                         "type": "invalid_request_error", "param": "model", "code": "model_not_supported"}}, NotFound),
        (400, {"error": "Input is too long for this model, shorten your input."}, ContextTooLong),
        (400, {"error": "index out of range in self"}, ContextTooLong),
        (413, {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 700"}, ContextTooLong),
        (400, {"error": ["Error in `parameters.top_k`: not an integer"], "warnings": ["x"]}, InvalidRequest),
        (422, b"Failed to deserialize the JSON body", InvalidRequest),
        (429, {"error": "Rate limit reached."}, RateLimited),
        (500, {"error": "unknown error"}, ServerFault),
        (503, LOADING, Overloaded),
        (200, LOADING, ServerFault),
        (200, {"error": "unknown error"}, ServerFault),
        (200, b"<html>", InvalidBody),
        (200, [], InvalidBody),
    ],
)  # fmt: skip
def test_errors_of_a_task(status: int, said: Any, kind: type[LLMError], client: Client, server: Any) -> None:
    import json

    server.script(status=status, body=said if isinstance(said, bytes) else json.dumps(said).encode())
    error = failed(client)
    assert type(error) is kind
    if said is LOADING:
        assert error.retry_after == 20  # type: ignore[attr-defined]
    if isinstance(said, dict) and isinstance(said["error"], list):
        assert error.message == said["error"][0]


def test_how_long_is_too_long(client: Client) -> None:
    with pytest.raises(ContextTooLong) as long:
        client.translate("a " * 599 + "a", to="zh", model=hf(OPUS))
    assert (long.value.limit, long.value.needed) == (512, 600)


def test_a_model_that_is_loading_is_asked_again(server: HuggingFaceServer) -> None:
    server.script(status=503, body={**LOADING, "estimated_time": 0.01})
    with Client(hf(OPUS), api_key=CANARY, base_url=server.url, retry={"base": 0}) as client:
        result = client.translate("Good morning", to="zh")
        assert [row.error for row in result.attempts] == ["Overloaded", None]
        server.script(status=503, body=LOADING)
        late = failed(client, deadline=5)
        assert isinstance(late, Overloaded)
        assert "the deadline leaves" in late.hint


def test_errors_of_a_chat(client: Client, server: HuggingFaceServer) -> None:
    unsupported = {"message": f"The requested model is not supported {CANARY}", "code": "model_not_supported"}
    server.script(status=400, body={"error": unsupported})
    assert isinstance(refusal(client), NotFound)
    server.key = "another"
    assert isinstance(refusal(client), Unauthorized)
    assert isinstance(failed(client), Unauthorized)
