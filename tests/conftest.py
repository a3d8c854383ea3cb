"""What every test stands on: an environment that knows nothing of the developer's, the shared inputs, a server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("LLMSDK_TEST_", "LLMSDK_REQUIRE_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_home = ""

# Timings are no test's business: a busy machine must not fail one.
hypothesis.settings.register_profile("llmsdk", deadline=None)
hypothesis.settings.load_profile("llmsdk")


def pytest_configure() -> None:
    """Take away keys, configuration and proxies before anything of ours or of Hugging Face is imported.

    pip keeps its own: some tests install what they test.
    """
    global _home
    if proxy := os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        os.environ.setdefault("PIP_PROXY", proxy)
    _home = tempfile.mkdtemp(prefix="llmsdk-tests-")
    pip = Path("~/.config/pip/pip.conf").expanduser()
    if pip.exists():
        os.environ.setdefault("PIP_CONFIG_FILE", str(pip))
    for name in list(os.environ):
        ours = name.startswith("LLMSDK_") and not name.startswith(KEPT)
        if ours or name.endswith(("_API_KEY", "_BASE_URL")) or name.upper() in PROXIES:
            del os.environ[name]
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = _home
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_unconfigure() -> None:
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both loops, for every test marked ``anyio``."""
    return str(request.param)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared test inputs: ``$LLMSDK_TEST_DATA``, else ``../shared`` beside the checkout."""
    named = os.environ.get("LLMSDK_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared"
    if (folder / "data").is_dir():
        return folder
    reason = f"no shared test inputs in {folder}; set LLMSDK_TEST_DATA"
    if os.environ.get("LLMSDK_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def openai_server() -> Iterator[object]:
    """A running OpenAI-compatible server; see ``servers.openai_server``."""
    from servers.openai_server import OpenAIServer

    with OpenAIServer() as server:
        yield server
