"""Settings of the dialect, and what is checked of them before anything is sent."""

from __future__ import annotations

from typing import Literal

from llmsdk.provider import HTTPSettings, setting

BASE_URL = "https://api.openai.com/v1"
VARIABLE = "OPENAI_API_KEY"
ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")

Option = Literal[
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "n", "echo", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "logit_bias", "reasoning", "tool_choice", "parallel_tool_calls",
]  # fmt: skip


class HostSettings(HTTPSettings):
    """What is the same for every form in which OpenAI's models are spoken to."""

    organization: str | None = None
    project: str | None = None
    key_required: bool | None = None
    """Default: only where ``base_url`` is not this machine."""
    schema: Literal["none", "json", "strict"] | None = None
    """How far a reply can be bound: to a JSON schema, to some JSON object, or not at all."""
    tools: bool | None = None
    logprobs: int | None = setting(None, ge=0, le=100)
    """How many alternatives a token may report; 0 is none."""
    embeddings: bool | None = None
    """Whether there is ``/embeddings``."""
    options: frozenset[Option] = frozenset()
    """Options that the host honours besides the usual ones."""
    context: int | None = setting(None, gt=0)
    """The window in tokens, where all models of the host share one."""


class Settings(HostSettings):
    """What ``[providers.NAME]`` may hold with ``kind = "openai"``, or with one of the hosts by name.

    ``base_url`` is what precedes ``/chat/completions``. For api.openai.com and the hosts of ``hosts.HOSTS`` the rest is
    known; for another host these are the defaults: ``max_tokens`` is sent under that name, a reply can be held to a
    JSON schema, tools can be called, and there are no logprobs and no raw completions. A host that can do less answers
    an honest 400; one that can do more is told here::

        [providers.lab]
        kind = "openai"
        base_url = "http://127.0.0.1:8000/v1"
        complete = true
        logprobs = 20
        options = ["n", "top_k", "min_p", "repetition_penalty"]
    """

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    complete: bool | None = None
    """Whether ``/completions`` continues a raw prompt."""
    suffix: bool | None = None
    """Whether ``/completions`` fills in before a suffix."""
    stream_usage: bool | None = None
    """Ask for token counts at the end of a stream (``stream_options``)."""
