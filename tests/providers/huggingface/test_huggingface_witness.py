"""Recorded replies of the hub's endpoints, and the official package as a witness of what is sent and read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dialects import CANARY, PAGES
from recorded import Exchange, folded, load, wire
from servers.huggingface_server import MNLI, NLLB, OPUS, SQUAD, SST, HuggingFaceServer

from llmsdk import Client
from llmsdk.errors import InvalidBody, NotFound
from llmsdk.types import Request
from llmsdk_providers.huggingface import HuggingFace, Settings, tasks

FILM = "great film, i love it"
PROVIDER = HuggingFace("recorded", Settings(api_key="k"))


# --- recorded -----------------------------------------------------------------------------------------------------


def recorded(shared: Path, endpoint: str) -> Exchange:
    return next(load(shared, "huggingface", endpoint))


def test_a_recorded_vector(shared_data: Path) -> None:
    exchange = recorded(shared_data, "/pipeline/feature-extraction/sentence-transformers/paraphrase-albert-small-v2")
    (vector,) = tasks.vectors([json.loads(exchange.body)], 1)
    assert len(vector) == 768
    assert vector[0] == -0.341085821390152


def test_a_recorded_reply_of_another_task(shared_data: Path) -> None:
    """Words for a gap have scores, but no labels."""
    exchange = recorded(shared_data, "/pipeline/fill-mask/bert-base-uncased")
    with pytest.raises(InvalidBody, match="no labels") as none:
        folded(PROVIDER.classify(Request(MNLI, "x"), ("a", "b"), False, wire(exchange)))
    assert "tasks" in none.value.hint


def test_a_recorded_model_that_is_not_there(shared_data: Path) -> None:
    exchange = recorded(shared_data, "/models/HuggingFaceH4/zephyr-7b-beta")
    with pytest.raises(NotFound, match="Not Found") as missing:
        folded(PROVIDER.translate(Request(OPUS, "Hello"), "zh", "en", wire(exchange)))
    assert missing.value.status == 404


# --- the official package -----------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HuggingFaceServer]:
    with HuggingFaceServer(CANARY, listed=True) as server:
        yield server


@pytest.fixture
def client(server: HuggingFaceServer) -> Iterator[Client]:
    with Client(f"huggingface:{OPUS}", api_key=CANARY, base_url=server.url) as client:
        yield client


@pytest.fixture
def witness(server: HuggingFaceServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the package for one of the models, by its address."""
    hub = pytest.importorskip("huggingface_hub", reason="the official package is the witness")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def of(model: str) -> Any:
        return hub.InferenceClient(model=f"{server.origin}/hf-inference/models/{model}", token=CANARY)

    yield of
    hub.close_session()


def sent(server: HuggingFaceServer) -> Any:
    """The bodies of the two latest requests: the witness's, and ours."""
    theirs, ours = (request.json for request in server.requests[-2:])
    assert server.requests[-1].headers["authorization"] == server.requests[-2].headers["authorization"]
    return theirs, ours


def test_translations(witness: Any, client: Client, server: HuggingFaceServer) -> None:
    theirs = witness(NLLB).translation("Good morning", src_lang="eng_Latn", tgt_lang="deu_Latn")
    ours = client.translate("Good morning", to="de", source="en", model=f"huggingface:{NLLB}")
    assert ours.text == theirs.translation_text == "guten Morgen"
    assert sent(server)[0] == sent(server)[1]


def test_answers(witness: Any, client: Client, server: HuggingFaceServer) -> None:
    question = "Where does Tom live?"
    theirs = witness(SQUAD).question_answering(
        question=question, context=PAGES[1], handle_impossible_answer=True, max_answer_len=tasks.LONGEST
    )
    (ours,) = client.answer(question, context=PAGES[1], model=f"huggingface:{SQUAD}").evidence
    assert (ours.quote, ours.start, ours.end, ours.score) == (theirs.answer, theirs.start, theirs.end, theirs.score)
    assert sent(server)[0] == sent(server)[1]


@pytest.mark.parametrize("multi", [False, True])
def test_labels(multi: bool, witness: Any, client: Client, server: HuggingFaceServer) -> None:
    labels = ["positive", "negative"]
    theirs = witness(MNLI).zero_shot_classification(FILM, labels, multi_label=multi)
    ours = client.classify(FILM, labels, multi=multi, model=f"huggingface:{MNLI}")
    assert ours.scores == {item.label: item.score for item in theirs}
    assert sent(server)[0] == sent(server)[1]


def test_heads(witness: Any, client: Client, server: HuggingFaceServer) -> None:
    theirs = witness(SST).text_classification(FILM, top_k=tasks.ALL, function_to_apply="softmax")
    ours = client.classify(FILM, ["POSITIVE", "NEGATIVE"], model=f"huggingface:{SST}")
    assert ours.scores == {item.label: item.score for item in theirs}
    assert sent(server)[0] == sent(server)[1]
