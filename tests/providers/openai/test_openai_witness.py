"""The test server is one that the official ``openai`` package accepts: what it shows our client, it shows it too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import openai
import pytest
from servers.brain import pieces
from servers.openai_server import OpenAIServer, count_prompt, embedding

HI: Any = [{"role": "user", "content": "Hi!"}]
HELLO = "Hello! How can I help you?"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture(scope="module")
def client() -> Iterator[tuple[OpenAIServer, openai.OpenAI]]:
    """One for all: to make a client takes the package longer than to run a test."""
    with (
        OpenAIServer() as server,
        openai.OpenAI(base_url=server.url, api_key=server.key, max_retries=0) as client,
    ):
        yield server, client


@pytest.fixture
def server(client: tuple[OpenAIServer, openai.OpenAI]) -> OpenAIServer:
    client[0].clear()
    client[0].gzip = False
    return client[0]


@pytest.fixture
def witness(client: tuple[OpenAIServer, openai.OpenAI], server: OpenAIServer) -> openai.OpenAI:
    return client[1]


def test_starts_fast_and_leaves_nothing() -> None:
    began = time.monotonic()
    with OpenAIServer() as server:
        assert time.monotonic() - began < 0.5
        with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
            connection.request("GET", "/v1/models")
            assert connection.getresponse().status == 401
        assert server.requests[0].path == "/v1/models"
    assert server.wait(lambda: server.open_connections == 0)


def test_chat(witness: openai.OpenAI) -> None:
    reply = witness.chat.completions.create(model="test-model", messages=HI)
    assert reply.choices[0].message.content == HELLO
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == count_prompt(HI) == 5
    assert reply.usage.completion_tokens == len(pieces(HELLO)) == 8


def test_streamed_chat(witness: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(witness.chat.completions.create(model="test-model", messages=HI, stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == HELLO
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (5, 8)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_several_choices_in_turn(witness: openai.OpenAI) -> None:
    chunks = witness.chat.completions.create(model="test-model", messages=HI, stream=True, n=2)
    texts = ["", ""]
    order = []
    for chunk in chunks:
        order.append(chunk.choices[0].index)
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [HELLO, f"{HELLO} (2)"]
    assert order[:4] == [0, 1, 0, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(witness: openai.OpenAI, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "Use get_weather with city=Paris, for 3 days."}]
    if stream:
        with witness.chat.completions.stream(model="test-model", messages=messages, tools=[WEATHER]) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = (
            witness.chat.completions.create(model="test-model", messages=messages, tools=[WEATHER]).choices[0].message
        )
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 3}
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    reply = witness.chat.completions.create(model="test-model", messages=messages, tools=[WEATHER])
    assert reply.choices[0].message.content == "The tool says: sunny"


def test_schema(witness: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["glad", "sad"]}, "list": {"type": "array", "items": {"type": "number"}}},
        "required": ["mood", "list"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    question: Any = [{"role": "user", "content": "I am sad since 2 days"}]
    reply = witness.chat.completions.create(model="test-model", messages=question, response_format=form)
    assert json.loads(reply.choices[0].message.content or "") == {"mood": "sad", "list": [2.0]}


def test_logprobs(witness: openai.OpenAI) -> None:
    asked: Any = [
        {"role": "system", "content": "Which label fits the text? Reply with its letter only.\nA. good\nB. bad"},
        {"role": "user", "content": "A terrible, boring film."},
    ]
    reply = witness.chat.completions.create(
        model="test-model", messages=asked, logprobs=True, top_logprobs=2, max_tokens=1
    )
    assert reply.choices[0].message.content == "B"
    scores = reply.choices[0].logprobs
    assert scores is not None
    assert scores.content is not None
    assert [entry.token for entry in scores.content[0].top_logprobs] == ["B", "A"]
    assert scores.content[0].logprob > -0.1


def test_completions(witness: openai.OpenAI) -> None:
    reply = witness.completions.create(
        model="test-instruct", prompt="Once upon a time", echo=True, logprobs=1, max_tokens=3
    )
    assert reply.choices[0].text == "Once upon a time there was a"
    assert reply.choices[0].finish_reason == "length"
    scores = reply.choices[0].logprobs
    assert scores is not None
    assert scores.tokens == ["Once", " upon", " a", " time", " there", " was", " a"]
    assert scores.token_logprobs is not None
    assert scores.token_logprobs[0] is None
    chunks = list(witness.completions.create(model="test-instruct", prompt="Once upon a time", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == " there was a little cat who lived by the sea."


def test_embeddings(witness: openai.OpenAI) -> None:
    reply = witness.embeddings.create(model="test-embed", input=["a cat", "a dog"])
    assert [row.embedding for row in reply.data] == [embedding("a cat"), embedding("a dog")]
    assert reply.usage.prompt_tokens == 4
    plain = witness.embeddings.create(model="test-embed", input="a cat", encoding_format="float")
    assert plain.data[0].embedding == embedding("a cat")


def test_models(witness: openai.OpenAI) -> None:
    assert "test-model" in [model.id for model in witness.models.list()]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "nobody"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"max_tokens": 0}, openai.BadRequestError),
        ({"max_tokens": 9000}, openai.BadRequestError),
        ({"extra_body": {"nonsense": 1}}, openai.BadRequestError),
    ],
)
def test_refusals(witness: openai.OpenAI, fields: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        witness.chat.completions.create(**{"model": "test-model", "messages": HI, **fields})


def test_a_wrong_key(witness: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        witness.with_options(api_key="sk-wrong-key-123").models.list()


def test_scripts(witness: openai.OpenAI, server: OpenAIServer) -> None:
    ask: Any = {"model": "test-model", "messages": HI}
    server.script(status=429, headers={"retry-after": "1"}, body={"error": {"message": "slow down"}})
    with pytest.raises(openai.RateLimitError):
        witness.chat.completions.create(**ask)
    for how in ({"drop": "close"}, {"drop": "reset"}, {"cut": 20, "end": "close"}, {"raw": b"SSH-2.0-OpenSSH\r\n"}):
        server.script(**how)
        with pytest.raises(openai.APIError):
            witness.chat.completions.create(**ask)
    server.script(piece=1)
    assert witness.chat.completions.create(**ask).choices[0].message.content == HELLO
    server.gzip = True
    assert witness.chat.completions.create(**ask).choices[0].message.content == HELLO
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in witness.chat.completions.create(**ask, stream=True))
        == HELLO
    )


def test_hanging_up_shows(witness: openai.OpenAI, server: OpenAIServer) -> None:
    server.script(cut=300, end="hang")
    stream = witness.chat.completions.create(model="test-model", messages=HI, stream=True)
    next(iter(stream))
    stream.close()
    assert server.wait(lambda: server.requests[0].aborted)
    assert server.wait(lambda: server.open_connections == 0)
