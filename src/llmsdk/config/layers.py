"""Layers of settings: of a file, a mapping, the environment. Each setting has its place; layers merge by ``|``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmsdk import toml
from llmsdk.config.tables import FLAT
from llmsdk.errors import ConfigError, brief
from llmsdk.secret import kept
from llmsdk.settings import keys, nearest, placed, unknown
from llmsdk.toml import Key
from llmsdk.trust import is_trusted, project_file, shown, user_file

SECTIONS = ("default", "limits", "models", "providers", *FLAT)
PREFIX = "LLMSDK_"
VARIABLES = ("LLMSDK_CONFIG", "LLMSDK_DEBUG", "LLMSDK_MODEL")
FOREIGN = ("LLMSDK_TEST_", "LLMSDK_REQUIRE_")
"""Prefixes of variables that belong to the test suite."""


@dataclass(frozen=True, slots=True)
class Value:
    """One setting and where it came from. ``untrusted``: from a file that was merely found."""

    value: Any = field(repr=False)
    source: str
    untrusted: bool = False


Layer = dict[Key, Value]


def of_file(config: str | Path | None) -> tuple[Path | None, Layer]:
    """The settings of a file, and which one it is: that of ``config``, or the one that is found."""
    named = config or os.environ.get("LLMSDK_CONFIG")
    found = None if named else project_file()
    chosen = named or found or user_file()
    if chosen is None:
        return None, {}
    path, content = toml.read(chosen)
    name = shown(path)
    data = kept(toml.parse(content, name))
    lines = toml.lines(content.decode("utf-8-sig"))
    untrusted = path == found and not is_trusted(path, content)

    def source(key: Key) -> str:
        line = next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), None)
        return f"{name}:{line}" if line else name

    return path, of_mapping(data, source, untrusted=untrusted)


def of_mapping(data: Mapping[str, Any], source: Any, *, untrusted: bool = False) -> Layer:
    """The settings of a mapping, one entry each."""
    layer: Layer = {}
    for name, value in data.items():
        section = _word(name)
        if section not in SECTIONS:
            raise unknown((section,), SECTIONS, source((section,)))
        for key, item in _leaves((section,), value, source):
            layer[key] = Value(item, source(key), untrusted)
    return layer


def _leaves(key: Key, value: Any, source: Any) -> Iterable[tuple[Key, Any]]:
    depth = {"default": 1, "providers": 3, "limits": 3}.get(key[0], 2)
    if len(key) == depth:
        yield key, value
        return
    if not isinstance(value, Mapping):
        table = ".".join((key[0], "NAME") if len(key) == 1 and depth == 3 else key)
        hint = f"Write [{toml.printable(table)}] on a line of its own, and its settings under it."
        raise ConfigError(
            f"{placed(source(key), key)}: must be a table, not {kind(value)}", key=".".join(key), hint=hint
        )
    if key[0] == "providers" and len(key) == 2:
        yield key, None  # so that an empty table is known too
    for name, item in value.items():
        yield from _leaves((*key, _word(name)), item, source)


def _word(name: Any) -> str:
    """A name in a mapping, which in Python may be anything."""
    return name if isinstance(name, str) else brief(name)


def of_environment(names: Iterable[str]) -> Layer:
    """The settings given by ``LLMSDK_*`` variables; ``names`` are the providers configured otherwise."""
    layer: Layer = {}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable.startswith(FOREIGN) or not os.environ[variable]:
            continue
        key = _variable_key(variable, names)
        if key:
            layer[key] = Value(kept(os.environ[variable], key[-1]), f"env {variable}")
            if key[0] == "providers":
                layer.setdefault(key[:2], Value(None, f"env {variable}"))
        elif variable not in VARIABLES:
            _complain(variable)
    return layer


def _variable_key(variable: str, names: Iterable[str]) -> Key | None:
    if variable == "LLMSDK_MODEL":
        return ("default",)
    section, _, rest = variable.removeprefix(PREFIX).lower().partition("_")
    if section in FLAT and rest:
        return (section, rest)
    if section not in ("providers", "limits"):
        return None
    # "my_host_api_key" could be split in three places: a configured name decides, the longest first
    for name in sorted(names, key=len, reverse=True):
        prefix = re.sub(r"\W", "_", name).lower() + "_"
        if rest.startswith(prefix) and rest != prefix:
            return (section, name, rest.removeprefix(prefix))
    name, _, key = rest.partition("_")
    return (section, name, key) if name and key else None


def _complain(variable: str) -> None:
    options = {name.removeprefix(PREFIX): name for name in (*VARIABLES, *_section_variables())}
    near = nearest(variable.removeprefix(PREFIX), options)  # what all have in common makes none alike
    if near:
        raise ConfigError(f"env {variable}: unknown variable", hint=f"Did you mean {options[near]!r}?", key=variable)
    known = f"LLMSDK_MODEL, LLMSDK_CONFIG, {', '.join(f'LLMSDK_{name.upper()}_*' for name in FLAT)}, "
    known += "LLMSDK_LIMITS_<NAME>_<KEY> and LLMSDK_PROVIDERS_<NAME>_<KEY>"
    warnings.warn(f"env {variable} means nothing to llmsdk, which reads {known}", UserWarning, stacklevel=4)


def _section_variables() -> list[str]:
    return [f"LLMSDK_{name}_{key}".upper() for name, table in FLAT.items() for key in keys(table)]


def kind(value: Any) -> str:
    """What a value is, in the words of TOML."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    if value == "":
        return "an empty string"
    return names.get(type(value), f"a {type(value).__name__}")
