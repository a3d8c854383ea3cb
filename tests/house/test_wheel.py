"""Holds that what is built from the tree, and installed where nothing else is, works: with and without extras."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from house_distributions import closure, link
from house_source import ROOT, SOURCES

POCKET = "llmsdk_providers/local/pocket"
MODEL_FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
MOST_BYTES = 8 * 2**20

CORE = """\
import llmsdk, llmsdk_providers, sys
from pathlib import Path
from llmsdk import Client
from llmsdk.errors import MissingExtra
from llmsdk.io.sync import SyncIO
assert Path(llmsdk.__file__).is_relative_to(sys.prefix), llmsdk.__file__
assert llmsdk_providers.__file__ is None
Client("openai:gpt-x", api_key="sk-x").close()
try:
    Client("local:pocket").chat("Hi!")
except MissingExtra as error:
    print(error)
"""
LOCAL = """\
import llmsdk, sys
from pathlib import Path
from llmsdk import Client
assert Path(llmsdk.__file__).is_relative_to(sys.prefix), llmsdk.__file__
with Client("local:pocket") as client:
    result = client.chat("Hi!")
    assert result.text and result.usage.output_tokens, result
    streamed = client.chat("Hi!", stream=True)
    assert "".join(event.text for event in streamed) == result.text
print("ok")
"""


def build(root: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of a source tree."""
    wheel = next(WheelBuilder(str(root)).build(directory=str(folder), versions=["standard"]))
    sdist = next(SdistBuilder(str(root)).build(directory=str(folder), versions=["standard"]))
    return Path(wheel), Path(sdist)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def environment(folder: Path, wheel: Path, *extras: str) -> Path:
    """A virtual environment with the wheel and the distributions that it asks for, and nothing else; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    link(closure(*extras), site)
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    return python


def run(python: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([python, *arguments], capture_output=True, text=True, cwd=python.parent, check=False)
    assert done.returncode == status, done.stderr
    return done


def test_the_wheel_holds_every_file_of_both_source_roots(built: tuple[Path, Path]) -> None:
    files = {str(path.relative_to(root)) for root in SOURCES.values() for path in root.rglob("*") if path.is_file()}
    names = set(contents(built[0]))
    assert {name for name in files if "__pycache__" not in name} <= names
    assert "llmsdk_providers/__init__.py" not in names
    assert {"llmsdk/py.typed", "llmsdk_providers/local/py.typed", "llmsdk_providers/openai/py.typed"} <= names
    assert [name for name in names if name.endswith(".pyc")] == []


def test_the_wheel_holds_the_model_and_it_is_small(built: tuple[Path, Path]) -> None:
    model = {name.rpartition("/")[2]: data for name, data in contents(built[0]).items() if name.startswith(POCKET)}
    assert set(model) >= MODEL_FILES
    assert sum(len(data) for data in model.values()) <= MOST_BYTES


def test_the_metadata_says_what_it_is(built: tuple[Path, Path]) -> None:
    files = contents(built[0])
    name = next(name for name in files if name.endswith(".dist-info/METADATA"))
    metadata: Message = Parser().parsestr(files[name].decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    extras = {"all", "bedrock", "check", "cli", "local", "openai", "otel", "test"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


def test_the_sdist_builds_the_very_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        # Python 3.11.3 and before have no filters yet; the archive is our own.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)  # noqa: S202
    (unpacked,) = tmp_path.iterdir()
    assert contents(build(unpacked, tmp_path / "dist")[0]) == contents(wheel)


def test_the_core_works_alone_and_says_what_is_missing(built: tuple[Path, Path], tmp_path: Path) -> None:
    python = environment(tmp_path / "core", built[0])
    assert "pip install 'llmsdk[local]'" in run(python, "-I", "-c", CORE).stdout.replace('"', "'")
    assert "llmsdk[cli]" in run(python, "-I", str(python.parent / "llmsdk"), "--help", status=2).stderr


@pytest.mark.skipif(os.environ.get("LLMSDK_TEST_CORE") == "1", reason="without torch, as asked by scripts/test --core")
def test_with_the_local_extra_the_model_inside_answers(built: tuple[Path, Path], tmp_path: Path) -> None:
    python = environment(tmp_path / "local", built[0], "local")
    assert run(python, "-I", "-W", "error::ResourceWarning", "-c", LOCAL).stdout == "ok\n"
