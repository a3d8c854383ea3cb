"""Spans and metrics of OpenTelemetry, by its conventions for generative AI. Needs the extra ``otel``.

    Client("openai:gpt-x", tracer=OpenTelemetry())

A call is a client span with the figures of all its attempts; each attempt is a span inside it. Names are our own
constants: the conventions are still moving, and their package with them. No prompt and no reply gets into a span
unless ``content=True`` asks for it, and never a key or a header.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from llmsdk.errors import MissingExtra
from llmsdk.types import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult, Usage

_OPERATIONS = {"embed": "embeddings"}
_PROVIDERS = {
    "azure": "azure.ai.openai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini", "mistral": "mistral_ai",
    "openai-responses": "openai", "vertex": "gcp.vertex_ai", "xai": "x_ai",
}  # fmt: skip
"""Providers that the conventions call otherwise than we do."""
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
_LEFT = frozenset({"GeneratorExit", "CancelledError", "Cancelled"})
"""The caller went away, which is no error of the call."""
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The bounds of histograms that the conventions name."""


class OpenTelemetry:
    """A tracer for ``Client(tracer=...)``.

    Without providers it uses those of the process (``opentelemetry.trace.set_tracer_provider``). ``content`` lets
    messages into the spans, as JSON.

    Raises:
        MissingExtra: opentelemetry-api is not installed.
    """

    def __init__(self, *, content: bool = False, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise MissingExtra("otel", needed_for="OpenTelemetry()") from None
        self.content: bool = content
        self._trace = trace
        self._tracer = trace.get_tracer("llmsdk", tracer_provider=tracer_provider)
        meter = metrics.get_meter("llmsdk", meter_provider=meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def start(self, name: str, attributes: Mapping[str, Any]) -> _Span:
        """Open the span of a call, or, with ``attributes["parent"]``, of one of its attempts."""
        parent = attributes.get("parent")
        if name == "attempt":
            inside = self._trace.set_span_in_context(parent.span) if isinstance(parent, _Span) else None
            member = {"llmsdk.member": attributes["member"]} if "member" in attributes else {}
            span = self._tracer.start_span(f"attempt {attributes['model']}", context=inside, attributes=member)
            return _Span(self, span, None)
        common = _common(name, attributes)
        span = self._tracer.start_span(
            f"{common['gen_ai.operation.name']} {attributes['model']}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={**common, **_request(attributes)},
        )
        return _Span(self, span, common)

    def record(self, common: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """Measure a call that is over. What nobody reported is not measured as nothing."""
        model = {"gen_ai.response.model": outcome["model"]} if outcome["model"] else {}
        labels = {**common, **model}
        error = _error(outcome)
        self._duration.record(outcome["seconds"], {**labels, "error.type": error} if error else labels)
        usage: Usage = outcome["usage"]
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count is not None and not outcome["cached"]:
                self._tokens.record(count, {**labels, "gen_ai.token.type": kind})


class _Span:
    """An open span; calling it closes it."""

    __slots__ = ("_common", "_telemetry", "span")

    def __init__(self, telemetry: OpenTelemetry, span: Any, common: Mapping[str, Any] | None) -> None:
        self.span: Any = span
        self._telemetry = telemetry
        self._common = common

    def __call__(self, outcome: Mapping[str, Any]) -> None:
        if self._common is not None and "asked" in outcome:  # it was open who of several would answer
            self._common = {**self._common, **_whom(outcome["provider"], outcome["asked"], outcome["address"])}
            self.span.set_attributes(self._common)
        if self.span.is_recording():
            told = _attempt(outcome) if self._common is None else _response(outcome)
            self.span.set_attributes({name: value for name, value in told.items() if value is not None})
            if _error(outcome):
                status = self._telemetry._trace.Status(self._telemetry._trace.StatusCode.ERROR)
                self.span.set_status(status)
        self.span.end()
        if self._common is not None:
            self._telemetry.record(self._common, outcome)


# --- attributes ---------------------------------------------------------------------------------------------------


def _common(operation: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What spans and metrics have in common."""
    if operation == "generate":
        operation = "text_completion" if told["raw"] else "chat"
    name = _OPERATIONS.get(operation, operation)
    return {"gen_ai.operation.name": name, **_whom(told["provider"], told["model"], told["address"])}


def _whom(provider: str, model: str, address: str | None) -> dict[str, Any]:
    """Who is asked."""
    named = {"gen_ai.provider.name": _PROVIDERS.get(provider, provider), "gen_ai.request.model": model}
    if not address:
        return named
    to = urlsplit(address)
    return {**named, "server.address": to.hostname, "server.port": to.port or (80 if to.scheme == "http" else 443)}


def _request(told: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {f"gen_ai.request.{name}": value for name, value in told["options"].items()}
    if told["stream"]:
        attributes["gen_ai.request.stream"] = True
    if told["n"] != 1:
        attributes["gen_ai.request.choice.count"] = told["n"]
    if told["schema"]:
        attributes["gen_ai.output.type"] = "json"
    if "input" in told:
        system = [message for message in told["input"] if message.role == "system"]
        rest = [message for message in told["input"] if message.role != "system"]
        attributes["gen_ai.input.messages"] = _messages(rest)
        if system:
            attributes["gen_ai.system_instructions"] = json.dumps([p for m in system for p in map(_part, m.parts)])
    return attributes


def _response(outcome: Mapping[str, Any]) -> dict[str, Any]:
    usage: Usage = outcome["usage"]
    return {
        "gen_ai.response.id": outcome["id"],
        "gen_ai.response.model": outcome["model"],
        "gen_ai.response.finish_reasons": outcome["finish_reasons"] or None,
        "gen_ai.response.time_to_first_chunk": outcome["first_token"],
        **{name: getattr(usage, field) for field, name in _USAGE.items()},
        "gen_ai.output.messages": _messages(outcome["output"]) if "output" in outcome else None,
        "error.type": _error(outcome),
        "llmsdk.attempts": outcome["attempts"],
        "llmsdk.cached": outcome["cached"] or None,
    }


def _attempt(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """An attempt has no names of the conventions: what counts tokens would count them twice."""
    return {
        "llmsdk.settled": outcome["settled"],
        "llmsdk.queued": outcome["queued"] or None,
        "error.type": _error(outcome),
    }


def _error(outcome: Mapping[str, Any]) -> str | None:
    error: str | None = outcome["error"]
    return None if error in _LEFT else error


def _messages(messages: Iterable[Message]) -> str:
    return json.dumps([{"role": message.role, "parts": [*map(_part, message.parts)]} for message in messages])


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text}
        case ToolCall():
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments_json}
        case ToolResult():
            return {"type": "tool_call_response", "id": part.id, "response": part.content}
        case Media():
            return {"type": "media", "mime_type": part.media_type}


__all__ = ["OpenTelemetry"]
