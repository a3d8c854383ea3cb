"""The tables of docs/providers/index.md say what the code says. ``LLMSDK_TEST_UPDATE_DOCS=1`` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import blocks
from servers.backends import BACKENDS

from llmsdk.config import load
from llmsdk.errors import ConfigError, Unsupported
from llmsdk.registry import BUILT_IN, Registry
from llmsdk.settings import keys
from llmsdk.types import Media, Message, Request, Text
from llmsdk_providers.openai import reasoning
from llmsdk_providers.openai.hosts import HOSTS
from llmsdk_providers.openai.row import Row

PAGE = Path(__file__).parents[2] / "docs/providers/index.md"
SWITCHES = {
    None: "no", reasoning.effort: "effort, off", reasoning.effort_or_toggle: "effort, on/off",
    reasoning.thinking: "effort, on/off", reasoning.budget: "on/off, budget",
    reasoning.routed: "effort, on/off, budget", reasoning.template: "on/off",
    reasoning.template_or_effort: "effort, on/off",
}  # fmt: skip
"""What ``reasoning=`` may be, in the words of the page."""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "none"


def hosts() -> str:
    heads = ("Name", "Key", "`base_url`", "Schema", "Tools", "Logprobs", "Raw prompts", "Embeddings", "`reasoning=`")
    return table(heads, (_host(name, row) for name, row in sorted(HOSTS.items())))


def _host(name: str, row: Row) -> Iterator[str]:
    yield from (f"`{name}`", code(row.key_variables), f"`{row.base_url}`")
    yield f"{row.schema}; strict on some models" if row.strict_models else row.schema
    yield from ("yes" if row.tools else "no", str(row.logprobs or "no"), "yes" if row.complete else "no")
    yield from ("yes" if row.embeddings else "no", SWITCHES[row.reasoning])


def dialects() -> str:
    heads = ("Name", "Key", "`base_url`")
    return table(heads, (_dialect(name) for name in sorted(BUILT_IN) if name not in HOSTS))


def _dialect(name: str) -> Iterator[str]:
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    yield f"`{name}`"
    yield _key(kind)
    yield _address(name, kind)


def _key(kind: Any) -> str:
    """The variables of the key; a provider without one may take tokens."""
    if not kind.key_variables and "token_provider" in keys(kind.Settings):
        return "no key: `token_provider`, a function that gives tokens, or `token`"
    return code(kind.key_variables)


def _address(name: str, kind: Any) -> str:
    """Where it is by itself; some need to be told, or are in this process."""
    if "base_url" not in keys(kind.Settings):
        return "none"
    try:
        return f"`{kind(name, kind.Settings(api_key='k')).host.url}`"
    except ConfigError:
        return "to be given"


MEDIA = {
    "Images": "image/png",
    "PDF": "application/pdf",
    "Plain text": "text/plain",
    "Sound": "audio/wav",
    "Video": "video/mp4",
}


def media() -> str:
    """What a message may hold besides words, by trying."""
    return table(("", *MEDIA), (_media(name) for name in BACKENDS))


def _media(name: str) -> Iterator[str]:
    yield f"`{name}`"
    kind: Any = EntryPoint(name, BUILT_IN[name], "llmsdk.providers").load()
    backend = BACKENDS[name]()
    provider = kind(name, kind.Settings(**backend.settings("http://127.0.0.1:1", "sk-0123456789abcdef")))
    for form in MEDIA.values():
        given = {"data": Media(form, b"x"), "URL": Media(form, url="https://files.example/x")}
        yield ", ".join(how for how, part in given.items() if _takes(provider, backend.model, part)) or "no"


def _takes(provider: Any, model: str, part: Media) -> bool:
    try:
        provider.encode(Request(model, (Message("user", (Text("Look."), part)),)))
    except Unsupported:
        return False
    return True


@pytest.mark.parametrize("make", [hosts, dialects, media], ids=lambda make: make.__name__)
def test_the_table_is_the_codes(make: Any) -> None:
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {make.__name__} -->\n", f"\n<!-- /{make.__name__} -->"
    written = page[page.index(begin) + len(begin) : page.index(end)]
    if os.environ.get("LLMSDK_TEST_UPDATE_DOCS"):
        PAGE.write_text(page.replace(begin + written + end, begin + make() + end), encoding="utf-8")
        return
    assert written == make(), "LLMSDK_TEST_UPDATE_DOCS=1 writes it anew; read it before it is committed"


def test_its_configuration_is_one(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(PAGE) if block.language == "toml")
    path = tmp_path / "llmsdk.toml"
    path.write_text(block.code, encoding="utf-8")
    registry = Registry(load(path))
    assert [registry.resolve(f"{name}:m")[0].provider_name for name in ("vllm", "qwen", "fast")] == [
        "vllm", "qwen", "fast",
    ]  # fmt: skip
    assert repr(registry.provider("vllm")) == "vllm('vllm', 'http://127.0.0.1:9000/v1')"


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#\S*)?\)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (PAGE.parent / link).exists()] == []
