"""Virtual environments for peers, made once under ``.venv-bench-*``, holding what pip installs for them and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = {"openai": ["openai"], "litellm": ["litellm"], "any-llm-sdk": ["any-llm-sdk[openai]"]}


def pip(python: Path, *arguments: str) -> None:
    """Install into an environment with our pip, so that it needs none of its own."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT)


def is_ready(folder: Path) -> bool:
    """Whether it is made, and by this very Python: how one is built makes a fifth of what a call costs."""
    ready = folder / "ready"
    return ready.exists() and ready.read_text() == sys.version


def environment(name: str, requirements: list[str]) -> Path:
    """The Python of an environment with these requirements."""
    folder = ROOT / f".venv-bench-{name}"
    python = folder / "bin" / "python"
    if not is_ready(folder):
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
        if requirements:
            pip(python, *requirements)
        (folder / "ready").write_text(sys.version)
    return python


def library(name: str, *others: str) -> Path:
    """A folder with one package, or with some, which find what else they need where they are imported."""
    folder = ROOT / f".venv-bench-{name}"
    if not is_ready(folder):
        pip(Path(sys.executable), "--no-deps", "--upgrade", "--target", str(folder), name, *others)
        (folder / "ready").write_text(sys.version)
    return folder


def ours() -> Path:
    """An environment with the core of this very tree, built and installed as a user would."""
    python = environment("llmsdk", [])
    pip(python, "--force-reinstall", "--no-deps", ".")
    pip(python, ".")
    return python


def peers() -> dict[str, Path]:
    """The Pythons of ours and every peer, by the name of what is installed."""
    return {"llmsdk": ours(), **{name: environment(name, wanted) for name, wanted in PEERS.items()}}


def purelib(python: Path) -> Path:
    """Where an environment keeps its packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())
