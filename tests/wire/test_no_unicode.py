"""Replies that are read whole and are no valid Unicode: mended, with a warning, as streams and chats are (row 36)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from servers.huggingface_server import OPUS, SQUAD, SST, HuggingFaceServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import InvalidBody
from llmsdk.mending import WARNING
from llmsdk.testing import Fault, FaultServer, faults

ODD = {"bytes that are no UTF-8": b"\xff", "half a character": rb"\ud83d"}
KEY = "hf_" + "k" * 30
VECTORS = {"object": "list", "data": [{"index": 0, "embedding": [0.5, 1.0]}], "model": "MARK"}
MODELS = {"object": "list", "data": [{"id": "one-MARK"}, {"id": "two"}]}


def odd(body: Any, mark: bytes) -> Fault:
    return faults.says(json.dumps(body).encode().replace(b"MARK", mark))


@pytest.fixture(params=ODD)
def mark(request: pytest.FixtureRequest) -> bytes:
    return ODD[request.param]


def test_F036_embeddings_and_models(mark: bytes) -> None:
    with FaultServer() as host, Client("openai:any", config=host.config()) as client:
        host.inject(odd(VECTORS, mark))
        result = client.embed(["a"])
        assert (result.vectors, result.warnings) == (((0.5, 1.0),), (WARNING,))
        host.inject(odd(MODELS, mark))
        assert [model.id for model in client.models()] == ["one-\ufffd", "two"]
        host.inject(odd(VECTORS, b"it"))
        assert client.embed(["a"]).warnings == ()


@pytest.mark.anyio
async def test_F036_embeddings_on_a_loop(mark: bytes, anyio_backend: str) -> None:
    with FaultServer() as host:
        async with AsyncClient("openai:any", config=host.config()) as client:
            host.inject(odd({**VECTORS, "padding": "x" * 2**20}, mark))  # so large that it is read on a thread
            result = await client.embed(["a"])
    assert (result.vectors, result.warnings) == (((0.5, 1.0),), (WARNING,))


TASKS: dict[str, tuple[Any, Callable[[Client], Any], Callable[[Any], Any], Any]] = {
    OPUS: (
        [{"translation_text": "你好 MARK"}],
        lambda client: client.translate("Hello.", to="zh", source="en"),
        lambda result: result.text,
        "你好 \ufffd",
    ),
    SQUAD: (
        {"answer": "Ada", "start": 0, "end": 3, "score": 0.9, "note": "MARK"},
        lambda client: client.answer("Who?", context=["Ada wrote it."]),
        lambda result: result.text,
        "Ada",
    ),
    SST: (
        [[{"label": "good", "score": 0.9}, {"label": "MARK", "score": 0.1}]],
        lambda client: client.classify("great", ["good", "\ufffd"]),
        lambda result: result.label,
        "good",
    ),
}


@pytest.mark.parametrize("model", TASKS)
def test_F036_models_made_for_one_task(model: str, mark: bytes) -> None:
    body, ask, read, expected = TASKS[model]
    with HuggingFaceServer(KEY) as host:
        with Client(f"huggingface:{model}", api_key=KEY, base_url=host.url, retry=1) as client:
            host.inject(odd(body, mark))
            result = ask(client)
    assert read(result) == expected
    assert WARNING in result.warnings
    assert [row.settled for row in result.attempts] == ["estimated"]


def test_what_is_no_json_is_not_mended(mark: bytes) -> None:
    with FaultServer() as host, Client("openai:any", config=host.config(retry={"attempts": 1})) as client:
        host.inject(faults.says(b'{"data": "' + mark))
        with pytest.raises(InvalidBody, match="not JSON"):
            client.embed(["a"])
