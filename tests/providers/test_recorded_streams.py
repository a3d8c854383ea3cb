"""Every recorded stream of every dialect: cut anywhere it tells the same, and no beginning of it is taken for all.

The official packages say what a stream means, in the tests of each dialect; here it is held to be the same however the
network delivers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import Exchange

from llmsdk.errors import LLMError
from llmsdk.io.drive import drive
from llmsdk.reply import Reply
from llmsdk.types import Event, TextDelta
from llmsdk_providers.anthropic import Anthropic
from llmsdk_providers.anthropic import Settings as AnthropicSettings
from llmsdk_providers.bedrock import Bedrock
from llmsdk_providers.bedrock import Settings as BedrockSettings
from llmsdk_providers.cohere import Cohere
from llmsdk_providers.cohere import Settings as CohereSettings
from llmsdk_providers.gemini import Gemini, Vertex, VertexSettings
from llmsdk_providers.gemini import Settings as GeminiSettings
from llmsdk_providers.mistral import Mistral
from llmsdk_providers.mistral import Settings as MistralSettings
from llmsdk_providers.ollama import Ollama
from llmsdk_providers.ollama import Settings as OllamaSettings
from llmsdk_providers.openai import OpenAI, hosts
from llmsdk_providers.openai import Settings as OpenAISettings
from llmsdk_providers.openai_responses import Responses
from llmsdk_providers.openai_responses import Settings as ResponsesSettings

HERE = "http://127.0.0.1:1"
LARGEST = 60_000
"""Bytes of a stream that is tried: a longer one has nothing that these have not."""
Row = tuple[str, str, Any, int]
"""Whose recordings, of which endpoint, who reads them, and how many streams there are at least."""


def _openai(name: str) -> Any:
    kind: type[OpenAI] = getattr(hosts, name) if name in hosts.HOSTS else OpenAI
    return kind(name, OpenAISettings(base_url=HERE))


CHAT = "/chat/completions"
CHATS = {
    "openai": 17, "azure": 14, "cerebras": 5, "deepseek": 5, "groq": 10, "openrouter": 54, "xai": 17, "zhipu": 13,
}  # fmt: skip
ROWS: dict[str, Row] = {
    **{name: (name, CHAT, _openai(name), least) for name, least in CHATS.items()},
    "anthropic": ("anthropic", "/messages", Anthropic("a", AnthropicSettings(base_url=HERE)), 30),
    "bedrock": ("bedrock", "/converse-stream", Bedrock("b", BedrockSettings(base_url=HERE)), 21),
    "cohere": ("cohere", "/v2/chat", Cohere("c", CohereSettings(base_url=HERE)), 9),
    "gemini": ("google", ":streamGenerateContent", Gemini("g", GeminiSettings(base_url=HERE)), 27),
    "mistral": ("mistral", CHAT, Mistral("m", MistralSettings(base_url=HERE)), 16),
    "ollama": ("ollama", "/api/chat", Ollama("o", OllamaSettings(base_url=HERE)), 7),
    "openai-responses": ("openai", "/responses", Responses("r", ResponsesSettings(base_url=HERE)), 27),
    "vertex": ("vertex", ":streamGenerateContent", Vertex("v", VertexSettings(base_url=HERE, project="p")), 3),
}


def streams(shared: Path, row: Row) -> list[Exchange]:
    """The recorded streams of a dialect. Some recorders dropped the content type: the request says that it is one."""
    provider, endpoint, _, least = row
    found = [
        replace(item, streamed=True)
        for item in recorded.load(shared, provider, endpoint)
        if item.status == 200
        and len(item.body) <= LARGEST
        and (item.streamed or endpoint == "/converse-stream" or (endpoint == "/api/chat" and _asked(item)))
        and not item.body.lstrip().startswith(b"[")
    ]
    assert len(found) >= least, f"{provider}: {len(found)}"
    return found


def _asked(item: Exchange) -> bool:
    return bool(item.request.get("stream", True))


def told(provider: Any, item: Exchange, places: Sequence[int] = ()) -> tuple[list[Event], str | None]:
    """The events of a stream that comes cut at ``places``, and the error that ends it."""
    seen: list[Event] = []

    async def listen() -> None:
        async for event in recorded.generated(provider, item, places):
            seen.append(event)

    try:
        drive(listen())
    except LLMError as error:
        return seen, type(error).__name__
    return seen, None


def reply(events: Sequence[Event]) -> Reply:
    made = Reply()
    for event in events:
        made.add(event)
    return made


@pytest.mark.parametrize("name", ROWS)
def test_any_cut_tells_the_same_and_no_beginning_is_taken_for_all(name: str, shared_data: Path) -> None:
    provider, found = ROWS[name][2], streams(shared_data, ROWS[name])

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.data())
    def tried(draw: st.DataObject) -> None:
        item = draw.draw(st.sampled_from(found))
        whole, fault = told(provider, item)
        size = len(item.body)
        places = draw.draw(st.lists(st.integers(0, size), max_size=9))
        assert told(provider, item, places) == (whole, fault)
        part = item.body[: draw.draw(st.integers(0, size))]
        heard, stopped = told(provider, replace(item, body=part), places)
        beginning(heard, whole)
        if stopped is None and fault is None and (got := reply(heard)).complete(1):
            assert got.choices == reply(whole).choices

    tried()


def beginning(heard: Sequence[Event], whole: Sequence[Event]) -> None:
    """What was heard of a part is what the whole begins with, in text and in order."""
    said, all_of_it = text(heard), text(whole)
    assert all_of_it.startswith(said)
    common = [one for one, other in zip(heard, whole, strict=False) if one == other]
    # the end of a stream may tell what was held back until then: figures, and what a finish means
    assert len(heard) - len(common) <= 3, (heard[len(common) :], whole[len(common) :][:3])


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
