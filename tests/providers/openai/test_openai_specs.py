"""What we send validates against the hosts' own descriptions of their APIs, where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import dialects
import pytest
import recorded
from dialects import sent
from openai_asked import requests

from llmsdk.types import Request
from llmsdk_providers.openai import OpenAI, Settings, hosts

CHAT = "/chat/completions"
SPECS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "openai": ("openai.openapi.yaml", CHAT, ("gpt-4.1", "gpt-5")),
    "groq": ("groq.openapi.yaml", f"/openai/v1{CHAT}", ("llama-3.3-70b-versatile", "openai/gpt-oss-120b")),
    "openrouter": ("openrouter.openapi.yaml", CHAT, ("openai/gpt-4.1",)),
    "tgi": ("tgi.openapi.json", f"/v1{CHAT}", ("tgi",)),
    "together": ("together.openapi.yaml", CHAT, ("meta-llama/Llama-3.3-70B-Instruct-Turbo",)),
}
"""The other hosts publish none in this form, and that of Fireworks has no chat completions."""
LAGS: Mapping[str, Mapping[str, str]] = {
    "groq": {"'stream_options' was unexpected": "a copy that lags: the host takes it, and streams usage for it"},
    "tgi": {
        "/function: 'arguments' is a required property": "it describes a tool by the form of a call",
        "is valid under each of": "the forms of a message overlap, and exactly one is asked for",
    },
    "together": {
        "tool_calls/0: 'index' is a required property": "it describes a call that goes back by that in a chunk",
        "tool_choice/function: 'arguments' is a required property": "it describes a choice by the form of a call",
    },
}
"""What descriptions have against requests that the hosts take, and why they are wrong."""


@lru_cache(maxsize=1)
def described(path: Path, endpoint: str) -> dict[str, Any]:
    """One operation of a description with the components that it uses: some describe a hundred others."""
    spec = dialects._spec(path)
    kept: dict[str, Any] = {}
    waiting = list(references(spec["paths"][endpoint]))
    while waiting:
        _, _, section, name = waiting.pop().split("/", 3)
        if name not in kept.setdefault(section, {}):
            kept[section][name] = spec["components"][section][name]
            waiting += references(kept[section][name])
    return {"paths": {endpoint: spec["paths"][endpoint]}, "components": kept}


def references(value: Any) -> Iterator[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from references(item)
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]


def faults(shared: Path, name: str, request: Request, provider: OpenAI) -> list[str]:
    pytest.importorskip("jsonschema", reason="requests are validated with jsonschema")
    file, endpoint, _ = SPECS[name]
    spec, reader = described(shared / "specs" / file, endpoint), recorded._reader(shared)
    found: list[str] = reader.validate_request(spec, "POST", endpoint, sent(provider, request))
    return found


@pytest.mark.parametrize("name", SPECS)
def test_what_is_sent_is_what_the_host_describes(shared_data: Path, name: str) -> None:
    kind: type[OpenAI] = OpenAI if name == "openai" else getattr(hosts, name)
    provider = kind(name, Settings(api_key="k" * 20))
    lags, seen = LAGS.get(name, {}), set[str]()
    wrong = []
    for model in SPECS[name][2]:
        for what, request in requests(provider, model):
            for fault in faults(shared_data, name, request, provider):
                known = next((words for words in lags if words in fault), None)
                seen |= {known} if known else set()
                wrong += [] if known else [f"{model}, {what}: {fault}"]
    assert wrong == []
    assert seen == set(lags), "a description that has caught up is taken off the list"


def test_a_wrong_request_is_noticed(shared_data: Path) -> None:
    provider = hosts.groq("groq", Settings(api_key="k" * 20))
    odd = Request("m", (), extra_body={"temperature": "warm", "messages": "Hi!"})
    found = faults(shared_data, "groq", odd, provider)
    assert {fault.split(":")[0] for fault in found} == {"messages", "temperature"}
