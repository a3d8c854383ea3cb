"""Ollama, by its own API."""

from llmsdk_providers.ollama.provider import Ollama
from llmsdk_providers.ollama.settings import Settings

__all__ = ["Ollama", "Settings"]
