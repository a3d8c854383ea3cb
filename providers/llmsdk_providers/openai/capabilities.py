"""What the models can do: known for OpenAI's own host, declared by the settings for any other."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk_providers.openai.settings import Settings

T = TypeVar("T")

BASIC = frozenset({"max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty"})
TOOLS = frozenset({"tool_choice", "parallel_tool_calls"})

_REASONING = re.compile(r"(?:ft:)?(?:o\d|gpt-5(?!-chat))")
_INSTRUCT = re.compile(r"(?:ft:)?gpt-3\.5-turbo-instruct")
_BASE = re.compile(r"(?:ft:)?(?:babbage-002|davinci-002)")

_OPENAI = Capabilities(schema="strict", logprobs=20, tools=True, options=BASIC | TOOLS | {"n", "logit_bias"}, chat=True)
_OPENAI_REASONING = Capabilities(
    # stop is refused by all but the first of them, and sampling is not for the caller to choose
    schema="strict",
    logprobs=0,
    tools=True,
    options=frozenset({"max_tokens", "seed", "n", "reasoning", "tool_choice"}),
)
_OPENAI_RAW = Capabilities(
    complete=True, suffix=False, chat=False, logprobs=5, options=BASIC | {"n", "echo", "logit_bias"}
)
_OTHER = Capabilities(schema="strict", tools=True, options=BASIC | TOOLS)


def is_reasoning(model: str) -> bool:
    """Whether it is one of OpenAI's reasoning models."""
    return _REASONING.match(model) is not None


def is_openai(base_url: str) -> bool:
    """Whether it is OpenAI's own host."""
    host = address(base_url).host
    return host == "api.openai.com" or host.endswith(".api.openai.com")


class ModelTable:
    """The capabilities of each model of one host. ``openai`` says that they are OpenAI's, known by their names.

    ``other`` is what any other host's models can do, but that those of ``strict`` are held to a schema.
    """

    __slots__ = ("_openai", "_other", "_settings", "_strict")

    def __init__(
        self,
        settings: Settings,
        *,
        openai: bool,
        other: Capabilities = _OTHER,
        strict: re.Pattern[str] | None = None,
    ) -> None:
        self._openai = openai
        self._settings = settings
        self._other = _declared(other, settings)
        self._strict = strict if settings.schema is None else None

    def capabilities(self, model: str) -> Capabilities:
        if self._openai:
            return _declared(_known(model), self._settings)
        if self._strict is not None and self._strict.match(model):
            return replace(self._other, schema="strict")
        return self._other


def _known(model: str) -> Capabilities:
    if _INSTRUCT.match(model):
        return replace(_OPENAI_RAW, suffix=True)
    if _BASE.match(model):
        return _OPENAI_RAW
    if not is_reasoning(model):
        return _OPENAI
    parallel = model.removeprefix("ft:").startswith("gpt-5")
    return replace(_OPENAI_REASONING, options=_OPENAI_REASONING.options | TOOLS) if parallel else _OPENAI_REASONING


def _declared(known: Capabilities, settings: Settings) -> Capabilities:
    """What is known, with what the settings say instead."""

    complete = _said(settings.complete, known.complete)
    return replace(
        known,
        complete=complete,
        suffix=complete and _said(settings.suffix, known.suffix),
        schema=_said(settings.schema, known.schema),
        logprobs=_said(settings.logprobs, known.logprobs),
        tools=_said(settings.tools, known.tools),
        options=known.options | settings.options | ({"echo"} if complete else frozenset()),
        context=_said(settings.context, known.context),
    )


def _said(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
