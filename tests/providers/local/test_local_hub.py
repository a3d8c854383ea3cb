"""Downloads from a hub of our own, in a process of their own: what is asked for, what is not, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub", reason="the local runtime needs huggingface_hub")

COMMIT = "1" * 40
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"x" * 2000,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling_evil.py": b"code",
}
CODE = """
import json, sys
from llmsdk_providers.local import hub
from llmsdk.errors import LLMError
try:
    folder = hub.download(sys.argv[1])
    print(json.dumps(sorted(file.name for file in folder.iterdir())))
except LLMError as error:
    print(json.dumps([type(error).__name__, error.message, error.hint]))
"""


class Hub(ThreadingHTTPServer):
    """Just enough of the hub: one model, one that is gated, and none else. Notes every path that is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/org/gated"):
            self.say(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif path.startswith("/api/models/org/tiny/tree"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                for name, data in FILES.items()
            ]
            self.say(200, json.dumps(tree).encode(), {})
        elif path.startswith("/api/models/org/tiny"):
            siblings = [{"rfilename": name} for name in FILES]
            self.say(200, json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": siblings}).encode(), {})
        elif path.startswith("/org/tiny/resolve/") and name in FILES:
            tag = hashlib.sha1(FILES[name]).hexdigest()  # noqa: S324
            self.say(200, FILES[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        else:
            self.say(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def download(name: str, endpoint: str, home: Path) -> list[str]:
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, name],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **settings},
    )
    assert done.stderr == "", "no bar where stderr is no terminal"
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_only_data_is_fetched_and_only_once(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    wanted = ["config.json", "model.safetensors", "tokenizer.json"]
    assert download("org/tiny", endpoint, tmp_path) == wanted
    assert not [path for path in hub.asked if path.endswith((".bin", ".py"))]
    hub.asked.clear()
    assert download("org/tiny", endpoint, tmp_path) == wanted
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "kind", "word"), [("org/none", "UnknownModel", "HF_TOKEN"), ("org/gated", "PermissionDenied", "licence")]
)
def test_models_that_the_hub_does_not_give(hub: Hub, tmp_path: Path, name: str, kind: str, word: str) -> None:
    found, message, hint = download(name, f"http://127.0.0.1:{hub.server_port}", tmp_path)
    assert found == kind
    assert name in message
    assert word in hint


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    kind, message, hint = download("org/tiny", "http://127.0.0.1:9", tmp_path)
    assert kind == "ConnectFailed"
    assert "org/tiny" in message
    assert "local:/path" in hint
