"""Which distributions an installation of llmsdk consists of, read from the metadata of what is installed here."""

from __future__ import annotations

import os
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(*extras: str) -> dict[str, Distribution]:
    """Everything that ``pip install llmsdk[extras]`` needs, llmsdk itself left out, by canonical name."""
    found: dict[str, Distribution] = {}
    asked = {("llmsdk", extra) for extra in ("", *extras)}
    queue = sorted(asked)
    while queue:
        name, extra = queue.pop()
        found[name] = distribution(name)
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = {(canonicalize_name(requirement.name), item) for item in ("", *requirement.extras)}
                queue += sorted(needed - asked)
                asked |= needed
    del found["llmsdk"]
    return found


def top_level(item: Distribution) -> set[Path]:
    """The files and folders that a distribution has directly in site-packages."""
    names = {file.parts[0] for file in item.files or () if not file.is_absolute() and file.parts[0] != os.pardir}
    return {Path(str(item.locate_file(name))) for name in names - {"__pycache__"}}


def link(items: dict[str, Distribution], site: Path) -> None:
    """Make distributions importable from another site-packages folder, without copying them."""
    for item in items.values():
        for path in top_level(item):
            target = site / path.name
            if path.exists() and not target.is_symlink():
                target.symlink_to(path)
