"""The example distribution, installed by pip as a stranger would, and used by its name in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "custom_provider"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example was installed into, without a network."""
    pytest.importorskip("hatchling", reason="hatchling builds the example (extra [test])")
    copy, target = tmp_path_factory.mktemp("source") / "parrot", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def run(installed: Path, tmp_path: Path, code: str, **variables: str) -> Any:
    """What ``code`` leaves in ``out``, in a new process that sees the installed example."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMSDK_")}
    environ |= {"PYTHONPATH": str(installed), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), **variables}
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import json\nfrom llmsdk import Client\n{code}\nprint(json.dumps(out))",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_is_short() -> None:
    lines = [line for path in EXAMPLE.glob("*.py") for line in path.read_text().splitlines()]
    assert 30 < len(lines) < 80


SESSION = """
from llmsdk import LLMError

def mistake(call):
    try:
        call()
    except LLMError as error:
        return [type(error).__name__, error.message, error.hint]

with Client("parrot:polly") as client:
    chat = client.chat("Hello there!")
    with client.chat("one two three", stream=True) as stream:
        pieces = [event.text for event in stream if event.text]
    cut = client.complete("a b c", max_tokens=2)
    out = {
        "chat": [chat.text, chat.provider, chat.finish_reason, chat.usage.input_tokens, chat.usage.output_tokens],
        "pieces": pieces,
        "streamed": stream.result.text,
        "cut": [cut.text, cut.finish_reason],
        "translation": client.translate("猫", to="en").text,
        "count": client.count_tokens("a b c").value,
        "models": [model.id for model in client.models()],
        "unknown model": mistake(lambda: client.chat("a", model="parrot:jack")),
        "unknown provider": mistake(lambda: client.chat("a", model="parot:polly")),
        "unsupported": mistake(lambda: client.chat("a", seed=1)),
        "setting": mistake(lambda: Client("parrot:polly", config={"providers": {"parrot": {"pauze": 1}}})),
    }
"""


@pytest.fixture(scope="module")
def said(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one process got out of the parrot."""
    return run(installed, tmp_path_factory.mktemp("session"), SESSION)


def test_it_is_used_by_its_name(said: Any) -> None:
    assert said["chat"] == ["Hello there! Squawk!", "parrot", "stop", 2, 3]


def test_it_streams_and_the_stream_is_the_same_reply(said: Any) -> None:
    assert said["pieces"] == ["one", " two", " three", " Squawk!"]
    assert said["streamed"] == "one two three Squawk!"


def test_other_verbs_run_on_it(said: Any) -> None:
    assert said["cut"] == ["a b", "length"]
    assert (said["translation"], said["count"], said["models"]) == ("猫 Squawk!", 3, ["polly", "coco"])


def test_its_mistakes_are_typed(said: Any) -> None:
    assert said["unknown model"] == ["UnknownModel", "no parrot is called 'jack'", "Known: polly, coco."]
    kind, message, hint = said["unknown provider"]
    assert (kind, message) == ("UnknownProvider", "no provider 'parot'")
    assert hint.startswith("Did you mean 'parrot'? Known: anthropic, ")
    assert ", parrot, " in hint
    assert said["setting"] == [
        "ConfigError",
        "config=: providers.parrot.pauze: unknown key",
        "Did you mean 'pause'?",
    ]
    assert said["unsupported"][0] == "Unsupported"
    assert "seed" in said["unsupported"][1]


def test_it_is_configured_like_any_other(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "llmsdk.toml").write_text(
        'default = "bird"\n[models]\nbird = { model = "slow:polly", max_tokens = 1 }\n'
        '[providers.slow]\nkind = "parrot"\npause = 0.001\n'
    )
    code = "with Client() as client:\n    out = client.chat('a b').text"
    assert run(installed, tmp_path, code) == "a"


def test_it_is_used_without_installing_by_naming_its_code(tmp_path: Path) -> None:
    config = tmp_path / "named.toml"
    config.write_text('[providers.bird]\nkind = "llmsdk_parrot:Parrot"\n')
    code = f"with Client('bird:polly', config={str(config)!r}) as client:\n    out = client.chat('a').text"
    assert run(EXAMPLE, tmp_path, code) == "a Squawk!"
