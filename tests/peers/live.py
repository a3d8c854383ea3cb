"""Servers of others, started on loopback: ``transformers serve``, and LiteLLM's proxy in front of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmsdk_providers.local

ROOT = Path(__file__).parents[2]
MODEL = "pocket"
MODELS = Path(llmsdk_providers.local.__file__).parent
"""Where ``transformers serve`` finds the model under that name."""
MASTER_KEY = "sk-master-0123456789abcdef"
PATIENCE = 180.0
"""Seconds for a server to come up: it imports torch, or some 1,800 modules of a proxy."""


@dataclass(frozen=True)
class Peer:
    """A running server, and what is to be known of it."""

    name: str
    origin: str
    key: str | None = None

    @property
    def client(self) -> dict[str, Any]:
        """What makes a client of it."""
        key = {} if self.key is None else {"api_key": self.key}
        return {"model": f"{self.name}:{MODEL}", "base_url": f"{self.origin}/v1", **key}


@contextmanager
def transformers_serve(log: Path) -> Iterator[Peer]:
    """``transformers serve`` with the model in the package."""
    program = Path(sys.executable).with_name("transformers")
    port = free_port()
    command = [program, "serve", MODEL, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    own = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / ".venv-peers-serving")}
    with running(command, own, log, cwd=MODELS) as process:
        origin = f"http://127.0.0.1:{port}"
        up(process, f"{origin}/health", log)
        yield Peer("transformers", origin)


@contextmanager
def litellm_proxy(log: Path, upstream: Peer, other: tuple[str, str]) -> Iterator[Peer]:
    """LiteLLM's proxy before ``upstream``, and before another host (address and key) for what that cannot."""
    port = free_port()
    config = log.with_suffix(".yaml")
    config.write_text(json.dumps(proxy_config(upstream, *other)), encoding="utf-8")  # JSON is YAML
    program = ROOT / ".venv-peers-litellm/bin/litellm"
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]
    own = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1"}
    with running(command, own, log, cwd=log.parent) as process:
        origin = f"http://127.0.0.1:{port}"
        up(process, f"{origin}/health/liveliness", log)
        yield Peer("litellm", origin, MASTER_KEY)


def proxy_config(upstream: Peer, address: str, key: str) -> Mapping[str, Any]:
    served = {"model": f"openai/{MODEL}", "api_base": f"{upstream.origin}/v1", "api_key": "none"}
    models = [{"model_name": MODEL, "litellm_params": served}]
    for name in ("test-model", "test-small", "test-embed"):
        own = {"model": f"openai/{name}", "api_base": address, "api_key": key}
        models.append({"model_name": name, "litellm_params": own})
    return {
        "model_list": models,
        "general_settings": {"master_key": MASTER_KEY},
        # A refusal that a test asks for must not keep the model from the next one.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {"use_chat_completions_url_for_anthropic_messages": True},
    }


# --- processes ----------------------------------------------------------------------------------------------------


@contextmanager
def running(command: Sequence[Any], own: Mapping[str, str], log: Path, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end, with ``own`` variables and few others."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own
    with log.open("wb") as out:
        process = subprocess.Popen([*map(str, command)], env=env, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until a server answers, or has died."""
    until = time.monotonic() + PATIENCE
    while not answers(url):
        said = log.read_text("utf-8", "replace")[-2000:]
        assert process.poll() is None, f"it ended by itself: {said}"
        assert time.monotonic() < until, f"it does not answer: {said}"
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - http on loopback
            return bool(reply.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
