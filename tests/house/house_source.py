"""Reads our own source as text, so that the rules of the house can be checked without importing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
SOURCES = {"llmsdk": ROOT / "src", "llmsdk_providers": ROOT / "providers"}

When = Literal["import", "call", "types"]
"""When an import happens: with the module, inside a function, or never (``TYPE_CHECKING``)."""


@dataclass(frozen=True, slots=True)
class Import:
    """``module`` is the module that is loaded; ``name`` is what is taken from it, if anything by name."""

    module: str
    when: When
    line: int
    name: str = ""

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(slots=True)
class Source:
    """What one module imports, and what it uses of the modules that it imports whole (``time.sleep``)."""

    module: str
    imports: list[Import] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)


def read(module: str, text: str, known: frozenset[str] = frozenset()) -> Source:
    """Read one module; ``from package import x`` counts as ``package.x`` where that is a ``known`` module."""
    source, tree = Source(module), ast.parse(text)
    for statement, when in _walk(tree, "import"):
        source.imports += [_resolve(item, known) for item in _items(statement, when)]
    source.uses = {item.full for item in source.imports} | set(_attributes(tree))
    return source


def _walk(node: ast.AST, when: When) -> Iterator[tuple[ast.AST, When]]:
    for child in ast.iter_child_nodes(node):
        yield child, when
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for branch, inner in ((child.body, "types"), (child.orelse, when)):
                yield from _walk(ast.Module(branch, []), inner)  # type: ignore[arg-type]
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, "call")
        else:
            yield from _walk(child, when)


def _items(node: ast.AST, when: When) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, when, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: write imports in full"
        yield from (Import(node.module or "", when, node.lineno, alias.name) for alias in node.names)


def _resolve(item: Import, known: frozenset[str]) -> Import:
    return Import(item.full, item.when, item.line) if item.full in known else item


def _attributes(tree: ast.AST) -> Iterator[str]:
    """``time.sleep`` for every use of ``clock.sleep`` after ``import time as clock``."""
    plain = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (base := plain.get(ast.unparse(node.value))):
            yield f"{base}.{node.attr}"


@cache
def files() -> dict[str, Path]:
    """Every module of both source roots, with its file."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package, root in SOURCES.items()
        for path in sorted((root / package).rglob("*.py"))
    }


@cache
def sources() -> dict[str, Source]:
    """Every module of both source roots, read."""
    known = frozenset(files())
    return {module: read(module, path.read_text("utf-8"), known) for module, path in files().items()}


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a module is one of ``prefixes`` or inside one."""
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)
