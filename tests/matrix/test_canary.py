"""A key is found nowhere, whatever a host does with it, and however wrong it is.

The frames of each error are looked at with their local variables, whatever module they are of but a test's.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import pytest
from canary import CANARY, chain, leaks, places, shows

from llmsdk import AsyncClient, Client, LLMError, OpenTelemetry, Secret
from llmsdk.cli import main
from llmsdk.errors import ConfigError
from llmsdk.testing import Cassette, Fault, FaultServer, faults

metrics = pytest.importorskip("opentelemetry.sdk.metrics")
reading = pytest.importorskip("opentelemetry.sdk.metrics.export")
tracing = pytest.importorskip("opentelemetry.sdk.trace")
exports = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

ESCAPED = quote(CANARY, safe="")
PROMPT = "the-Prompt-of-a-User-4711"
TWICE = "-".join(CANARY[at : at + 12] for at in range(0, len(CANARY), 12))
ECHOES = {
    "as it is": CANARY,
    "in its header": f"authorization: Bearer {CANARY}",
    "in a URL": f"https://a.example/v1?key={quote(CANARY, safe='')}&x=1",
    "as a query": f"?key={CANARY}",
    "in base64": f"Basic {b64encode(f'user:{CANARY}'.encode()).decode()}",
    "of its bearer in base64": b64encode(f"Bearer {CANARY}".encode()).decode(),
    "in hexadecimal": CANARY.encode().hex(),
    "for HTML": escape(CANARY),
    "in capitals": CANARY.upper(),
    "split in two": f"{CANARY[:14]} {CANARY[14:]}",
    "split over lines": "\n".join(CANARY[at : at + 5] for at in range(0, len(CANARY), 5)),
    "in quotes": "' + '".join([CANARY[:9], CANARY[9:]]),
    "its beginning and end": f"{CANARY[:10]}...{CANARY[-9:]}",
    "its middle": f"...{CANARY[11:23]}...",
    "in pieces": TWICE,
    "many times": f"{CANARY} " * 2000,
}


def refusal(status: int, message: str, **more: Any) -> Fault:
    return faults.status(status, {"error": {"message": message, "type": "t", "code": "c", **more}})


def ways(echo: str) -> dict[str, Fault]:
    """How a host may say something."""
    line = "".join(char for char in echo if char.isprintable())[:2000]
    event = json.dumps({"error": {"message": echo, "code": echo}}).encode()
    return {
        "401": refusal(401, f"Bad key {echo}!"),
        "400": refusal(400, f"Unknown model {echo}", code=echo, type=echo, param=echo),
        "500 page": faults.status(500, f"<html><pre>{echo}</pre>"),
        "200 with an error": faults.says({"error": {"message": echo, "type": echo}}),
        "200 no JSON": faults.says(f"{echo} is what you sent"),
        "200 broken JSON": faults.says('{"choices": [' + json.dumps(echo)),
        "headers": faults.status(401, {"error": {"message": "No."}}, headers={
            "x-request-id": line, "retry-after": line, "set-cookie": line, "server": line, "www-authenticate": line}),
        "redirect": faults.redirect(f"http://{line}.example/{line}?k={line}", 307),
        "no HTTP": faults.garbage(f"SSH-2.0 {echo}\r\n\r\n".encode()),
        "bad head": faults.garbage(f"HTTP/1.1 200 {line}\r\n{line}\r\n\r\n".encode()),
        "unknown encoding": faults.says("x", headers={"content-encoding": line}),
        "false gzip": faults.says(echo, headers={"content-encoding": "gzip"}),
        "error event": faults.says([b"event: error\ndata: " + event + b"\n\n"]),
        "broken event": faults.says([b"data: {" + echo.replace("\n", " ").encode() + b"\n\n"]),
        "cut": Fault(headers={"x-request-id": line}, cut=40, end="close"),
    }  # fmt: skip


class Watch:
    """Everything that a call leaves behind, but for its error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = io.StringIO()
        self.spans = memory.InMemorySpanExporter()
        self.reader = reading.InMemoryMetricReader()
        tracers = tracing.TracerProvider()
        tracers.add_span_processor(exports.SimpleSpanProcessor(self.spans))
        meters = metrics.MeterProvider(metric_readers=[self.reader])
        self.tracer = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)

    def config(self, host: FaultServer) -> dict[str, Any]:
        once = {"retry": {"attempts": 1}, "circuit": {"failures": 0}, "timeouts": {"total": 20}}
        cache = {"on": True, "sampled": True, "path": str(self.folder / "cache")}
        return host.config(**once, ledger={"path": str(self.folder / "ledger")}, cache=cache)

    def told(self) -> dict[str, str]:
        data = self.reader.get_metrics_data()
        found = {"log": self.log.getvalue(), "spans": "".join(s.to_json() for s in self.spans.get_finished_spans())}
        found["metrics"] = data.to_json() if data else ""
        return found | {file.name: file.read_bytes().decode("latin-1") for file in self.folder.iterdir()}


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Every logger at DEBUG, each record with all that it holds, and every warning."""
    (tmp_path / "left").mkdir()
    watch = Watch(tmp_path / "left")
    handler = logging.StreamHandler(watch.log)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield watch
    root.removeHandler(handler)
    root.setLevel(level)
    assert not shows("".join(str(each.message) for each in caught), CANARY)


@pytest.mark.parametrize("echo", ECHOES)
def test_a_host_that_echoes_the_key(echo: str, watch: Watch) -> None:
    with (
        FaultServer(key=CANARY) as host,
        Client("openai:any", config=watch.config(host), tracer=watch.tracer) as client,
    ):
        assert client.chat("well").text
        for name, fault in ways(ECHOES[echo]).items():
            for streamed in (False, True):
                host.inject(fault)
                with pytest.raises(LLMError) as caught:
                    client.chat(PROMPT, stream=True).result if streamed else client.chat(PROMPT)
                told = places(caught.value)
                assert leaks(told, CANARY) == [], f"{name}, {'streamed' if streamed else 'plain'}"
        client.close()
        told = watch.told() | {"client": repr([client, vars(client), client.ledger, client.ledger.rows])}
    assert leaks(told, CANARY) == []
    assert [place for place, text in told.items() if PROMPT in text] == []
    assert all(told[name] for name in ("spans", "metrics", "ledger", "cache"))


@pytest.mark.anyio
async def test_a_host_that_echoes_the_key_to_an_async_client(watch: Watch, anyio_backend: str) -> None:
    if anyio_backend == "asyncio":
        asyncio.get_running_loop().set_debug(True)
    async with AsyncClient("openai:any", config=watch.config(host := FaultServer(key=CANARY).__enter__()),
                           tracer=watch.tracer) as client:  # fmt: skip
        assert (await client.chat("well")).text
        for fault in ways(CANARY).values():
            for streamed in (False, True):
                host.inject(fault)
                with pytest.raises(LLMError) as caught:
                    await asked(client, streamed)
                assert leaks(places(caught.value), CANARY) == []
        with anyio.move_on_after(0.05):
            host.inject(faults.hang())
            await client.chat("x")
    host.__exit__(None, None, None)
    assert leaks(watch.told(), CANARY) == []
    assert PROMPT not in watch.log.getvalue()


async def asked(client: AsyncClient, streamed: bool) -> None:
    if streamed:
        async with client.chat(PROMPT, stream=True) as stream:
            async for _ in stream:
                pass
    else:
        await client.chat(PROMPT)


def test_a_client_of_the_users_own(watch: Watch) -> None:
    """Its library logs the headers of replies at DEBUG."""
    with FaultServer(key=CANARY) as host, httpx2.Client() as borrowed:
        with Client("openai:any", config=watch.config(host), http_client=borrowed) as client:
            for fault in ways(CANARY).values():
                host.inject(fault)
                with pytest.raises(LLMError) as caught:
                    client.chat(PROMPT)
                ours = {place: text for place, text in places(caught.value).items() if "response" not in place}
                assert leaks(ours, CANARY) == []
    assert "httpcore2" in watch.log.getvalue()
    assert leaks(watch.told(), CANARY) == []


def test_a_key_in_the_headers_of_a_call(watch: Watch) -> None:
    extra = {"headers": {"X-Team-Token": CANARY}}
    with FaultServer() as host, Client("openai:any", config=watch.config(host), tracer=watch.tracer) as client:
        assert client.chat("well", extra=extra).text
        assert host.requests[0].headers["x-team-token"] == CANARY
        for fault in ways(CANARY).values():
            host.inject(fault)
            with pytest.raises(LLMError) as caught:
                client.chat(PROMPT, extra=extra)
            assert leaks(places(caught.value), CANARY) == []
        with pytest.raises(LLMError) as caught:
            client.chat(PROMPT, extra={"headers": {"X-Team-Token": f"{CANARY}\n"}})
        assert leaks(places(caught.value), CANARY) == []
    assert leaks(watch.told(), CANARY) == []


def test_a_cassette(tmp_path: Path) -> None:
    with FaultServer(key=CANARY) as host:
        for number, echo in enumerate(ECHOES.values()):
            host.inject(*ways(echo).values())
            file = tmp_path / f"{number}.json"
            config = host.config(retry={"attempts": 1}, circuit={"failures": 0})
            with Cassette(file), Client("openai:any", config=config) as client:
                for turn in range(len(ways(echo))):
                    with pytest.raises(LLMError):
                        client.chat(f"{turn} {echo[:100]}")
            assert not shows(file.read_text(), CANARY), echo


# --- what is wrong before anything is sent ------------------------------------------------------------------------


WRONG = {
    "a line break": f"{CANARY}\r\nX: 1",
    "a NUL": f"{CANARY}\0",
    "bearer": f"Bearer {CANARY}",
    "quotes": f'"{CANARY}"',
    "a blank": f"{CANARY} {CANARY}",
    "no ASCII": f"{CANARY}é",
    "a surrogate": f"{CANARY}\ud800",
}
URL = "https://a.example/v1"


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("by", ["argument", "config", "file", "environment", "vendor", "reference"])
def test_F071_a_wrong_key_is_refused_and_not_shown(
    wrong: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, options = WRONG[wrong], {}
    monkeypatch.chdir(tmp_path)
    if by in ("environment", "vendor", "reference") and wrong in ("a NUL", "a surrogate"):
        pytest.skip("no variable holds that")
    match by:
        case "argument":
            options = {"api_key": key}
        case "config":
            options = {"config": {"providers": {"openai": {"api_key": key}}}}
        case "file":
            text = json.dumps(key) if wrong != "a surrogate" else json.dumps(key, ensure_ascii=True)
            (tmp_path / "named.toml").write_text(f"[providers.openai]\napi_key = {text}\n")
            options = {"config": tmp_path / "named.toml"}
        case "environment":
            monkeypatch.setenv("LLMSDK_PROVIDERS_OPENAI_API_KEY", key)
        case "vendor":
            monkeypatch.setenv("OPENAI_API_KEY", key)
        case "reference":
            monkeypatch.setenv("MINE", key)
            options = {"config": {"providers": {"openai": {"api_key": {"env": "MINE"}}}}}
    for face in (Client, AsyncClient):
        with pytest.raises(ConfigError) as refused:
            face("openai:any", **options)
        assert leaks(places(refused.value), CANARY) == []


@pytest.mark.parametrize("way", ["config", "file"])
@pytest.mark.parametrize(
    "fault",
    [
        {"providers": {"openai": {"api_key": CANARY, "htp2": True}}},
        {"providers": {"openai": {"api_key": CANARY, "http2": "perhaps"}}},
        {"providers": {"openai": {"api_key": [[CANARY]]}}},
        {"providers": {"openai": {"api_key": CANARY, "base_url": "http://a.example/v1"}}},
        {"providers": {"openai": {"api_key": CANARY, "base_url": f"https://user:{ESCAPED}@a.example/v1"}}},
        {"providers": {"openai": {"api_key": CANARY, "base_url": f"https://{ESCAPED}@a.example/v1"}}},
        {"providers": {"openai": {"api_key": CANARY, "headers": {"X-Key": f"{CANARY}\n"}}}},
        {"providers": {"openai": {"api_key": CANARY, "headers": {"X-Key": {"a": CANARY}}}}},
        {"providers": {"openai": {"headers": {"X-Key": CANARY}, "base_url": "http://a.example/v1"}}},
        {"providers": {"openai": {"kind": "opeani", "api_key": CANARY}}},
        {"providers": {"openai": {"api_key": CANARY}}, "retry": {"atempts": 1}},
        {"providers": {"openai": {"api_key": CANARY}, "acme": 7}},
        {"providers": {"openai": {"api_key": CANARY}}, "models": {"smart": {"model": "openai:x", "temprature": 1}}},
        {"providers": {"openai": {"api_key": CANARY}}, "limits": {"nobody": {"rpm": 1}}},
    ],
)
def test_F072_a_wrong_configuration_shows_no_key(fault: dict[str, Any], way: str, tmp_path: Path) -> None:
    config: Any = fault
    if way == "file":
        config = tmp_path / "named.toml"
        config.write_text("".join(toml(fault)))
    with pytest.raises(ConfigError) as refused:
        Client("openai:any", config=config)
    assert leaks(places(refused.value), CANARY) == []


def toml(table: dict[str, Any], place: str = "") -> Iterator[str]:
    """Tables in TOML, good enough for these tests."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if place and (plain or not table):
        yield f"[{place}]\n"
    yield from (f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if isinstance(value, dict):
            yield from toml(value, f"{place}.{key}" if place else key)


def test_F072_a_file_that_is_no_TOML_shows_no_key(tmp_path: Path) -> None:
    for text in (f'api_key = "{CANARY}\n', f'a = "{CANARY}"\na = 1', f"[providers.openai]\napi_key = {CANARY}\n"):
        file = tmp_path / "named.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            Client("openai:any", config=file)
        assert leaks(places(refused.value), CANARY) == []


@pytest.mark.parametrize(
    "proxy", [f"ftp://user:{CANARY}@p.example", f"http://user:{CANARY}@[bad", f"http://us er:{CANARY}@p.example",
              f"http://user:{CANARY}é@p.example", f"http://user:{CANARY}@127.0.0.1:9"],
)  # fmt: skip
@pytest.mark.parametrize("by", ["settings", "environment"])
def test_a_wrong_or_dead_proxy_shows_no_password(proxy: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"api_key": "sk-any", "base_url": "https://a.invalid/v1"}
    if by == "settings":
        settings["proxy"] = proxy
    else:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    config = {"providers": {"openai": settings}, "retry": {"attempts": 1}, "circuit": {"failures": 0}}
    with pytest.raises(LLMError) as refused, Client("openai:any", config=config) as client:
        client.chat("x")
    assert leaks(places(refused.value), CANARY) == []


def test_wrong_options_show_no_key() -> None:
    for options in ({"temprature": 1}, {"temperature": "hot"}, {"config": 7}, {"tracer": 7}, {"max_tokens": -1}):
        with pytest.raises((LLMError, TypeError)) as refused:
            Client("openai:any", api_key=CANARY, **options)  # type: ignore[arg-type]
        told = {place: text for place, text in places(refused.value).items() if place != "pickle"}
        assert leaks(told, CANARY) == []
        assert len([*chain(refused.value)]) >= 1


def test_doctor_explain_and_reprs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "named.toml").write_text(
        "".join(toml({"default": "openai:any", "providers": {
            "openai": {"api_key": CANARY, "headers": {"X-A": CANARY}, "proxy": f"http://u:{CANARY}@p.example:1"},
            "groq": {"api_key": CANARY, "base_url": f"https://{ESCAPED}@a.example/v1"},
        }}))
    )  # fmt: skip
    monkeypatch.setenv("LLMSDK_CONFIG", str(tmp_path / "named.toml"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    main(["doctor"])
    shown = capsys.readouterr()
    assert "openai" in shown.out
    client = Client("openai:any", api_key=Secret(CANARY), config={})
    provider: Any = client._core.shared.registry.provider("openai")
    told = {
        "doctor": shown.out + shown.err,
        "explain": f"{client.explain('chat', PROMPT)!r} {client.explain('chat', PROMPT)}",
        "client": repr([client, vars(client), client._core, client._core.shared, client._core.shared.config]),
        "provider": repr([provider, vars(provider), provider.settings, vars(provider.settings), provider.transport]),
        "request": repr(provider.host.get("/models")),
    }
    assert leaks(told, CANARY) == []
