"""The provider that docs/providers/writing-one.md leads to, as a reader would have it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docs.doc_blocks import blocks

PAGE = Path(__file__).parents[2] / "docs/providers/writing-one.md"
FILES = {block.name: block.code for block in blocks(PAGE) if block.name.endswith(".py")}


def write(folder: Path) -> None:
    """The files of the page."""
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")


def modules(folder: Path) -> tuple[ModuleType, ModuleType]:
    """The provider and its backend, imported."""
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        try:
            return importlib.import_module("acme"), importlib.import_module("test_acme")
        finally:
            for name in ("acme", "test_acme"):
                sys.modules.pop(name, None)
