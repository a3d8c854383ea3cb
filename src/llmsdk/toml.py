"""A TOML file as configuration is read from it: bounded, in UTF-8, and with the line of each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmsdk.errors import ConfigError
from llmsdk.secret import Masked

Key = tuple[str, ...]

MAX_BYTES = 2**20
DEEPEST = 32
"""Levels of tables and lists."""


def read(path: str | Path) -> tuple[Path, bytes]:
    """The file's path, ``~`` filled in, and its content.

    Raises:
        ConfigError: it is not there, cannot be read, or is far too large.
    """
    hint = "Check the path given as config= or in LLMSDK_CONFIG."
    try:
        path = Path(path).expanduser()
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the path, a home that nobody has
        reason = getattr(error, "strerror", None) or "is no path to a file"
        raise ConfigError(f"{printable(str(path))}: {reason}", hint=hint) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; is this a configuration file?", hint=hint)
    return path, Masked(content)


def parse(content: bytes, name: str) -> dict[str, Any]:
    """The file's tables. ``name`` is what errors call it.

    Raises:
        ConfigError: it is not UTF-8, or not TOML.
    """
    import tomllib  # most programs have no file

    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8", hint="Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        line = int(at[1]) if at else content.rstrip().count(b"\n") + 1  # else: at the end of the document
        raise ConfigError(f"{name}:{line}: not valid TOML: {error}", hint="Strings need quotes.") from None
    except ValueError:  # a whole number of thousands of digits
        raise ConfigError(f"{name}:1: not valid TOML: a number is too long", hint="Look for many digits.") from None
    except RecursionError:
        raise ConfigError(f"{name}:1: not valid TOML: nested too deeply", hint="Strings need quotes.") from None
    if is_deep(found):
        raise ConfigError(f"{name}: nested too deeply", hint=f"No setting has more than {DEEPEST} levels.")
    return found


def is_deep(value: Any, left: int = DEEPEST) -> bool:
    """Whether tables and lists are nested beyond all reason, or even hold themselves."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return left < 0 or any(is_deep(item, left - 1) for item in items)


def printable(text: str) -> str:
    """``text`` as it may go to a terminal: a stranger's file must not write there through its keys."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def lines(text: str) -> dict[Key, int]:
    """The line of each key. A hint for people: a line inside a multi-line string may be taken for a key."""
    found: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            for size in range(1, len(table) + 1):
                found.setdefault(table[:size], number)
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault(table + _parts(assignment[1]), number)
    return found


def _parts(dotted: str) -> Key:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


__all__ = ["Key", "lines", "parse", "printable", "read"]
