"""Hugging Face: chat by its router, and models that are made for one task."""

from llmsdk_providers.huggingface.provider import HuggingFace
from llmsdk_providers.huggingface.settings import Settings

__all__ = ["HuggingFace", "Settings"]
