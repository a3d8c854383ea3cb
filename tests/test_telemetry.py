"""Spans and metrics, as an exporter gets them: names of the conventions, true figures, and no content unasked."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scripted import FULL, Scripted, says
from servers.openai_server import KEY, OpenAIServer

from llmsdk import AsyncClient, Client, Message, OpenTelemetry
from llmsdk.errors import InvalidRequest, MissingExtra, Overloaded, StreamInterrupted
from llmsdk.io import IO
from llmsdk.testing import FaultServer
from llmsdk.types import Event, Info, Request, TextDelta, ToolCall, ToolResult, Usage

sdk = pytest.importorskip("opentelemetry.sdk.trace")
exporting = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
exports = pytest.importorskip("opentelemetry.sdk.trace.export")
measuring = pytest.importorskip("opentelemetry.sdk.metrics")
reading = pytest.importorskip("opentelemetry.sdk.metrics.export")
semconv = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
metric_names = pytest.importorskip("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")


@dataclass
class Kit:
    """What exports into memory."""

    spans: Any
    reader: Any
    tracers: Any
    meters: Any

    def tracer(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def finished(self) -> list[Any]:
        return list(self.spans.get_finished_spans())

    def call(self) -> Any:
        (span,) = [span for span in self.finished() if not span.name.startswith("attempt")]
        return span

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return [
            p for scope in scopes for metric in scope.metrics if metric.name == name for p in metric.data.data_points
        ]

    def everything(self) -> str:
        spans = [span.to_json() for span in self.finished()]
        data = self.reader.get_metrics_data()
        return "".join(spans) + (data.to_json() if data else "")


@pytest.fixture
def kit() -> Iterator[Kit]:
    spans, reader = exporting.InMemorySpanExporter(), reading.InMemoryMetricReader()
    tracers, meters = sdk.TracerProvider(), measuring.MeterProvider([reader])
    tracers.add_span_processor(exports.SimpleSpanProcessor(spans))
    yield Kit(spans, reader, tracers, meters)
    tracers.shutdown()
    meters.shutdown()


USED = Usage(20, 5, cached_input_tokens=3, reasoning_tokens=2)


def scripted(*scripts: Any, name: str = "scripted") -> Scripted:
    return Scripted(*scripts, name=name, can=FULL)


def test_a_call_is_a_client_span_with_its_figures(kit: Kit) -> None:
    provider = scripted([Info(id="r-1", model="m-2026"), *says("hello", usage=USED)])
    with Client("scripted:m", provider=provider, tracer=kit.tracer()) as client:
        client.chat("Hi!", max_tokens=9, temperature=0.5)
    span = kit.call()
    assert (span.name, span.kind.name, span.status.status_code.name) == ("chat m", "CLIENT", "UNSET")
    told = dict(span.attributes)
    assert told.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.id": "r-1",
        "gen_ai.response.model": "m-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "llmsdk.attempts": 1,
    }


def test_attempts_are_spans_inside_and_their_usage_is_summed(kit: Kit) -> None:
    provider = scripted([Overloaded("busy")], says("hello", usage=USED))
    with Client("scripted:m", provider=provider, tracer=kit.tracer(), retry={"base": 0.0}) as client:
        client.complete("x")
    first, second, call = kit.finished()
    assert [first.name, second.name, call.name] == ["attempt m", "attempt m", "text_completion m"]
    assert first.parent.span_id == second.parent.span_id == call.context.span_id
    assert dict(first.attributes) == {"llmsdk.settled": "none", "error.type": "Overloaded"}
    assert dict(second.attributes) == {"llmsdk.settled": "exact"}
    assert (first.status.status_code.name, call.status.status_code.name) == ("ERROR", "UNSET")
    assert call.attributes["llmsdk.attempts"] == 2
    assert call.attributes["gen_ai.usage.input_tokens"] == 20


def test_a_call_stands_in_the_span_of_its_caller_and_does_not_stay_the_current_one(kit: Kit) -> None:
    from opentelemetry import trace

    provider = scripted(says("hello"), says("hello"))
    own = kit.tracers.get_tracer("own")
    with (
        Client("scripted:m", provider=provider, tracer=kit.tracer()) as client,
        own.start_as_current_span("mine") as mine,
    ):
        stream = client.complete("x", stream=True)
        next(stream)
        assert trace.get_current_span() is mine
        stream.close()
        client.complete("x")
    calls = [span for span in kit.finished() if span.name.startswith("text_completion")]
    assert [span.parent.span_id for span in calls] == [mine.get_span_context().span_id] * 2


@pytest.mark.parametrize("error", [InvalidRequest("no"), Overloaded("busy")])
def test_a_failure_is_an_error_by_its_class(kit: Kit, error: Exception) -> None:
    with Client("scripted:m", provider=scripted([error]), tracer=kit.tracer(), retry=1) as client:
        with pytest.raises(type(error)):
            client.complete("x")
    assert kit.call().status.status_code.name == "ERROR"
    assert kit.call().attributes["error.type"] == type(error).__name__
    (point,) = kit.points("gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == type(error).__name__
    assert kit.points("gen_ai.client.token.usage") == []


def test_a_stream_that_is_left_is_no_error_and_its_tokens_count(kit: Kit) -> None:
    with Client("scripted:m", provider=scripted(says("hello world")), tracer=kit.tracer()) as client:
        with client.complete("x", stream=True) as stream:
            next(stream)
    assert kit.call().status.status_code.name == "UNSET"
    assert "error.type" not in kit.call().attributes
    assert kit.call().attributes["gen_ai.usage.output_tokens"] >= 1


def test_what_came_before_a_stream_broke_is_told(kit: Kit) -> None:
    provider = scripted([TextDelta("Once"), Overloaded("busy")])
    with Client("scripted:m", provider=provider, tracer=kit.tracer()) as client:
        with pytest.raises(StreamInterrupted):
            client.complete("x")
    assert kit.call().attributes["error.type"] == "StreamInterrupted"
    assert kit.call().attributes["gen_ai.usage.output_tokens"] >= 1


def test_metrics_have_the_names_units_and_figures_of_the_conventions(kit: Kit) -> None:
    provider = scripted(*[says("hello", usage=USED)] * 3)
    with Client("scripted:m", provider=provider, tracer=kit.tracer()) as client:
        for _ in range(3):
            client.complete("x")
    tokens = {p.attributes["gen_ai.token.type"]: p for p in kit.points("gen_ai.client.token.usage")}
    assert {kind: (point.count, point.sum) for kind, point in tokens.items()} == {"input": (3, 60), "output": (3, 15)}
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    (duration,) = kit.points("gen_ai.client.operation.duration")
    assert duration.count == 3
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "m",
    }
    (scope,) = kit.reader.get_metrics_data().resource_metrics[0].scope_metrics or [None]
    assert scope is None or {metric.unit for metric in scope.metrics} == {"s", "{token}"}


def test_a_hit_of_the_cache_is_told_and_no_tokens_are_measured(kit: Kit, openai_server: OpenAIServer) -> None:
    with Client(
        "openai:test-model", base_url=openai_server.url, api_key=KEY, tracer=kit.tracer(), cache=True
    ) as client:
        client.chat("Hello!")
        before = [point.count for point in kit.points("gen_ai.client.token.usage")]
        client.chat("Hello!")
    hit = kit.finished()[-1]
    assert hit.attributes["llmsdk.cached"] is True
    assert hit.attributes["gen_ai.usage.input_tokens"] == 0
    assert [point.count for point in kit.points("gen_ai.client.token.usage")] == before


def test_a_host_is_named_with_its_address(kit: Kit, openai_server: OpenAIServer) -> None:
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY, tracer=kit.tracer()) as client:
        client.chat("Hello!")
        client.embed(["a"], model="openai:test-embed")
    chat, embed = (span for span in kit.finished() if "server.address" in span.attributes)
    assert (chat.attributes["server.address"], chat.attributes["server.port"]) == ("127.0.0.1", openai_server.port)
    assert (embed.name, embed.attributes["gen_ai.operation.name"]) == ("embeddings test-embed", "embeddings")


# --- content and secrets ------------------------------------------------------------------------------------------


def test_no_prompt_no_reply_and_no_key_gets_out_unasked(kit: Kit, openai_server: OpenAIServer) -> None:
    tracer = kit.tracer()
    with Client("openai:test-model", base_url=openai_server.url, api_key=KEY, tracer=tracer, retry=1) as client:
        words = "canary-prompt"
        reply = client.chat(words, system="canary-system", extra={"headers": {"x-canary": "canary-header"}}).text
        openai_server.script(status=401, body=json.dumps({"error": {"message": f"bad key {KEY} canary-error"}}))
        with pytest.raises(Exception, match="bad key"):
            client.chat(words)
        openai_server.script(cut=150, end="close")
        with pytest.raises(Exception, match=r"."), client.chat(words, stream=True) as stream:
            list(stream)
    everything = kit.everything()
    assert len(kit.finished()) == 6
    assert "canary" not in everything
    assert KEY not in everything
    assert reply not in everything


def test_content_comes_when_it_is_asked_for(kit: Kit) -> None:
    turns = [
        Message("system", "be brief"),
        Message("user", "weather?"),
        Message("assistant", (ToolCall("1", "look", '{"at": "sea"}'),)),
        Message("tool", (ToolResult("1", "sun"),)),
    ]
    with Client("scripted:m", provider=scripted(says("sunny")), tracer=kit.tracer(content=True)) as client:
        client.chat(turns)
    told = kit.call().attributes
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "be brief"}]
    assert [turn["role"] for turn in json.loads(told["gen_ai.input.messages"])] == ["user", "assistant", "tool"]
    assert json.loads(told["gen_ai.input.messages"])[1]["parts"] == [
        {"type": "tool_call", "id": "1", "name": "look", "arguments": '{"at": "sea"}'}
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "sunny"}]}
    ]


# --- names, loops, and what is not there ----------------------------------------------------------------------------


def test_the_names_are_those_of_the_conventions(kit: Kit) -> None:
    known = {value for value in vars(semconv).values() if isinstance(value, str)}
    provider = scripted([Info(id="r", model="m"), *says("hello", usage=USED)])
    with Client("scripted:m", provider=provider, tracer=kit.tracer(content=True)) as client:
        client.chat("Hi!", max_tokens=9, temperature=0.5, seed=1, stream=True).result  # noqa: B018 - reads it to the end
    used = {name for name in kit.call().attributes if name.startswith("gen_ai.")}
    assert used - known == set()
    assert len(used) > 12
    metrics = {metric_names.GEN_AI_CLIENT_TOKEN_USAGE, metric_names.GEN_AI_CLIENT_OPERATION_DURATION}
    assert all(kit.points(name) for name in metrics)
    from llmsdk.telemetry import _PROVIDERS

    assert set(_PROVIDERS.values()) <= {item.value for item in semconv.GenAiProviderNameValues}


@pytest.mark.anyio
async def test_calls_at_once_do_not_mix(kit: Kit) -> None:
    class Slow(Scripted):
        async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
            await io.sleep(0.001)
            for event in says("hello", usage=Usage(len(str(request.input)), 1)):
                yield event

    async with AsyncClient("scripted:m", provider=Slow(), tracer=kit.tracer()) as client:
        await client.complete(["x" * size for size in range(1, 11)], concurrency=10)
    calls = {span.context.span_id: span for span in kit.finished() if span.parent is None}
    assert sorted(span.attributes["gen_ai.usage.input_tokens"] for span in calls.values()) == list(range(1, 11))
    inner = [span.parent.span_id for span in kit.finished() if span.parent is not None]
    assert sorted(inner) == sorted(calls)


def test_without_the_package_it_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match="otel"):
        OpenTelemetry()


def test_without_an_sdk_nothing_happens() -> None:
    with Client("scripted:m", provider=scripted(says("hello")), tracer=OpenTelemetry(content=True)) as client:
        assert client.complete("x").text == "hello"


def test_of_several_hosts_the_one_that_answered_is_named(kit: Kit) -> None:
    with FaultServer() as one, FaultServer() as two:
        hosts = {
            "one": {"kind": "openai", "base_url": one.url, "api_key": "sk-refused-0123456789"},
            "two": {"kind": "openai", "base_url": two.url, "api_key": two.key},
        }
        config = {"providers": hosts, "models": {"fast": {"spread": ["one:small", "two:large"]}}}
        with Client("fast", config=config, tracer=kit.tracer()) as client:
            result = client.chat("Hello!")
    assert (result.provider, len(one.requests), len(two.requests)) == ("two", 1, 1)
    told = kit.call().attributes
    assert (told["gen_ai.provider.name"], told["gen_ai.request.model"]) == ("two", "large")
    assert told["server.port"] == two.port
    (seconds,) = kit.points("gen_ai.client.operation.duration")
    assert (seconds.attributes["gen_ai.provider.name"], seconds.attributes["server.port"]) == ("two", two.port)
