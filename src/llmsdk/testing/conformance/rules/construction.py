"""The class and its settings: what it says of itself, and that making one opens nothing and hides its secrets."""

from __future__ import annotations

import inspect
import pickle
import sys
import threading
from typing import Any

from llmsdk.errors import ConfigError, LLMError, UnknownModel
from llmsdk.provider import CONTRACT, Capabilities, Provider
from llmsdk.settings import is_table, keys, validated
from llmsdk.testing.conformance.case import Broken, Skip, case, expect, require
from llmsdk.testing.conformance.stage import KEY, Stage
from llmsdk.types import Request

ABOUT = "the-class"
SETTINGS = "settings"
UNREACHABLE = "https://conformance.invalid"


@case("class.contract", ABOUT)
def contract(stage: Stage) -> None:
    """It says which contract it was written for, its key variables, and whether it needs a loop of its own."""
    kind = stage.subject.kind
    expect("contract =", getattr(kind, "contract", None), CONTRACT)
    names = getattr(kind, "key_variables", None)
    require(
        isinstance(names, tuple) and all(isinstance(name, str) and name for name in names),
        "key_variables, a tuple of names of environment variables", names,
    )  # fmt: skip
    require(isinstance(getattr(kind, "loop_bound", None), bool), "loop_bound, True or False", "something else")


@case("class.methods", ABOUT)
def methods(stage: Stage) -> None:
    """capabilities, generate and aclose take what the contract says."""
    for name in ("capabilities", "generate", "aclose"):
        method = getattr(stage.subject.kind, name, None)
        require(callable(method), f"a method {name}", "none")
        expect(f"parameters of {name}:", _parameters(method), _parameters(getattr(Provider, name)))


def _parameters(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)


@case("class.name", ABOUT)
def name(stage: Stage) -> None:
    """Each instance has the name that it is given."""
    made = [_made(stage, name) for name in ("one", "another")]
    expect("names", [provider.name for provider in made], ["one", "another"])


@case("class.capabilities", ABOUT)
def capabilities(stage: Stage) -> None:
    """capabilities answers the same each time, with options that a request really has, or says UnknownModel."""
    provider = _made(stage)
    for model in (stage.model, "a-model-that-nobody-knows"):
        try:
            can = provider.capabilities(model)
        except UnknownModel:
            require(model != stage.model, f"Capabilities for {model!r}", "UnknownModel")
            continue
        require(isinstance(can, Capabilities), f"Capabilities for {model!r}", can)
        expect("capabilities, asked again,", provider.capabilities(model), can)
        odd = can.options - set(Request.__dataclass_fields__)
        require(not odd, "options that are fields of Request", sorted(odd))


@case("settings.model", SETTINGS)
def settings_model(stage: Stage) -> None:
    """Settings is a class of Settings, or a pydantic model, that refuses unknown keys."""
    kind = stage.subject.kind.Settings
    require(is_table(kind), "Settings, a class of llmsdk.provider.Settings or a pydantic model", kind)
    try:
        validated(kind, {**_given(stage), "no_such_setting": 1}, (), {})
    except ConfigError:
        return
    raise Broken("an error for an unknown setting", "none")


@case("settings.secrets", SETTINGS)
def secrets(stage: Stage) -> None:
    """The key shows in no repr, of the settings or the provider or what the provider holds, and in no pickle."""
    table = stage.subject.kind.Settings(**_given(stage))
    provider = _made(stage)
    held = {name: getattr(provider, name) for name in _attributes(provider)}
    shown = {"settings": repr(table) + str(table), "provider": repr(provider) + str(provider), "attributes": repr(held)}
    for place, text in shown.items():
        require(KEY not in text, "no key in any repr", f"the key in the repr of the {place}")
    try:
        stored = pickle.dumps(provider)
    except Exception:  # noqa: BLE001 - a provider need not be picklable, and better is not
        return
    require(KEY.encode() not in stored, "no key in a pickle", "the key in the pickled provider")


@case("settings.missing_key", SETTINGS)
def missing_key(stage: Stage) -> None:
    """Without a key it is made, or refused with a ConfigError that names the variable."""
    if "api_key" not in keys(stage.subject.kind.Settings):
        raise Skip("its settings have no api_key")
    changed = {} if stage.subject.backend is None else {"base_url": UNREACHABLE}
    try:
        stage.subject.make(UNREACHABLE, api_key=None, **changed)
    except ConfigError as error:
        require(error.hint, "an error with a hint", str(error))
        names = (*stage.subject.kind.key_variables, "API_KEY", "token")
        require(any(word in str(error) for word in names), f"an error that names one of {names}", str(error))
        return
    raise Skip("it needs no key")


@case("construction.opens_nothing", ABOUT)
def opens_nothing(stage: Stage) -> None:
    """Making a provider and asking what it can do opens no socket, starts no process and no thread."""
    threads = threading.active_count()
    with _Watch() as watch:
        _made(stage).capabilities(stage.model)
    require(not watch.seen, "nothing opened", ", ".join(watch.seen))
    expect("threads", threading.active_count(), threads)


def _given(stage: Stage) -> dict[str, Any]:
    own = stage.subject.backend.settings(UNREACHABLE, KEY) if stage.subject.backend else {}
    return {**own, **stage.subject.given}


def _made(stage: Stage, name: str = "tested") -> Any:
    try:
        return stage.subject.make(UNREACHABLE, name)
    except LLMError as error:
        raise Broken(f"a provider for {UNREACHABLE}, made without I/O", f"{type(error).__name__}: {error}") from error


def _attributes(provider: Any) -> list[str]:
    slots = [name for kind in type(provider).__mro__ for name in getattr(kind, "__slots__", ())]
    return [name for name in (*getattr(provider, "__dict__", ()), *slots) if hasattr(provider, name)]


class _Watch:
    """Notes what this thread opens. Python has no way to take an audit hook out again: one is put in, once."""

    _current = threading.local()
    _hooked = False

    def __enter__(self) -> _Watch:
        self.seen: list[str] = []
        if not _Watch._hooked:
            _Watch._hooked = True
            sys.addaudithook(_note)
        _Watch._current.watch = self
        return self

    def __exit__(self, *error: object) -> None:
        _Watch._current.watch = None

    @classmethod
    def current(cls) -> _Watch | None:
        return getattr(cls._current, "watch", None)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(("socket.", "subprocess.")) and (watch := _Watch.current()) is not None:
        watch.seen.append(event)
