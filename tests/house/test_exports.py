"""Holds what the package shows: its names, its version, its extras and its entry points."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint, distribution
from typing import Any, get_args

import pytest
from house_source import ROOT, files, sources
from packaging.requirements import Requirement

import llmsdk
from llmsdk import errors, results
from llmsdk.errors import ConfigError
from llmsdk.provider import CONTRACT, Counts, Embeds, HTTPSettings, Lists, Provider, Scores
from llmsdk.registry import BUILT_IN
from llmsdk.settings import is_table

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ENTRY_POINTS = [point for point in distribution("llmsdk").entry_points if point.group == "llmsdk.providers"]


def type_checked_names() -> set[str]:
    """What ``llmsdk`` shows to type checkers."""
    block = next(node for node in ast.parse(inspect.getsource(llmsdk)).body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_all_is_sorted_and_every_name_resolves() -> None:
    assert llmsdk.__all__ == sorted(set(llmsdk.__all__))
    for name in llmsdk.__all__:
        assert getattr(llmsdk, name) is not None
        assert name in dir(llmsdk)


def test_type_checkers_and_python_see_the_same_names() -> None:
    assert type_checked_names() == set(llmsdk.__all__)


def test_star_import_gives_just_these_names() -> None:
    space: dict[str, Any] = {}
    exec("from llmsdk import *", space)  # noqa: S102 - the statement is the thing tested
    assert set(space) - {"__builtins__"} == set(llmsdk.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'llmsdk' has no attribute 'Clint'"):
        llmsdk.Clint  # type: ignore[attr-defined]  # noqa: B018


def test_completion_shows_what_is_public() -> None:
    assert [name for name in dir(llmsdk) if not name.startswith("_")] == llmsdk.__all__


def test_python_says_which_name_was_meant() -> None:
    program = "import llmsdk; llmsdk.Clint"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("has no attribute 'Clint'. Did you mean: 'Client'?\n")


def test_every_kind_of_event_is_exported() -> None:
    assert {kind.__name__ for kind in get_args(llmsdk.Event)} <= set(llmsdk.__all__)


def test_every_result_is_exported() -> None:
    kinds = {name for name, kind in vars(results).items() if inspect.isclass(kind) and issubclass(kind, results.Result)}
    assert kinds <= set(llmsdk.__all__)


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.LLMError)}
    drawn = {word for line in (errors.__doc__ or "").splitlines() for word in line.strip("│├└ ").split()[:1]}
    assert kinds <= drawn


def listed(name: str) -> list[str] | None:
    """The ``__all__`` of a module, where it has one."""
    for node in ast.parse(files()[name].read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


@pytest.mark.parametrize("name", [name for name in files() if listed(name) is not None])
def test_each_listed_name_is_there_once(name: str) -> None:
    module = import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [shown for shown in module.__all__ if not hasattr(module, shown)] == []


def test_modules_take_from_each_other_only_what_is_public() -> None:
    taken = [
        f"{source.module}:{item.line} takes {item.full}"
        for source in sources().values()
        for item in source.imports
        if item.name and item.module in files() and item.module != "llmsdk"
        and (item.name.startswith("_") or item.name not in (listed(item.module) or [item.name]))
    ]  # fmt: skip
    assert taken == []


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heading = next(line for line in changelog.splitlines() if line.startswith("## ") and "nreleased]" not in line)
    assert PROJECT["version"] == llmsdk.__version__ == distribution("llmsdk").version
    assert llmsdk.__version__ in heading


def test_extras_name_third_party_packages_and_all_is_their_sum() -> None:
    assert {Requirement(item).name for items in EXTRAS.values() for item in items}.isdisjoint({"llmsdk"})
    assert set(EXTRAS["all"]) == {
        item for name in ("local", "openai", "bedrock", "cli", "otel") for item in EXTRAS[name]
    }


def test_providers_stay_a_namespace_that_others_may_join() -> None:
    namespace = ROOT / "providers" / "llmsdk_providers"
    assert [path.name for path in namespace.iterdir() if path.is_file()] == [], "a file here would clash with siblings"
    for folder in namespace.iterdir():
        if folder.name != "__pycache__":
            assert (folder / "__init__.py").is_file()
            assert (folder / "py.typed").is_file()


def test_the_installed_entry_points_are_those_of_the_project() -> None:
    assert {point.name: point.value for point in ENTRY_POINTS} == PROJECT["entry-points"]["llmsdk.providers"]
    assert set(BUILT_IN) == set(PROJECT["entry-points"]["llmsdk.providers"])


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


PLACES = {
    "azure": {"base_url": "https://name.openai.azure.com", "api_version": "2024-10-21"},
    "bedrock": {"region": "us-east-1"},
    "vertex": {"project": "name", "token": "sk-test"},
}
"""What a provider must be told besides its key: where it is."""


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda point: point.name)
def test_an_entry_point_satisfies_the_contract(point: EntryPoint) -> None:
    kind = point.load()
    assert kind.contract == CONTRACT
    assert isinstance(kind.key_variables, tuple)
    assert kind.loop_bound in (True, False)
    assert is_table(kind.Settings)
    with pytest.raises(ConfigError, match="unknown key"):
        kind.Settings(no_such_setting=1)
    for method in ("capabilities", "generate", "aclose"):
        assert parameters(getattr(kind, method)) == parameters(getattr(Provider, method)), method
    settings = {"api_key": "sk-test"} if issubclass(kind.Settings, HTTPSettings) and point.name != "vertex" else {}
    provider = kind("name", kind.Settings(**settings, **PLACES.get(point.name, {})))
    assert provider.name == "name"
    for protocol, method in ((Scores, "score"), (Embeds, "embed"), (Counts, "count"), (Lists, "models")):
        if isinstance(provider, protocol):
            assert parameters(getattr(kind, method)) == parameters(getattr(protocol, method)), method


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda point: point.name)
def test_loading_a_provider_loads_no_heavy_library(point: EntryPoint) -> None:
    program = (
        "import sys; from importlib.metadata import EntryPoint;"
        f"EntryPoint({point.name!r}, {point.value!r}, {point.group!r}).load();"
        "print(*{'torch', 'transformers', 'tiktoken', 'openai', 'httpcore2', 'httpx2', 'httpx'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
