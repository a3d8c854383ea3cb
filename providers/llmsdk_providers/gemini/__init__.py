"""Google's Gemini: the Gemini API with a key, and Vertex AI with a token."""

from llmsdk_providers.gemini.provider import Gemini
from llmsdk_providers.gemini.settings import Settings, VertexSettings
from llmsdk_providers.gemini.vertex import Vertex

__all__ = ["Gemini", "Settings", "Vertex", "VertexSettings"]
