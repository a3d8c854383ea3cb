"""Holds the layers: who may import whom, and who may wait, open a socket or load a heavy library.

A module imports only what ``LAYERS`` grants it. ``AT_CALL`` and ``FOR_TYPES`` grant more inside functions and under
``TYPE_CHECKING``: such an import loads nothing with the module, so it may point the other way. Every grant must be in
use. To change a layer, change the table here, and say why in docs/architecture.md.
"""

from __future__ import annotations

from collections import defaultdict
from graphlib import TopologicalSorter

import pytest
from house_source import Import, Source, files, read, sources, within

LAYERS = {
    "direct": "",
    "types": "direct",
    "errors": "",
    "secret": "",
    "settings": "errors secret toml",
    "io": "direct errors secret",
    "results": "direct types errors",
    "media": "errors",
    "messages": "types errors media",
    "mending": "types io",
    "provider": "types errors io secret settings",
    "wire": "types errors secret io provider",
    "reply": "types results",
    "accounting": "types errors io results",
    "accounts": "",
    "limits": "errors io accounts",
    "cache": "types io provider",
    "health": "errors accounts",
    "pipeline": "types io reply health",
    "options": "types errors secret io results accounting health pipeline",
    "pipeline.*": "types errors io results reply provider accounting cache limits health options pipeline",
    "functions": "types errors",
    "tasks": "direct types errors results reply provider options pipeline.*",
    "trust": "errors",
    "toml": "errors secret",
    "config": "errors secret io accounting limits health options pipeline settings toml trust",
    "registry": "errors secret provider config settings",
    "fallback": "types errors io results pipeline pipeline.* tasks",
    "core": "types errors io results provider accounting cache limits health options pipeline pipeline.* tasks"
    " fallback",
    "explain": "types io provider accounting pipeline pipeline.* tasks fallback",
    "streams": "types errors io results fallback",
    "telemetry": "types errors",
    "client": "types errors secret io results provider accounting options pipeline tasks core streams",
}
AT_CALL = {
    "types": "errors",
    "provider": "mending",
    "wire": "mending",
    "results": "accounting mending",
    "options": "messages functions",
    "tasks": "functions",
    "pipeline.*": "accounting",
    "core": "config registry accounting",
    "client": "options explain",
}
FOR_TYPES = {
    "client": "explain",
    "errors": "types",
    "tasks": "functions",
    "accounting": "results",
    "mending": "provider",
    "pipeline": "accounting cache limits options provider results pipeline.*",
    "core": "config registry",
}
FREE = ("llmsdk.testing", "llmsdk.cli", "llmsdk.__main__")
"""Right of the client: they may import anything, and nobody imports them."""
FACE = "llmsdk"
"""The package itself: lazy re-exports, which nobody inside goes through."""
FOR_PROVIDERS = (
    "llmsdk.types", "llmsdk.errors", "llmsdk.provider", "llmsdk.io", "llmsdk.wire", "llmsdk.accounting.tokens",
)  # fmt: skip

BASE = "llmsdk_providers.openai"
"""The one dialect that others are made of: hosts that changed a little of it."""

HTTP = ("httpcore2", "httpx2", "httpx", "httpcore", "h11", "h2", "requests", "urllib3", "aiohttp", "http.client")
HEAVY = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "tqdm", "numpy")
WAITING = (
    "anyio", "asyncio", "trio", "sniffio", "socket", "select", "selectors", "ssl", "subprocess", "multiprocessing",
    "queue", "sched", "urllib.request", "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.wait",
    "threading.Thread", "threading.Timer", "threading.Event", "threading.Condition", "threading.Barrier",
    "time.sleep", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
)  # fmt: skip
"""A lock that is never held across an await (``threading.Lock``) and the wall clock (``time.time``) are free."""
MAY_WAIT = ("llmsdk.io", "llmsdk_providers.local", *FREE)


def layer(module: str) -> str:
    """``pipeline`` for ``llmsdk.pipeline``, ``pipeline.*`` for what is in it, ``tasks`` for all of ``llmsdk.tasks``."""
    parts = module.split(".")[1:]
    inner = f"{parts[0]}.*" if len(parts) > 1 else ""
    return inner if inner in LAYERS else parts[0]


def granted(name: str, item: Import) -> set[str]:
    """The layers that an import of layer ``name`` may point to."""
    more = {"import": {}, "call": AT_CALL, "types": FOR_TYPES}[item.when].get(name, "")
    return {name, *LAYERS[name].split(), *more.split()}


def inside(item: Import) -> bool:
    return within(item.module, ("llmsdk",))


def trespasses(source: Source) -> list[str]:
    """The imports of a module of the client that no layer grants."""
    name = layer(source.module)
    return [
        f"{source.module}:{item.line} imports {item.full} ({item.when})"
        for item in source.imports
        if item.module == FACE or (inside(item) and layer(item.module) not in granted(name, item))
        or within(item.module, ("llmsdk_providers",))
    ]  # fmt: skip


def offences(source: Source, banned: tuple[str, ...]) -> list[str]:
    return [f"{source.module} uses {name}" for name in sorted(source.uses) if within(name, banned)]


def client_sources() -> list[Source]:
    return [s for s in sources().values() if inside_client(s.module) and s.module != FACE]


def inside_client(module: str) -> bool:
    return within(module, ("llmsdk",)) and not within(module, FREE)


def provider_sources() -> list[Source]:
    return [source for source in sources().values() if within(source.module, ("llmsdk_providers",))]


def test_each_module_imports_only_what_stands_to_its_left() -> None:
    assert [fault for source in client_sources() for fault in trespasses(source)] == []


def test_every_grant_is_in_use() -> None:
    used: dict[str, dict[str, set[str]]] = {when: defaultdict(set) for when in ("import", "call", "types")}
    for source in client_sources():
        for item in filter(inside, source.imports):
            used[item.when][layer(source.module)].add(layer(item.module))
    tables = {"import": LAYERS, "call": AT_CALL, "types": FOR_TYPES}
    idle = {
        (when, name, target)
        for when, table in tables.items()
        for name, targets in table.items()
        for target in targets.split()
        if target not in used[when][name]
    }
    assert idle == set()


def test_the_layers_form_no_circle() -> None:
    order = [*TopologicalSorter({name: targets.split() for name, targets in LAYERS.items()}).static_order()]
    assert set(order) == set(LAYERS)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        source.module: {item.module for item in source.imports if item.when == "import" and item.module in files()}
        - {source.module}
        for source in sources().values()
    }
    assert len([*TopologicalSorter(graph).static_order()]) == len(graph)


def test_providers_know_the_contract_and_nothing_else_of_the_client() -> None:
    strangers = [
        f"{source.module}:{item.line} imports {item.full}"
        for source in provider_sources()
        for item in source.imports
        if within(item.module, ("llmsdk", "llmsdk_providers"))
        and not within(item.module, (*FOR_PROVIDERS, BASE, ".".join(source.module.split(".")[:2])))
    ]
    assert strangers == []


def test_each_http_library_is_imported_in_one_file() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for source in sources().values():
        for library in HTTP:
            if any(within(item.full, (library,)) for item in source.imports):
                homes[library].add(source.module)
    assert {library for library, modules in homes.items() if len(modules) > 1} == set()
    assert all(within(module, ("llmsdk.io",)) for modules in homes.values() for module in modules)
    assert homes["httpcore2"], "the reader sees no HTTP library at all"


def test_only_the_local_runtime_loads_heavy_libraries() -> None:
    may = ("llmsdk_providers.local", *FREE)
    outside = [source for source in sources().values() if not within(source.module, may)]
    assert [fault for source in outside for fault in offences(source, HEAVY)] == []


def test_heavy_libraries_load_inside_functions_only() -> None:
    at_import = [
        f"{source.module}:{item.line} {item.full}"
        for source in provider_sources()
        for item in source.imports
        if item.when == "import" and within(item.full, HEAVY)
    ]
    assert at_import == []


def test_only_io_and_the_engine_wait() -> None:
    calm = [source for source in sources().values() if not within(source.module, MAY_WAIT)]
    assert [fault for source in calm for fault in offences(source, WAITING)] == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("types", "from llmsdk.io import IO"),
        ("results", "from llmsdk.accounting.prices import price"),
        ("reply", "from llmsdk.options import text"),
        ("pipeline", "from llmsdk.options import CallSettings"),
        ("tasks.chat", "from llmsdk import registry"),
        ("tasks.chat", "def f():\n    import llmsdk.core"),
        ("config", "if TYPE_CHECKING:\n    from llmsdk.client import Client"),
        ("core", "from llmsdk_providers.openai import OpenAI"),
        ("core", "from llmsdk import Client"),
        ("client", "from llmsdk.cli import main"),
    ],
)
def test_a_trespass_is_seen(module: str, line: str) -> None:
    assert trespasses(read(f"llmsdk.{module}", line, frozenset(files()) | {"llmsdk.cli"}))


@pytest.mark.parametrize(
    ("banned", "line"),
    [
        (WAITING, "import time as t\nt.sleep(1)"),
        (WAITING, "from time import sleep"),
        (WAITING, "def f():\n    import asyncio"),
        (WAITING, "import threading\nthreading.Thread(target=print)"),
        (WAITING, "from concurrent.futures import ThreadPoolExecutor"),
        (WAITING, "import urllib.request"),
        (HEAVY, "from torch.nn import functional"),
        (HTTP, "import httpx2"),
    ],
)
def test_an_offence_is_seen(banned: tuple[str, ...], line: str) -> None:
    assert offences(read("llmsdk.core", line), banned)


@pytest.mark.parametrize("line", ["import threading\nthreading.Lock()", "import time\ntime.time()"])
def test_a_lock_and_the_wall_clock_are_no_offence(line: str) -> None:
    assert not offences(read("llmsdk.core", line), WAITING)
