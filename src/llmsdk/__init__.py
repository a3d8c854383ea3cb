"""One typed client for five language tasks, on a built-in local Transformer runtime or any hosted API.

    from llmsdk import Client

    client = Client("local:pocket")
    client.chat("Hi!").text

Names load when they are first used: importing this package loads no HTTP library, no torch and no provider.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmsdk import errors
    from llmsdk.accounting.budget import Budget
    from llmsdk.client import AsyncClient, Client
    from llmsdk.errors import LLMError
    from llmsdk.explain import Explanation
    from llmsdk.functions import ToolError, tool_results
    from llmsdk.results import (
        Answer,
        Attempt,
        Batch,
        Chat,
        Choice,
        Classification,
        Completion,
        Embeddings,
        Evidence,
        Result,
        Timing,
        Translation,
    )
    from llmsdk.secret import Secret
    from llmsdk.streams import AsyncStream, Stream
    from llmsdk.telemetry import OpenTelemetry
    from llmsdk.types import (
        Event,
        Finish,
        Info,
        Media,
        Message,
        Model,
        Output,
        Reasoning,
        ReasoningDelta,
        Reset,
        Text,
        TextDelta,
        TokenCount,
        Tool,
        ToolCall,
        ToolCallDelta,
        ToolResult,
        Usage,
    )

__version__ = "0.1.0"

_HOMES = {
    "llmsdk.accounting.budget": ("Budget",),
    "llmsdk.client": ("AsyncClient", "Client"),
    "llmsdk.errors": ("LLMError",),
    "llmsdk.explain": ("Explanation",),
    "llmsdk.functions": ("ToolError", "tool_results"),
    "llmsdk.results": (
        "Answer",
        "Attempt",
        "Batch",
        "Chat",
        "Choice",
        "Classification",
        "Completion",
        "Embeddings",
        "Evidence",
        "Result",
        "Timing",
        "Translation",
    ),
    "llmsdk.secret": ("Secret",),
    "llmsdk.streams": ("AsyncStream", "Stream"),
    "llmsdk.telemetry": ("OpenTelemetry",),
    "llmsdk.types": (
        "Event",
        "Finish",
        "Info",
        "Media",
        "Message",
        "Model",
        "Output",
        "Reasoning",
        "ReasoningDelta",
        "Reset",
        "Text",
        "TextDelta",
        "TokenCount",
        "Tool",
        "ToolCall",
        "ToolCallDelta",
        "ToolResult",
        "Usage",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = frozenset({"errors"})

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "Batch",
    "Budget",
    "Chat",
    "Choice",
    "Classification",
    "Client",
    "Completion",
    "Embeddings",
    "Event",
    "Evidence",
    "Explanation",
    "Finish",
    "Info",
    "LLMError",
    "Media",
    "Message",
    "Model",
    "OpenTelemetry",
    "Output",
    "Reasoning",
    "ReasoningDelta",
    "Reset",
    "Result",
    "Secret",
    "Stream",
    "Text",
    "TextDelta",
    "Timing",
    "TokenCount",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolError",
    "ToolResult",
    "Translation",
    "Usage",
    "errors",
    "tool_results",
]


def _load(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"llmsdk.{name}")
    if (home := _HOME.get(name)) is None:
        # with name and obj Python adds what was probably meant
        raise AttributeError(f"module 'llmsdk' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a checker that sees __getattr__ takes every name for one of ours
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
