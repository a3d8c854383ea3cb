"""Holds what an import may cost: which modules it loads, which files and sockets it opens, how much is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from house_distributions import closure
from house_source import SOURCES

HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "tiktoken"}
HTTP = {"httpcore2", "httpx2", "httpx", "httpcore", "h11", "openai", "requests", "urllib3"}
LATER = {"tenacity", "typer", "click", "rich", "genai_prices"}
MOST_DISTRIBUTIONS = 14

WATCH = """\
import json, sys
opened, sockets = [], []
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        opened.append(args[0] if isinstance(args[0], str) else args[0].decode())
    elif event.startswith("socket.") and event not in ("socket.gethostname",):
        sockets.append(event)
sys.addaudithook(hook)
{program}
seen = list(opened), list(sockets)
print(json.dumps({{"modules": sorted(sys.modules), "opened": seen[0], "sockets": seen[1]}}))
"""
IMPORT = "import llmsdk"
NAMES = "from llmsdk import AsyncClient, Client"
HOSTED = f'{NAMES}; [face("openai:gpt-x", api_key="sk-x") for face in (Client, AsyncClient)]'
LOCAL = f'{NAMES}; [face("local:pocket") for face in (Client, AsyncClient)]'


def watch(program: str, folder: Path) -> dict[str, Any]:
    """What a program loads and opens, in a fresh interpreter in an empty folder, with an empty home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LLMSDK_", "OPENAI_"))}
    environment |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, "-c", WATCH.format(program=program)]
    done = subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder, env=environment)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def tops(seen: dict[str, Any]) -> set[str]:
    return {module.partition(".")[0] for module in seen["modules"]}


def strange(paths: list[str]) -> list[str]:
    """The paths outside Python, what is installed, and our own two source roots."""
    homes = [*(Path(path) for path in sysconfig.get_paths().values()), *SOURCES.values(), Path(sys.base_prefix)]
    known = [os.path.realpath(home) for home in (*homes, Path(sys.prefix))]
    real = {path: os.path.realpath(path) for path in paths}
    return [path for path in paths if not any(real[path].startswith(home + os.sep) for home in known)]


@pytest.mark.parametrize("program", [IMPORT, NAMES])
def test_importing_loads_nothing_heavy(program: str, tmp_path: Path) -> None:
    assert tops(watch(program, tmp_path)) & (HEAVY | HTTP | LATER) == set()


def test_importing_the_package_loads_no_provider_and_no_pydantic(tmp_path: Path) -> None:
    assert tops(watch(IMPORT, tmp_path)) & {"llmsdk_providers", "pydantic", "anyio", "asyncio", "ssl"} == set()


@pytest.mark.parametrize("program", [IMPORT, NAMES])
def test_importing_opens_no_socket_and_no_file_of_the_user(program: str, tmp_path: Path) -> None:
    seen = watch(program, tmp_path)
    assert seen["sockets"] == []
    assert strange(seen["opened"]) == []


def test_making_a_client_loads_nothing_that_only_some_need(tmp_path: Path) -> None:
    some = {"pydantic", "annotated_types", "importlib.metadata", "tomllib", "difflib", "email.utils"}
    program = f'{NAMES}; Client("openai:gpt-x", api_key="sk-x")'
    assert set(watch(program, tmp_path)["modules"]) & some == set()


@pytest.mark.parametrize("program", [HOSTED, LOCAL])
def test_making_a_client_opens_no_socket_and_loads_nothing_heavy(program: str, tmp_path: Path) -> None:
    seen = watch(program, tmp_path)
    assert seen["sockets"] == []
    assert strange(seen["opened"]) == []
    assert tops(seen) & (HEAVY | LATER) == set()


def test_the_watch_sees_sockets_files_and_modules(tmp_path: Path) -> None:
    seen = watch("import socket, h11; socket.socket().close(); open('notes.txt', 'w').close()", tmp_path)
    assert "socket.__new__" in seen["sockets"]
    assert strange(seen["opened"]) == ["notes.txt"]
    assert tops(seen) & HTTP == {"h11"}


def test_a_core_installation_is_small() -> None:
    core = closure()
    assert not HEAVY & set(core)
    assert len(core) + 1 <= MOST_DISTRIBUTIONS, sorted(core)


def test_nothing_is_skipped_for_want_of_an_extra() -> None:
    if os.environ.get("LLMSDK_TEST_CORE") != "1":
        assert [name for name in ("torch", "transformers", "tiktoken", "typer") if find_spec(name) is None] == []


def test_the_extras_add_what_they_say() -> None:
    assert {"typer", "rich"} <= set(closure("cli")) - set(closure())
    assert "tiktoken" in set(closure("openai")) - set(closure())
