"""What people write: configuration as text and as tables, and the arguments of the five verbs."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import changes
from fuzzing.choices import Choices
from fuzzing.hosts import HERE, typed

from llmsdk import Budget, Client, Message, Text, Tool
from llmsdk.config import Config, load
from llmsdk.config.tables import FLAT
from llmsdk.errors import LLMError
from llmsdk.options import CHAT, ChatOptions
from llmsdk.registry import BUILT_IN, Registry
from llmsdk.types import Media, ToolCall

KINDS = sorted(set(BUILT_IN) - {"local"})

# --- configuration ----------------------------------------------------------------------------------------------

TOML = b"""
default = "smart"  # a comment
[models]
smart = { model = ["openai:gpt-4.1-mini", "lab:qwen3"], temperature = 0.5, stop = ["x"], logit_bias = { 7 = -1.5 } }
hosted = "anthropic:claude-sonnet-4-6"
[providers.lab]
kind = "openai"
base_url = "http://127.0.0.1:8000/v1"
headers = { "x-a" = "b" }
max_tokens_field = "max_tokens"
idempotent = true
[providers.openai]
api_key = "key"
[limits.lab]
rpm = 60
[retry]
attempts = 3
base = 0.5
[timeouts]
connect = 5
idle = inf
[budget]
usd = 1.50
per = "day"
tags.night = { tokens = 1_000 }
[cache]
on = true
ttl = 60
path = "~/x.db"
[circuit]
failures = 0
[ledger]
path = "usage.db"
[[odd]]
when = 1979-05-27T07:32:00Z
"""
WORDS = (
    b"[models]", b"[providers.x]", b"[limits.openai]", b"[[retry]]", b'kind = "openai"', b'api_key = { env = "HOME" }',
    b'base_url = "http://[::1"', b'base_url = "ftp://x"', b"headers.x = 1", b"attempts = 9223372036854775808",
    b"connect = nan", b"usd = inf", b"ttl = -1", b'a = "b:c"', b'b = "a"', b'a = "b"', b"c = []", b"at = 1979-05-27",
    b'"" = ""', b"'\x01' = 1", b"x.y.z = {}", b"a" + b".a" * 480 + b" = 1", b'"""', b"'''", b"\xff", b"\xef\xbb\xbf",
    b"a = " + b"[" * 300,
    b"attempts = 1" + b"0" * 5000, b"[budget.tags.x]", b'tpm = "many"', b'model = ["lab:m", 1]', b"temperature = 11",
    b'proxy = "http://u:p@h"', b'project = "p"', b'token = "t"', b"tasks = { m = 1 }", b'region = "x/y"',
)  # fmt: skip


def toml(way: int, data: bytes) -> str:
    path = _file()
    path.write_bytes(data)
    return _loaded(way, path)


def tables(way: int, data: bytes) -> str:
    choices = Choices(data)
    return _loaded(
        way,
        {
            _key(choices) if choices.odds(20) else choices.pick(SECTIONS): _table(choices, 0)
            for _ in range(1 + choices.number(4))
        },
    )


SECTIONS = (*FLAT, "providers", "models", "limits", "default", "x")
KEYS = (
    "api_key", "base_url", "kind", "headers", "model", "attempts", "rpm", "usd", "tags", "path", "on", "ttl", "context",
    "token", "region", "project", "tasks", "deployment", "prices", "schema", "options", "temperature", "stop", "env",
    "failures", "proxy", "http2", "http_client", "max_connections", "lab", "smart", "", "x", 1, None, 10**5000, "a.b",
)  # fmt: skip


def _table(choices: Choices, depth: int) -> Any:
    if depth > 3 or choices.odds(4):
        return value(choices, 2)
    keys = KINDS if depth == 1 and choices.odds(2) else KEYS
    return {choices.pick(keys): _table(choices, depth + 1) for _ in range(choices.number(4))}


def _loaded(way: int, config: Path | Mapping[Any, Any]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load(config)
    except LLMError as error:
        return typed(error)
    return _made(found)


def _made(config: Config) -> str:
    """Every provider and every alias of a configuration that was read."""
    registry, told = Registry(config), "read"
    asked: list[Callable[[], Any]] = [registry.check_limits]
    asked += [lambda name=name: registry.provider(name) for name in config.providers if name != "local"]
    asked += [lambda name=name: registry.resolve(name) for name in (*config.models, config.default) if name is not None]
    for ask in asked:
        try:
            ask()
        except LLMError as error:
            told = f"read, then {type(error).__name__}"
    return told


@lru_cache(maxsize=1)
def _file() -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a file of our own in memory, where there is such a thing
    folder = tempfile.mkdtemp(prefix="llmsdk-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, "llmsdk.toml")


def toml_changed(data: bytes, chance: Random) -> bytes:
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, chance.choice(WORDS))
        case 2:
            lines.insert(at, chance.choice(lines))
        case 3:
            name, equals, _ = lines[at].partition(b"=")
            lines[at] = name + equals + b" " + chance.choice(WORDS).partition(b"= ")[2]
        case 4:
            _, _, rest = lines[at].partition(b"=")
            lines[at] = chance.choice(WORDS).partition(b" =")[0] + b" =" + rest
        case 5:
            del lines[at:]
        case 6:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        case _:
            lines[at] = changes.noise(lines[at], chance)
    return b"\n".join(lines)[: changes.LARGEST]


def toml_seeds() -> list[bytes]:
    tomllib.loads(TOML.decode())
    whole = TOML.replace(b"[[odd]]\nwhen = 1979-05-27T07:32:00Z\n", b"")
    parts = [b"[" + part for part in whole.split(b"\n[")[1:]]
    each = [f'[providers.{kind}]\napi_key = "key"\nbase_url = "{HERE}"\n'.encode() for kind in KINDS]
    return [b"\0" + body for body in (TOML, whole, b"", *parts, *each)]


# --- the five verbs ---------------------------------------------------------------------------------------------

STRINGS = (
    "Hi", "", " ", "x" * 300, "a\0b", "\ud800", "\ud83d\ude00", "مرحبا", "de", "zh-Hans", "xx-", "en-US-x-twain",
    "formal",
    "user", "system", "tool", "developer", "raise", "drop", "high", "auto", "none", "http://h/x.png",
    "data:image/png;base64,AA==",
    "data:;base64,?", "file:///etc/passwd", "openai:gpt-4.1-mini", "key\r\nx: y", "\u2028", "9" * 40, "none",
    "required",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 5, 20, 100, 2**31, 2**63, 10**400, -(10**30), 10**5000, 0.0, 0.5, 1.0, 2.5, -0.5, 1e-300, 1e308,
    float("nan"), float("inf"), float("-inf"), True, False, None,
)  # fmt: skip


def _function(city: str, days: int = 1) -> str:
    """What the weather will be."""
    return city * days


class Stubborn:
    """Shows itself to nobody."""

    def __repr__(self) -> str:
        raise ValueError("no")

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


THINGS: tuple[Callable[[], Any], ...] = (
    object, list, dict, set, lambda: b"bytes", lambda: bytearray(b"x"), lambda: Decimal("1.5"), lambda: Decimal("NaN"),
    lambda: range(3), lambda: iter(["a"]), lambda: (x for x in "ab"), lambda: _function, lambda: str, lambda: int,
    lambda: list[int], lambda: {"a"}, lambda: frozenset({"b"}), lambda: Path("x"), lambda: 1j, lambda: ...,
    lambda: NotImplemented,
    lambda: ValueError("x"), lambda: Message("user", "Hi"), lambda: Message("robot", 5), lambda: Message("user", (1,)),  # type: ignore[arg-type]
    lambda: Text("x"), lambda: Media("image/png", b"x"), lambda: ToolCall("1", "f", "{"), lambda: Tool("f", {}),
    lambda: Tool("", {"type": "x"}), lambda: Budget(usd=1), lambda: print, lambda: lambda x: x,
    lambda: memoryview(b"x"),
    lambda: "ab".split, lambda: type("Odd", (str,), {})("Hi"), lambda: type("Whole", (int,), {})(3), Stubborn,
)  # fmt: skip


def value(choices: Choices, depth: int = 0) -> Any:
    """Anything that Python has."""
    match choices.number(12 if depth < 4 else 9):
        case 0 | 1 | 2:
            return choices.pick(STRINGS)
        case 3:
            return choices.bytes().decode("utf-8", "surrogateescape")
        case 4 | 5 | 6:
            return choices.pick(NUMBERS)
        case 7 | 8:
            return choices.pick(THINGS)()
        case 9:
            return [value(choices, depth + 1) for _ in range(choices.number(4))]
        case 10:
            return tuple(value(choices, depth + 1) for _ in range(choices.number(3)))
    return {_key(choices): value(choices, depth + 1) for _ in range(choices.number(4))}


NAMES = (
    "role", "content", "type", "text", "image_url", "url", "tool_calls", "tool_call_id", "id", "function", "name",
    "arguments",
    "file", "file_data", "input_audio", "data", "format", "parameters", "headers", "body", "connect", "attempts",
    "ttl", "refusal",
)  # fmt: skip


def _key(choices: Choices) -> Any:
    if choices.odds(8):
        return choices.pick((1, None, 0.5, (1, 2), "", "\ud800", b"x", 10**5000))
    return choices.pick(NAMES)


def _conversation(choices: Choices) -> Any:
    return [_turn(choices) for _ in range(1 + choices.number(3))] if not choices.odds(6) else value(choices)


def _turn(choices: Choices) -> Any:
    if choices.odds(5):
        return value(choices)
    return {"role": choices.pick(STRINGS[13:17]), "content": _content(choices), **_some(choices, 3)}


def _content(choices: Choices) -> Any:
    forms = ("Hi", [{"type": "text", "text": "Hi"}], [{"type": "image_url",
    "image_url": {"url": choices.pick(STRINGS)}}],
             [{"type": "input_audio", "input_audio": {"data": choices.pick(STRINGS), "format": "wav"}}])  # fmt: skip
    return choices.pick(forms) if not choices.odds(4) else value(choices)


def _some(choices: Choices, of: int) -> dict[Any, Any]:
    return {_key(choices): value(choices) for _ in range(choices.number(2))} if choices.odds(of) else {}


OUTPUTS = (None, str, int, list[int], dict[str, float], Message, object, "x", {"type": "object"}, Budget, type)
OPTIONS = sorted(set(ChatOptions.__annotations__) - {"model", "progress"})
USUAL: Mapping[str, tuple[Any, ...]] = {
    "temperature": (0, 0.5, 1), "max_tokens": (1, 100, 10**9), "stop": ("x", ["a", "b"]), "n": (1, 2), "seed": (0, 7),
    "top_p": (0.5,), "logprobs": (True, 0, 5), "tools": ([_function], [Tool("f", {})]), "steps": (1, 3),
        "deadline": (1, 0.5),
    "timeout": (1, {"connect": 2}), "retry": (1, {"attempts": 2}), "budget": (1, Budget(tokens=10**9)),
        "cache": (True, {}),
    "system": ("Be brief.",), "tool_choice": ("auto", "f"), "reasoning": ("low", True, 100),
        "extra": ({"body": {"a": 1}},),
    "logit_bias": ({5: 1},), "tags": ("a", ["b"]), "idempotency_key": ("k",), "on_unsupported": ("drop", "warn"),
    "concurrency": (1,), "errors": ("return",), "restart": (True,), "retry_unknown": (True,),
        "parallel_tool_calls": (True,),
}  # fmt: skip


def verbs(way: int, data: bytes) -> str:
    """What a verb makes of its arguments, up to the bytes that would go out."""
    choices, client = Choices(data), _clients()[way % len(_clients())]
    verb = choices.pick(("chat", "complete", "translate", "answer", "classify"))
    first, given = _arguments(verb, choices)
    for _ in range(choices.number(4)):
        name = choices.pick(OPTIONS)
        given[name] = choices.pick(USUAL[name]) if name in USUAL and not choices.odds(3) else value(choices)
    if verb != "chat":
        given = {name: item for name, item in given.items() if name not in _CHAT}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client.explain(verb, first, **given)
    except LLMError as error:
        return typed(error)
    return "sent"


_CHAT = CHAT | {"output"}


def _arguments(verb: str, choices: Choices) -> tuple[Any, dict[str, Any]]:
    usual = not choices.odds(3)
    text = "Tom lives in Berlin." if usual else value(choices)
    match verb:
        case "chat":
            given = {"output": choices.pick(OUTPUTS)} if choices.odds(3) else {}
            return (_conversation(choices) if not usual else text), given
        case "translate":
            to = choices.pick(STRINGS[8:12]) if not choices.odds(3) else value(choices)
            return text, {"to": to, **_named(choices, "source", "glossary", "formality")}
        case "answer":
            return text, _named(choices, "context")
        case "classify":
            labels = ["good", "bad"] if not choices.odds(2) else value(choices)
            return text, {"labels": labels, **_named(choices, "multi", "threshold")}
    return text, _named(choices, "suffix")


def _named(choices: Choices, *names: str) -> dict[str, Any]:
    return {name: value(choices) for name in names if choices.odds(3)}


@lru_cache(maxsize=1)
def _clients() -> list[Client]:
    """Clients of several dialects, with no file and no variable of this machine."""
    for name in [name for name in os.environ if name.startswith("LLMSDK_")]:
        del os.environ[name]
    models = ("openai:gpt-4.1-mini", "anthropic:claude-sonnet-4-6", "gemini:gemini-2.5-flash", "cohere:command-a",
              "bedrock:amazon.nova-lite-v1:0", "ollama:qwen3", "mistral:mistral-small", "openai-responses:gpt-5-mini",
              "huggingface:Qwen/Qwen3-8B", "vllm:any")  # fmt: skip
    return [Client(model, config={}, api_key="key-of-nobody", base_url=HERE) for model in models]
