"""The fixtures as a user's run has them, in a process of its own; and what the plugin costs a run that uses none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

TESTS = """
import pytest
from llmsdk import Client
from llmsdk.testing import NetworkBlocked, faults

def test_scripted(llmsdk_scripted):
    llmsdk_scripted.replies += ["Hello!"]
    assert Client("scripted:any", provider=llmsdk_scripted).chat("Hi").text == "Hello!"

def test_server(llmsdk_server):
    llmsdk_server.inject(faults.status(503, retry_after=0.001))
    with Client("openai:any", config=llmsdk_server.config()) as client:
        assert len(client.chat("Hi").attempts) == 2

def test_no_network(llmsdk_no_network):
    with pytest.raises(NetworkBlocked):
        __import__("socket").create_connection(("192.0.2.1", 9))

@pytest.mark.parametrize("text", ["a/b"])
def test_cassette(llmsdk_cassette, llmsdk_server, text):
    with Client("openai:any", config=llmsdk_server.config()) as client:
        client.chat(text)
    print("REQUESTS", len(llmsdk_server.requests))
"""


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugins = ["-p", "llmsdk.testing.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(TESTS)
    first = pytest_run(tmp_path, "-s")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "REQUESTS 1" in first.stdout
    assert (tmp_path / "cassettes" / "test_user" / "test_cassette-a-b-.json").is_file()
    second = pytest_run(tmp_path, "-s", "--llmsdk-cassettes=replay")
    assert "REQUESTS 0" in second.stdout, second.stdout
    anew = pytest_run(tmp_path, "-s", "--llmsdk-cassettes=record", "-k", "cassette")
    assert "REQUESTS 1" in anew.stdout, anew.stdout


def test_it_is_registered() -> None:
    names = {point.name: point.value for point in distribution("llmsdk").entry_points if point.group == "pytest11"}
    assert names in ({}, {"llmsdk": "llmsdk.testing.pytest_plugin"})  # none where it was installed before there was one


def test_a_run_that_uses_nothing_of_it_loads_next_to_nothing() -> None:
    program = "import sys, pytest, json; old = set(sys.modules); import llmsdk.testing.pytest_plugin; "
    program += "print(json.dumps(sorted(set(sys.modules) - old)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["llmsdk", "llmsdk.testing", "llmsdk.testing.pytest_plugin"]
