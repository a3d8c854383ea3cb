"""Settings of the dialect."""

from __future__ import annotations

from llmsdk_providers.openai import Settings as OpenAISettings

BASE_URL = "https://api.mistral.ai/v1"
VARIABLE = "MISTRAL_API_KEY"


class Settings(OpenAISettings):
    """What ``[providers.mistral]`` may hold. ``base_url`` is what precedes ``/chat/completions``."""

    safe_prompt: bool = False
    """Have the host put its own safety prompt before every conversation."""
