"""The suite as a command, and as tests of a stranger's: the files of the page, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from acme_kit import FILES, write

from llmsdk.testing.__main__ import main

EXAMPLE = Path(__file__).parents[2] / "examples/custom_provider"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300)


def test_the_page_leads_to_a_provider_in_under_100_lines() -> None:
    lines = [line for code in FILES.values() for line in code.splitlines() if line.strip()]
    assert 50 < len(lines) < 100


def test_it_passes_as_a_command(folder: Path) -> None:
    done = python(folder, "llmsdk.testing", "conformance", "acme:Acme", "--backend", "test_acme:AcmeBackend")
    assert done.returncode == 0, done.stdout + done.stderr
    *_, counts = done.stdout.splitlines()
    passed, failed, skipped = (int(part.split()[0]) for part in counts.split(", "))
    assert (passed > 60, failed) == (True, 0)
    assert done.stdout.count("\nok  ") == passed
    assert done.stdout.count("\nskip  ") == skipped
    assert "skip  more.embeds                       not offered: it is no Embeds" in done.stdout


def test_it_passes_as_tests(folder: Path) -> None:
    done = python(folder, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert " skipped" in done.stdout


def test_a_broken_one_fails_both_ways(folder: Path) -> None:
    code = FILES["acme.py"].replace('{"done": "stop", "cut": "length"}', '{"done": "stop", "cut": "stop"}')
    assert code != FILES["acme.py"]
    (folder / "acme.py").write_text(code, encoding="utf-8")
    done = python(folder, "llmsdk.testing", "conformance", "acme:Acme", "--backend", "test_acme:AcmeBackend")
    assert done.returncode == 1
    assert "FAIL  reply.length" in done.stdout
    assert (
        "\n  expected: finish 'length'\n  came:     'stop'\n  see:      docs/providers/writing-one.md#" in done.stdout
    )
    done = python(folder, "pytest", "-q", "-p", "no:cacheprovider", "-k", "length or missing_key")
    assert done.returncode == 1
    assert "reply.length: failed" in done.stdout


def test_a_provider_without_a_wire(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    arguments = ["conformance", "llmsdk_parrot:Parrot", "--model", "polly", "--setting", "pause=0.001"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "ok    verb.chat.trio" in shown
    assert "skip  stream.cut                        needs a host" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["acme"], "module:Class"),
        (["nothing:Here"], "cannot be imported"),
        (["llmsdk_providers.openai:OpenIA"], "cannot be imported"),
        (["llmsdk_providers.openai:OpenAI", "--backend", "llmsdk_providers.openai:OpenAI"], "is no llmsdk.testing"),
        (["llmsdk_providers.openai:OpenAI", "--setting", "pause"], "NAME=VALUE"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        main(["conformance", *arguments])


def test_nothing_loads_it_and_it_loads_nothing_of_the_tests(tmp_path: Path) -> None:
    """A core install is enough: neither pytest nor trio is there, and importing the library does not load it."""
    code = (
        "import sys; from llmsdk import Client; assert not any('llmsdk.testing' in name for name in sys.modules);"
        "sys.modules |= dict.fromkeys(('pytest', 'trio', 'hypothesis')); import llmsdk.testing.conformance as found;"
        "assert found.cases(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
