"""Hosts that speak the chat-completions dialect, each usable by its name: ``Client("groq:llama-3.3-70b-versatile")``.

A row is added by its line here, in ``llmsdk.registry.BUILT_IN`` and in the entry points of pyproject.toml; tests hold
the three and docs/providers together. What a row says was recorded, or stands in the host's documentation; where these
leave an option open it is not offered, and ``options`` in the settings of the provider declares it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmsdk_providers.openai.capabilities import BASIC, TOOLS
from llmsdk_providers.openai.provider import OpenAI
from llmsdk_providers.openai.reasoning import (
    budget,
    effort,
    effort_or_toggle,
    routed,
    template,
    template_or_effort,
    thinking,
)
from llmsdk_providers.openai.row import Row

_PLAIN = frozenset({"max_tokens", "temperature", "top_p", "stop"})
_PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
_CHOICE, _PARALLEL = frozenset({"tool_choice"}), frozenset({"parallel_tool_calls"})
"""``tool_choice``: a model can be made to call a tool. Some hosts refuse that while it thinks, and many always do."""
_OPEN = BASIC | TOOLS | {"n", "top_k", "min_p", "repetition_penalty", "logit_bias"}
"""What servers of open models honour."""

HOSTS: Mapping[str, Row] = {
    # --- hosted ---
    "cerebras": Row(
        "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), _PLAIN | TOOLS | {"seed"}, effort, logprobs=20,
        max_tokens_field="max_completion_tokens",
    ),
    "deepseek": Row(
        "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), _PLAIN | _PENALTIES, thinking,
        returns_reasoning="reasoning_content", schema="json",
    ),
    "fireworks": Row(
        "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",), _OPEN, effort, logprobs=5, complete=True,
        embeddings=True,
    ),
    "groq": Row(
        "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), _PLAIN | TOOLS | {"seed"}, effort, schema="json",
        strict_models=re.compile(r"openai/gpt-oss|moonshotai/kimi-k2|meta-llama/llama-4"), embeddings=True,
        max_tokens_field="max_completion_tokens",
    ),
    "moonshot": Row(
        "https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",), _PLAIN | _PENALTIES, thinking,
        returns_reasoning="reasoning_content", schema="json",
    ),
    "openrouter": Row(
        "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), _OPEN - {"n"}, routed, embeddings=True,
    ),
    "perplexity": Row(
        "https://api.perplexity.ai", ("PERPLEXITY_API_KEY", "PPLX_API_KEY"), _PLAIN, effort, tools=False,
        stream_usage=False,
    ),
    "qwen": Row(
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", ("DASHSCOPE_API_KEY",),
        _PLAIN | _PARALLEL | {"seed", "presence_penalty", "n"}, budget, schema="json", embeddings=True,
    ),
    "together": Row(
        "https://api.together.xyz/v1", ("TOGETHER_API_KEY",), _OPEN - {"parallel_tool_calls"}, effort_or_toggle,
        complete=True, embeddings=True,
    ),
    "xai": Row(
        "https://api.x.ai/v1", ("XAI_API_KEY",), BASIC | TOOLS | {"n"}, effort, logprobs=8,
        max_tokens_field="max_completion_tokens",
    ),
    "zhipu": Row(
        "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY", "ZHIPUAI_API_KEY"), _PLAIN, thinking,
        returns_reasoning="reasoning_content", schema="json", embeddings=True,
    ),
    # --- servers of one's own, where they listen by default ---
    "litellm": Row(
        "http://127.0.0.1:4000/v1", ("LITELLM_API_KEY", "LITELLM_PROXY_API_KEY"), BASIC | TOOLS | {"n"}, effort,
        complete=True, embeddings=True,
    ),
    "llamacpp": Row(
        "http://127.0.0.1:8080/v1", ("LLAMA_API_KEY",), BASIC | TOOLS | {"top_k", "min_p"}, template, logprobs=20,
        complete=True, embeddings=True,
    ),
    "lmstudio": Row(
        "http://127.0.0.1:1234/v1", ("LM_API_TOKEN",), BASIC | _CHOICE | {"top_k", "logit_bias"}, complete=True,
        embeddings=True,
    ),
    "sglang": Row(
        "http://127.0.0.1:30000/v1", ("SGLANG_API_KEY",), _OPEN, template_or_effort, logprobs=20, complete=True,
        embeddings=True,
    ),
    "tgi": Row(
        "http://127.0.0.1:8080/v1", ("TGI_API_KEY",), BASIC | _CHOICE, schema_field="value", logprobs=5, complete=True,
    ),
    "transformers": Row(
        "http://127.0.0.1:8000/v1", ("TRANSFORMERS_API_KEY",), _PLAIN | {"seed"}, template, schema="none",
        complete=True, stream_usage=False,
    ),
    "vllm": Row(
        "http://127.0.0.1:8000/v1", ("VLLM_API_KEY",), _OPEN, template_or_effort, logprobs=20, complete=True,
        embeddings=True,
    ),
}  # fmt: skip


def _provider(name: str, row: Row) -> type[OpenAI]:
    """A provider that begins with what a row says; the settings may say otherwise."""
    own = {"row": row, "vendor": name, "base_url": row.base_url, "key_variables": row.key_variables}
    return type(name, (OpenAI,), {**own, "__module__": __name__, "__doc__": f"{name}, at {row.base_url}."})


_PROVIDERS: Mapping[str, type[OpenAI]] = {name: _provider(name, row) for name, row in HOSTS.items()}


def __getattr__(name: str) -> type[OpenAI]:
    """The provider of a row, by its name: ``hosts.groq``, and so ``llmsdk_providers.openai.hosts:groq``."""
    try:
        return _PROVIDERS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no host {name!r}") from None
