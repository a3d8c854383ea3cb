"""From a name to a provider: built in, installed (entry points) or a row of the configuration.

"openai:gpt-x"   ->  Target("openai", "gpt-x")        everything after the first colon is the model
"smart"          ->  the targets of the alias, in order
Target           ->  provider("openai"), constructed once and shared by all threads
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from operator import attrgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from llmsdk.config import Config, ModelAlias
from llmsdk.errors import ConfigError, InputError, MissingExtra, MissingKey, UnknownModel, UnknownProvider
from llmsdk.provider import CONTRACT, Provider
from llmsdk.secret import Secret, kept
from llmsdk.settings import did_you_mean, is_table, keys, validated

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_HOSTS = (
    "cerebras", "deepseek", "fireworks", "groq", "litellm", "llamacpp", "lmstudio", "moonshot",
    "openrouter", "perplexity", "qwen", "sglang", "tgi", "together", "transformers", "vllm", "xai", "zhipu",
)  # fmt: skip
"""Rows of the chat-completions dialect."""
BUILT_IN: Mapping[str, str] = {
    "mistral": "llmsdk_providers.mistral:Mistral",
    "anthropic": "llmsdk_providers.anthropic:Anthropic",
    **{name: f"llmsdk_providers.openai.hosts:{name}" for name in _HOSTS},
    "ollama": "llmsdk_providers.ollama:Ollama",
    "bedrock": "llmsdk_providers.bedrock:Bedrock",
    "cohere": "llmsdk_providers.cohere:Cohere",
    "gemini": "llmsdk_providers.gemini:Gemini",
    "huggingface": "llmsdk_providers.huggingface:HuggingFace",
    "azure": "llmsdk_providers.azure:Azure",
    "local": "llmsdk_providers.local:Local",
    "openai": "llmsdk_providers.openai:OpenAI",
    "openai-responses": "llmsdk_providers.openai_responses:Responses",
    "vertex": "llmsdk_providers.gemini:Vertex",
}
GROUP = "llmsdk.providers"
FAMILIES = {"claude": "anthropic", "gemini": "gemini", "mistral": "mistral", "command": "cohere", "grok": "xai"}
"""How the models of some providers are called, for who leaves the provider out."""
POCKET = "pocket"
"""The model that everybody has, and often asks for without its provider."""
HARMLESS = frozenset({"kind", "api_key", "http2", "max_body", "max_connections", "max_event"})
"""Keys that cannot send a provider's secret to another host."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider, with the alias's default options."""

    provider_name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spread: tuple[tuple[str, str], ...] = ()
    """Providers and models that share the questions, of which the first stands above; empty where it is alone."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A kind of provider that can be used: its name, where its code is, and who brought it."""

    name: str
    target: str
    origin: str


MODELS = 1000
"""Names of models whose targets are remembered."""


class Registry:
    """The providers of one configuration. Every method may be called from any thread."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = Lock()
        self._providers: dict[str, tuple[Provider, ...]] = {}
        self._lent: set[str] = set()
        self._resolved: dict[str, tuple[Target, ...]] = {}
        self._scan: tuple[EntryPoint, ...] | None = None

    # --- models -------------------------------------------------------------------------------------------------

    def resolve(self, model: str) -> tuple[Target, ...]:
        """The targets of ``provider:model`` or of an alias, in the order in which to try them.

        Raises:
            UnknownModel, UnknownProvider: with what was probably meant.
            ConfigError: a provider without a model.
        """
        if not isinstance(model, str):
            hint = 'Pass "PROVIDER:MODEL", such as "local:pocket" or "local:/path/to/folder", or an alias.'
            raise InputError(f"model must be a str, not {type(model).__name__}", argument="model", hint=hint)
        found = self._resolved.get(model)
        if found is None:
            if model != model.encode("utf-8", "replace").decode():
                raise InputError(f"{model!r} has a lone surrogate", argument="model", hint="It was decoded wrongly.")
            found = tuple(self._targets(model, {}))
            if len(self._resolved) < MODELS:
                self._resolved[model] = found
        return found

    def _targets(self, model: str, options: Mapping[str, Any]) -> Iterator[Target]:
        alias = self.config.models.get(model)
        if alias is not None and alias.spread:
            yield self._spread(alias, {**alias.options, **options})
            return
        if alias is not None:
            for target in alias.targets:
                yield from self._targets(target, {**alias.options, **options})
            return
        provider, colon, name = model.partition(":")
        if not colon and not self._knows(provider):
            raise self._unknown_model(model)
        if not self._knows(provider):
            raise self._unknown_provider(provider)
        if not name.strip():
            hint = f'Write "{provider}:MODEL"; client.models("{provider}") lists what it offers.'
            raise ConfigError(f"{model!r} names a provider but no model", hint=hint)
        yield Target(provider, name, options)

    def _spread(self, alias: ModelAlias, options: Mapping[str, Any]) -> Target:
        members = [next(self._targets(member, {})) for member in alias.targets]
        named = tuple((member.provider_name, member.model) for member in members)
        return replace(members[0], options=options, spread=named if len(named) > 1 else ())

    def _unknown_model(self, model: str) -> UnknownModel:
        names = (*self.config.models, *self._names(), POCKET)
        hint = f'Write "PROVIDER:MODEL", such as {self._such(model)}; aliases: {_listed(self.config.models)}.'
        near = did_you_mean(model, names).replace(f"{POCKET!r}", f"'local:{POCKET}'")
        return UnknownModel(f"{model!r} is neither an alias nor PROVIDER:MODEL", hint=near or hint)

    def _such(self, model: str) -> str:
        """What was probably meant by a name without a colon."""
        provider, slash, name = model.partition("/")
        if name and self._knows(provider):  # as other clients write it
            return f'"{provider}:{name}"'
        if slash:
            return f'"local:{model}"'
        family = next((home for family, home in FAMILIES.items() if model.startswith(family)), "openai")
        return f'"{family}:{model}" or "local:{POCKET}"' if model else f'"local:{POCKET}"'

    def _unknown_provider(self, name: str, place: str = "") -> UnknownProvider:
        if name in self.config.providers and not place:
            hint = f'Write kind = "openai" into [providers.{name}] if it speaks OpenAI\'s API.'
            return UnknownProvider(f"[providers.{name}] has no kind, and no provider has that name", hint=hint)
        names = self._names()
        hint = f"Known: {_listed(names)}. A host that speaks OpenAI's API needs no code: "
        hint += f'[providers.{name or "NAME"}] with kind = "openai" and base_url in llmsdk.toml.'
        return UnknownProvider(f"{place}no provider {name!r}", hint=f"{did_you_mean(name, names)} {hint}".lstrip())

    # --- providers ----------------------------------------------------------------------------------------------

    def add(self, provider: Provider) -> None:
        """Use a provider object under its own name. Whoever made it closes it.

        Raises:
            ConfigError: it was written for another version of the contract, or its name is taken.
        """
        _check_contract(provider, repr(provider))
        with self._lock:
            if self._providers.setdefault(provider.name, (provider,))[0] is not provider:
                raise ConfigError(f"there is a provider {provider.name!r} already", hint="Give it another name.")
            self._lent.add(provider.name)

    def provider(self, name: str) -> Provider:
        """The provider of that name, as ``providers`` has it; with several keys the one with the first."""
        return self.providers(name)[0]

    def providers(self, name: str) -> tuple[Provider, ...]:
        """The provider of that name, once for each of its keys, made at the first call.

        Raises:
            UnknownProvider, MissingExtra, MissingKey, ConfigError: it cannot be made; nothing was sent anywhere.
        """
        found = self._providers.get(name)
        if found is not None:
            return found
        with self._lock:
            if name not in self._providers:
                self._providers[name] = self._make(name)
            return self._providers[name]

    async def aclose(self, end: Callable[[Provider], Awaitable[None]] | None = None) -> None:
        """Close every provider that was made here, and forget it. An error of one does not spare the others.

        ``end`` is how to close one; by default its own ``aclose`` is awaited.
        """
        with self._lock:
            made = (items for name, items in self._providers.items() if name not in self._lent)
            providers = [item for items in made for item in items]
            self._providers.clear()
        errors: list[Exception] = []
        for provider in providers:
            try:
                await (end(provider) if end else provider.aclose())
            except Exception as error:  # noqa: BLE001 - any error of one must not leave the others open
                errors.append(error)
        if errors:
            raise errors[0]

    def _make(self, name: str) -> tuple[Provider, ...]:
        row = self.config.providers.get(name, {})
        kind = row.get("kind", name)
        cls = self._load(name, kind)
        table = self._secrets(name, kind, cls, {key: value for key, value in row.items() if key != "kind"})
        place = ("providers", name)
        tables = list(self._for_each_key(name, table)) if "api_key" in keys(cls.Settings) else [table]
        settings = [validated(cls.Settings, each, place, self.config.sources) for each in tables]
        return tuple(cast("Provider", cls(name, each)) for each in settings)

    def _for_each_key(self, name: str, table: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The settings, once for each of several keys. No text shows one."""
        given = table.get("api_key")
        if not isinstance(given, list | tuple):
            yield table
            return
        if not given:
            raise self._bad_keys(name, "an empty list of keys", "Write at least one, or leave api_key out.")
        for number, key in enumerate(given, start=1):
            if not key:
                raise self._bad_keys(name, f"key {number} of {len(given)} is empty", "Leave it out, or set it.")
            if (first := given.index(key) + 1) != number:
                raise self._bad_keys(name, f"keys {first} and {number} are the same", "Each key once.")
            yield {**table, "api_key": key}

    def _bad_keys(self, name: str, what: str, hint: str) -> ConfigError:
        key = f"providers.{name}.api_key"
        return ConfigError(f"{self.config.sources.get(key, '')}: {key}: {what}", hint=hint, key=key)

    def _load(self, name: str, kind: str) -> Any:
        if ":" in kind and f"providers.{name}.kind" in self.config.untrusted:
            raise self._distrust(name, f"names code to import as kind = {kind!r}")
        target = kind if ":" in kind else self._find(kind)
        if target is None:
            raise self._unknown_provider(kind, f"{self._source(f'providers.{name}.kind')}: " if kind != name else "")
        try:
            cls = _imported(target)
        except ModuleNotFoundError as error:
            if kind in BUILT_IN and not (error.name or "").startswith("llmsdk"):
                raise MissingExtra(kind, needed_for=f"the provider {kind!r}") from error
            raise _broken(name, target, f"no module named {error.name!r}") from error
        except Exception as error:  # somebody else's module may raise anything while it is imported
            raise _broken(name, target, f"{type(error).__name__}: {error}") from error
        _check_contract(cls, target)
        if not is_table(getattr(cls, "Settings", None)):
            raise ConfigError(f"{target} has no Settings", hint="Derive them from llmsdk.provider.Settings.")
        return cls

    def _find(self, kind: str) -> str | None:
        if kind in BUILT_IN:
            return BUILT_IN[kind]
        return next((point.value for point in self._entry_points() if point.name == kind), None)

    # --- secrets ------------------------------------------------------------------------------------------------

    def key_source(self, name: str) -> str | None:
        """Where the key of a provider comes from, such as ``env OPENAI_API_KEY``; ``None`` if there is none.

        Raises:
            UnknownProvider, MissingExtra: there is no such provider.
        """
        if name in self._lent:
            return None
        row = self.config.providers.get(name, {})
        kind = row.get("kind", name)
        own = self.config.sources.get(f"providers.{name}.api_key")
        given = row["api_key"] if isinstance(row.get("api_key"), list | tuple) else [row.get("api_key")]
        if "api_key" not in row and (vendor := self._vendor(name, kind, row)) is not None:
            return f"env {vendor}"
        found = (f"env {variable}" if (variable := _variable(key)) else own for key in given)
        return ", ".join(dict.fromkeys(source for source in found if source)) or None

    def _vendor(self, name: str, kind: str, row: Mapping[str, Any], cls: Any = None) -> str | None:
        """The vendor's own variable, where it is set and the provider is the vendor's."""
        if name != kind and "base_url" in row:
            return None  # another host that speaks the same language gets no key of the vendor
        cls = cls or self._load(name, kind)
        if "api_key" not in keys(cls.Settings):
            return None
        return next((variable for variable in _key_variables(cls) if os.environ.get(variable)), None)

    def _secrets(self, name: str, kind: str, cls: Any, table: dict[str, Any]) -> dict[str, Any]:
        vendor = None if "api_key" in table else self._vendor(name, kind, table, cls)
        self._check_trust(name, kind, cls, table, vendor)
        place = f"providers.{name}"
        filled = {key: self._filled(value, f"{place}.{key}") for key, value in table.items()}
        if vendor is not None:
            filled["api_key"] = Secret(os.environ[vendor])
        return filled

    def _filled(self, value: Any, place: str) -> Any:
        """``value`` with each ``{ env = "X" }`` in it looked up."""
        if variable := _variable(value):
            found = os.environ.get(variable)
            if found:
                return kept(found, place.rpartition(".")[2])
            source = self.config.sources.get(place, "")
            hint = f"Set {variable}, or change {place} in {source or 'the configuration'}."
            raise MissingKey(f"{place}: the environment variable {variable} is not set", hint=hint, key=place)
        if isinstance(value, Mapping):
            return {key: self._filled(item, place) for key, item in value.items()}
        return [self._filled(item, place) for item in value] if isinstance(value, list | tuple) else value

    def _check_trust(self, name: str, kind: str, cls: Any, table: Mapping[str, Any], vendor: str | None) -> None:
        """Refuse to hand a secret to a provider that an untrusted file could have pointed at a stranger."""
        place = f"providers.{name}."
        foreign = {key for key in (*table, "kind") if place + key in self.config.untrusted}
        away = sorted(foreign - HARMLESS)
        for key, value in table.items():
            for variable in _variables(value):
                own = key == "api_key" and variable in _key_variables(cls)
                if away or (key in foreign and not own):
                    raise self._distrust(name, f"takes {key} from env {variable}")
            ours = key not in foreign and (key == "api_key" or key not in HARMLESS)
            if ours and (away or (kind != name and "kind" in foreign)):
                raise self._distrust(name, f"sets {', '.join(away) or 'kind'} beside {self._source(place + key)}")
        if vendor is not None and away:
            raise self._distrust(name, f"sets {', '.join(away)}, and the key is env {vendor}")
        if away and "api_key" not in table and getattr(cls, "finds_credentials", False):
            raise self._distrust(name, f"sets {', '.join(away)}, and the credentials are this machine's")

    def _source(self, key: str) -> str:
        return f"{key} ({self.config.sources.get(key, 'unknown')})"

    def _distrust(self, name: str, what: str) -> ConfigError:
        path = self.config.path
        reason = "the file was found in the working tree and is not trusted with secrets"
        return ConfigError(
            f"{path}: [providers.{name}] {what}; {reason}",
            hint=f"Read it; if you agree, run: llmsdk trust {path} (or name it in LLMSDK_CONFIG or config=)",
            key=f"providers.{name}",
        )

    def check_limits(self) -> None:
        """See that ``[limits.NAME]`` names providers.

        Raises:
            ConfigError: one that nobody knows, with what was probably meant.
        """
        for name in self.config.limits:
            if not self._knows(name):
                source = next((at for key, at in self.config.sources.items() if key.startswith(f"limits.{name}.")), "")
                near = did_you_mean(name, self._names()) or f"Known: {_listed(self._names())}."
                key = f"limits.{name}"
                raise ConfigError(f"{source}: {key}: no provider has that name", hint=near, key=key)

    # --- what there is ------------------------------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """Every kind of provider that can be named. A built-in one hides an installed one of its name."""
        rows = [Installed(name, target, "built in") for name, target in BUILT_IN.items()]
        return rows + [Installed(p.name, p.value, _origin(p)) for p in self._entry_points() if p.name not in BUILT_IN]

    def _entry_points(self) -> tuple[EntryPoint, ...]:
        if self._scan is None:
            from importlib.metadata import entry_points

            self._scan = tuple(entry_points(group=GROUP))
        return self._scan

    def _knows(self, name: str) -> bool:
        return name in BUILT_IN or name in self.config.providers or name in self._providers or name in self._names()

    def _names(self) -> list[str]:
        names = {*BUILT_IN, *self.config.providers, *self._providers}
        return sorted(names | {point.name for point in self._entry_points()})


def _imported(target: str) -> Any:
    """What ``module:attribute`` names. importlib.metadata could tell too, and is slow to import."""
    module, _, path = target.partition(":")
    return attrgetter(path)(import_module(module))


def _check_contract(provider: Any, what: str) -> None:
    version = getattr(provider, "contract", None)
    if version == CONTRACT:
        return
    if not isinstance(version, int):
        raise ConfigError(f"{what} is no provider of llmsdk", hint="See docs/providers/writing-one.md.")
    upgrade = "llmsdk" if version > CONTRACT else "the distribution that brings it"
    message = f"{what} was written for contract {version} of llmsdk, this is {CONTRACT}"
    raise ConfigError(message, hint=f"Upgrade {upgrade}.")


def _variable(value: Any) -> str | None:
    """The variable that ``{ env = "X" }`` names."""
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get("env"), str):
        return cast("str", value["env"])
    return None


def _variables(value: Any) -> Iterator[str]:
    if variable := _variable(value):
        yield variable
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _variables(item)


def _key_variables(cls: Any) -> tuple[str, ...]:
    return getattr(cls, "key_variables", ())


def _broken(name: str, target: str, reason: str) -> ConfigError:
    return ConfigError(f"provider {name!r}: {target} cannot be imported: {reason}", hint="Reinstall what brings it.")


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


__all__ = ["BUILT_IN", "Installed", "Registry", "Target"]
