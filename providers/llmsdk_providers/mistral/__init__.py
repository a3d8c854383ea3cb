"""Mistral, by its own form of the chat-completions dialect."""

from llmsdk_providers.mistral.provider import Mistral
from llmsdk_providers.mistral.settings import Settings

__all__ = ["Mistral", "Settings"]
