"""``python -m llmsdk.testing conformance pkg:Provider``: a report on a provider; it exits with 1 if a rule fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from llmsdk.testing.conformance import Backend, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and print its report."""
    given = _parser().parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    backend = named(given.backend) if given.backend else None
    if backend is not None and not issubclass(backend, Backend):
        raise SystemExit(f"{given.backend} is no llmsdk.testing.conformance.Backend")
    settings = dict(map(_setting, given.setting))
    report = run(named(given.provider), backend, model=given.model, settings=settings)
    sys.stdout.write(f"{given.provider}\n\n{report}\n")
    return 0 if report.ok else 1


def named(target: str) -> Any:
    """The class that ``module:Class`` names."""
    module, _, name = target.partition(":")
    if not name:
        raise SystemExit(f"{target!r} is not of the form module:Class")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SystemExit(f"{target!r} cannot be imported: {error}") from error


def _setting(pair: str) -> tuple[str, Any]:
    """``NAME=VALUE``; a value that is JSON is taken as such."""
    name, equals, value = pair.partition("=")
    if not equals:
        raise SystemExit(f"--setting {pair!r} is not of the form NAME=VALUE")
    try:
        return name, from_json(value)
    except ValueError:
        return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m llmsdk.testing", description="Tests for those who build on llmsdk.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    suite = commands.add_parser("conformance", help="hold a provider to the contract")
    suite.add_argument("provider", metavar="module:Provider", help="the class")
    suite.add_argument("--backend", metavar="module:Backend", help="its host, for a provider over HTTP")
    suite.add_argument("--model", help="the model to ask; by default the backend's")
    suite.add_argument("--setting", metavar="NAME=VALUE", action="append", default=[], help="a setting of the provider")
    return parser


if __name__ == "__main__":
    sys.exit(main())
