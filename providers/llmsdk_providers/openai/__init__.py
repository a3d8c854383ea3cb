"""OpenAI, and every host that speaks its chat-completions dialect."""

from llmsdk_providers.openai.provider import OpenAI
from llmsdk_providers.openai.settings import Settings

__all__ = ["OpenAI", "Settings"]
