"""Where configuration is looked for, and which file that was merely found may be given secrets.

A file found by searching the working tree may come from a cloned repository, and so from a stranger. It is trusted
once its path and the hash of its content are written down in the user's own folder; a changed file is a new one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from llmsdk.errors import ConfigError

PROJECT_FILE = "llmsdk.toml"
USER_FILE = "config.toml"
STORE = "trusted.json"


def user_folder(platform: str = sys.platform, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the user's own configuration, or ``None`` where there is no home."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    if platform != "win32" and Path(xdg).is_absolute():
        return Path(xdg, "llmsdk")
    if platform == "win32":
        base = environ.get("APPDATA")
        return Path(base, "llmsdk") if base else None
    home = environ.get("HOME") or (_home() if environ is os.environ else "")
    if not home:
        return None
    folder = ("Library", "Application Support") if platform == "darwin" else (".config",)
    return Path(home, *folder, "llmsdk")


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def project_file() -> Path | None:
    """The nearest ``llmsdk.toml`` from the working directory up to the root of its repository.

    Outside a repository only the working directory itself counts: a folder above it may belong to somebody else.
    """
    start = _working_directory()
    if start is None:
        return None
    folders = [start, *start.parents]
    root = next((index for index, folder in enumerate(folders) if _answers(folder / ".git", Path.exists)), 0)
    candidates = (folder / PROJECT_FILE for folder in folders[: root + 1])
    return next((path for path in candidates if _answers(path, Path.is_file)), None)


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None  # it was removed


def _answers(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except OSError:
        return False  # a folder that may not be read


def user_file() -> Path | None:
    """The user's own ``config.toml``, if there is one."""
    folder = user_folder()
    path = folder / USER_FILE if folder else None
    return path if path and _answers(path, Path.is_file) else None


def shown(path: Path) -> str:
    """A path as a reader knows it: relative to the working directory, or to the home folder."""
    for base, prefix in ((_working_directory(), ""), (Path(_home() or "/"), "~/")):
        if base is not None and len(base.parts) > 1 and path.is_relative_to(base):
            return prefix + path.relative_to(base).as_posix()
    return str(path)


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether exactly this content at this path was trusted."""
    folder = user_folder()
    return folder is not None and _read(folder / STORE).get(str(path.resolve())) == sha256(content).hexdigest()


def writable(path: str, place: str, file: Path | None, *, trusted: bool) -> Path:
    """A path that a setting lets us write to: from the folder of its ``file``, or from the working directory on.

    Raises:
        ConfigError: the setting is not trusted. It could name any file of the user's, or one that came with it.
    """
    if not trusted:
        hint = f"Read it; if you agree, run: llmsdk trust {file} (or name it in LLMSDK_CONFIG or config=)"
        what = "the file was found in the working tree and is not trusted to say where to write"
        raise ConfigError(f"{place}: {what}", hint=hint)
    return (file.parent if file is not None else Path()) / Path(path).expanduser()


def trust(path: Path) -> str:
    """Trust a file as it stands now, and return the hash of its content.

    Raises:
        ConfigError: it cannot be read, or there is no folder to remember it in.
    """
    folder = user_folder()
    if folder is None:
        raise ConfigError("there is no home folder to remember trusted files in", hint="Set HOME or XDG_CONFIG_HOME.")
    try:
        digest = sha256(path.read_bytes()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder / STORE, {**_read(folder / STORE), str(path.resolve()): digest})
    except OSError as error:
        raise ConfigError(f"{path} cannot be trusted: {error.strerror or error}") from error
    return digest


def _read(store: Path) -> dict[str, str]:
    try:
        entries = json.loads(store.read_bytes())
    except (OSError, ValueError):
        return {}  # unreadable is the safe side: nothing is trusted
    return entries if isinstance(entries, dict) else {}


def _write(store: Path, entries: Mapping[str, str]) -> None:
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile("w", dir=store.parent, encoding="utf-8", delete=False) as file:
        json.dump(dict(entries), file, indent=1)
    Path(file.name).replace(store)
