"""What the models can do: known for the vendors' own hosts, declared by the settings for any other."""

from __future__ import annotations

from llmsdk.io.route import address
from llmsdk.provider import Capabilities
from llmsdk_providers.openai.capabilities import TOOLS, is_reasoning
from llmsdk_providers.openai_responses.settings import Settings

_USUAL = frozenset({"max_tokens", "temperature", "top_p"}) | TOOLS
_REASONING = frozenset({"max_tokens", "reasoning"}) | TOOLS
_OPENAI = (".openai.com", ".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")
_XAI = (".x.ai",)


class ModelTable:
    """The capabilities of each model of one host."""

    __slots__ = ("_settings", "_xai", "openai")

    def __init__(self, settings: Settings, base_url: str) -> None:
        host = f".{address(base_url).host}"
        self._settings = settings
        self._xai = host.endswith(_XAI)
        self.openai = host.endswith(_OPENAI)
        """OpenAI's models, on their own host or on Azure."""

    def capabilities(self, model: str) -> Capabilities:
        said, reasons = self._settings, self.openai and is_reasoning(model)
        options = _REASONING if reasons else _USUAL if self.openai else _USUAL | {"reasoning"}
        return Capabilities(
            schema=said.schema or "strict",
            logprobs=said.logprobs if said.logprobs is not None else 20 if self.openai and not reasons else 0,
            tools=True if said.tools is None else said.tools,
            options=options | said.options,
            context=said.context,
        )

    def takes_reasoning(self, model: str) -> bool:
        """Whether reasoning of an earlier turn may be sent to it: OpenAI's other models refuse it."""
        return is_reasoning(model) if self.openai else True

    def encrypts(self, model: str) -> bool:
        """Whether the model's reasoning is asked for in its encrypted form."""
        said = self._settings.encrypted_reasoning
        return (self._xai or (self.openai and is_reasoning(model))) if said is None else said
