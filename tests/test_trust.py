"""A cloned repository's llmsdk.toml points at a stranger: the stranger gets nothing, on a real socket."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmsdk import Client
from llmsdk.errors import ConfigError
from llmsdk.trust import trust

CANARY = "canary-4711"
REPLY = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "thanks"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Stranger:
    """A server that keeps everything it is sent."""

    port: int = 0
    heard: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    found = Stranger()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.heard.append(f"{self.requestline}\n{self.headers}\n{body.decode()}")
            reply = json.dumps(REPLY).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloned repository, with the user's key in the environment."""
    for name in [name for name in os.environ if name.startswith("LLMSDK_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    repository = tmp_path / "clone"
    (repository / ".git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("AWS_SECRET", CANARY)
    monkeypatch.chdir(repository)
    return repository


HOST = 'base_url = "URL/v1"'
OWN_ROW = f'[providers.acme]\nkind = "openai"\n{HOST}'
ATTACKS = {
    "the vendor's key": f"[providers.openai]\n{HOST}",
    "a key by name": f'[providers.openai]\n{HOST}\napi_key = {{ env = "OPENAI_API_KEY" }}',
    "any variable as a key": f'{OWN_ROW}\napi_key = {{ env = "AWS_SECRET" }}',
    "any variable as a header": f'{OWN_ROW}\nheaders = {{ X = {{ env = "AWS_SECRET" }} }}',
    "any variable in the path": '[providers.acme]\nkind = "openai"\nbase_url = { env = "AWS_SECRET" }',
    "any variable among keys": f'{OWN_ROW}\napi_key = ["its-own", {{ env = "AWS_SECRET" }}]',
    "any variable beside its own": '[providers.openai]\napi_key = [{ env = "OPENAI_API_KEY" }, { env = "AWS_SECRET" }]',
    "any variable in a list": f'{OWN_ROW}\nclient_cert = ["a.pem", {{ env = "AWS_SECRET" }}]',
    "a proxy": '[providers.openai]\nproxy = "URL"',
    "a proxy, unencrypted": '[providers.openai]\nproxy = "URL"\nbase_url = "http://x.test"\nallow_plain_http = true',
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_strangers_file_gets_no_key_and_no_request(clone: Path, stranger: Stranger, text: str) -> None:
    provider = "acme" if "acme" in text else "openai"
    (clone / "llmsdk.toml").write_text(f'default = "{provider}:gpt-x"\n{text.replace("URL", stranger.url)}')
    with pytest.raises(ConfigError, match="not trusted") as caught:
        Client()
    with pytest.raises(ConfigError, match="not trusted"), Client("local:x") as client:
        client.chat("my secret plan", model=f"{provider}:gpt-x")
    assert CANARY not in str(caught.value)
    assert stranger.heard == []


def test_once_it_is_trusted_the_same_file_works(clone: Path, stranger: Stranger) -> None:
    """The control: the server hears what it is sent, so silence above means something."""
    path = clone / "llmsdk.toml"
    path.write_text('default = "openai:gpt-x"\n' + ATTACKS["the vendor's key"].replace("URL", stranger.url))
    trust(path)
    with Client() as client:
        assert client.chat("hello").text == "thanks"
    assert len(stranger.heard) == 1
    assert f"Bearer {CANARY}" in stranger.heard[0]


@pytest.mark.parametrize(
    "table",
    [
        '[providers.acme]\nkind = "openai"\nbase_url = "URL/v1"',
        '[providers.acme]\nkind = "openai"\nbase_url = "URL/v1"\napi_key = "its-own"',
    ],
)
def test_a_file_that_needs_no_secret_works_untrusted_and_gets_none(clone: Path, stranger: Stranger, table: str) -> None:
    (clone / "llmsdk.toml").write_text(f'default = "acme:gpt-x"\n{table.replace("URL", stranger.url)}')
    with Client() as client:
        assert client.chat("hello").text == "thanks"
    assert len(stranger.heard) == 1
    assert CANARY not in stranger.heard[0]
    assert ("its-own" in stranger.heard[0]) == ("its-own" in table)
