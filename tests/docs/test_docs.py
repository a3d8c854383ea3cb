"""README and docs: their code runs and gives what they say, their links lead somewhere, and nothing is left out.

``LLMSDK_TEST_UPDATE_DOCS=1`` writes what really came out into the pages, to be read before it is committed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from doc_blocks import Block, Fault, anchors, blocks, commands, correct, run_command, run_python
from servers.gemini_server import GeminiServer

from llmsdk import errors, options
from llmsdk.config import load
from llmsdk.settings import keys

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
PROVIDERS = sorted((ROOT / "docs" / "providers").glob("*.md"))
RUN = [README, *PAGES]
LINKED = [*RUN, *PROVIDERS, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("README.md"))]
LANGUAGES = {"python", "toml", "console", "text", "json"}
OTHER_COMMANDS = ("pip", "export", "scripts/", "python", "uvicorn", "curl", "git")
NOT_RUN = 3
"""How many blocks may be shown without being run."""

needs_pocket = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch (extra [local])")


def ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


# --- code -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openai_server: Any) -> Path:
    """An empty working directory of somebody who has an OpenAI key; api.openai.com is a server on this machine."""
    home = tmp_path / "home"
    home.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.key)
    monkeypatch.setenv("LLMSDK_PROVIDERS_OPENAI_BASE_URL", openai_server.url)
    openai_server.models["gpt-4.1-mini"] = 128_000
    return here


@needs_pocket
@pytest.mark.parametrize("page", RUN, ids=ids(RUN))
def test_code_gives_what_the_page_says(page: Path, reader: Path) -> None:
    check(page, reader)


def check(page: Path, reader: Path) -> None:
    """Run a page from top to bottom."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    faults = [fault for block in blocks(page) if block.skipped is None for fault in run(block, scope, reader)]
    close(scope)
    if os.environ.get("LLMSDK_TEST_UPDATE_DOCS"):
        correct(faults)
    assert not faults, "\n".join(map(str, faults))


@pytest.fixture
def vertex(reader: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    """The reader has credentials of Google's as well, and Vertex is a server on this machine."""
    auth = pytest.importorskip("google.auth", reason="the page on Vertex takes a token from google-auth")

    class Credentials:
        token, expiry = "ya29.test", None

        def refresh(self, request: object) -> None:
            pass

    monkeypatch.setattr(auth, "default", lambda scopes: (Credentials(), "p"))
    with GeminiServer(Credentials.token) as server:
        monkeypatch.setenv("LLMSDK_PROVIDERS_VERTEX_BASE_URL", server.origin)
        monkeypatch.setenv("LLMSDK_PROVIDERS_VERTEX_LOCATION", "here")
        yield server


@pytest.mark.parametrize("page", PROVIDERS, ids=ids(PROVIDERS))
def test_code_on_the_page_of_a_provider(page: Path, reader: Path, request: pytest.FixtureRequest) -> None:
    if page.stem == "vertex":
        request.getfixturevalue("vertex")
    check(page, reader)


def run(block: Block, scope: dict[str, Any], folder: Path) -> list[Fault]:
    """Run one block. A TOML block with a name is a file that the next blocks find."""
    match block.language:
        case "python" if block.name:
            (folder / block.name).write_text(block.code, encoding="utf-8")
            return []
        case "python":
            return run_python(block, scope)
        case "toml":
            path = folder / (block.name or "unnamed.toml")
            path.write_text(block.code, encoding="utf-8")
            load(path)
            return []
        case "console":
            ours = [command for command in commands(block) if command.words[:1] == ("llmsdk",)]
            return [fault for command in ours for fault in run_command(block, command)]
        case _:
            return []


def close(scope: dict[str, Any]) -> None:
    """Close the clients that a page left open, as the end of a reader's session would."""
    from llmsdk import Client

    for value in scope.values():
        if isinstance(value, Client):
            value.close()


def test_few_blocks_are_not_run() -> None:
    shown = [block for page in [*RUN, *PROVIDERS] for block in blocks(page)]
    skipped = [f"{block.place}: {block.skipped}" for block in shown if block.skipped]
    assert len(skipped) <= NOT_RUN, skipped


def test_every_block_is_of_a_language_that_is_checked() -> None:
    assert {block.language for page in [*RUN, *PROVIDERS] for block in blocks(page)} <= LANGUAGES


def test_commands_that_are_not_run_are_known_and_there() -> None:
    for page in [*RUN, *PROVIDERS]:
        for command in (c for block in blocks(page) if block.language == "console" for c in commands(block)):
            if command.words[:1] == ("llmsdk",):
                continue
            line = f"{page.name}:{command.line}: {' '.join(command.words)}"
            assert command.words[0].startswith(OTHER_COMMANDS), line
            for word in command.words:
                if word.startswith(("scripts/", "examples/")):
                    assert (ROOT / word).exists(), line


def test_a_wrong_page_is_noticed(tmp_path: Path) -> None:
    """The checks themselves: a value, an error and an output that are not as the page says."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n1 + 1  # -> 3\nprint('a')\n# -> a\nint('x')\n# raises ValueError: other\nint('y')\n"
        "# raises ValueError\nint('z')\n# raises KeyError\n```\n"
        "```console\n$ llmsdk --version\nllmsdk 0.0.0\n```\n",
        encoding="utf-8",
    )
    python, console = blocks(page)
    faults = run_python(python, {}) + run_command(console, commands(console)[0])
    assert [fault.first for fault in faults] == [2, 6, 10, 14]
    correct(faults)
    python, console = blocks(page)
    assert run_python(python, {}) + run_command(console, commands(console)[0]) == []


# --- pages ------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", LINKED, ids=ids(LINKED))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_every_page_and_example_is_linked_from_an_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    examples = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []
    assert [path.name for path in (ROOT / "examples").glob("*.py") if f"({path.name})" not in examples] == []


def test_the_changelog_has_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- nothing is left out ----------------------------------------------------------------------------------------


def documented(page: str) -> set[str]:
    """The words that a page sets as code."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`|^```.*?^```", text, re.MULTILINE | re.DOTALL))))


def test_every_error_is_explained() -> None:
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.LLMError)
    }
    assert kinds - documented("errors.md") == set()


def test_every_option_is_explained() -> None:
    names = {*get_type_hints(options.ChatOptions), *get_type_hints(options.ClientOptions)}
    assert names - documented("tasks.md") == set()


@pytest.mark.parametrize(("page", "name"), [("providers.md", "openai"), ("local.md", "local")], ids=["openai", "local"])
def test_every_setting_is_explained(page: str, name: str) -> None:
    module = importlib.import_module(f"llmsdk_providers.{name}.settings")
    table = module.Settings if name == "openai" else module.LocalSettings
    assert set(keys(table)) - documented(page) == set()
