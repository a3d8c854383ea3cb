from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk import registry as registry_module
from llmsdk.config import load
from llmsdk.errors import ConfigError, InputError, MissingExtra, MissingKey, UnknownModel, UnknownProvider
from llmsdk.io import IO
from llmsdk.provider import CONTRACT, Capabilities, HTTPSettings, Secret, Settings, setting
from llmsdk.registry import Registry, Target
from llmsdk.settings import keys
from llmsdk.trust import trust
from llmsdk.types import Event, Finish, Request, TextDelta

CANARY = "canary-4711"


class Fake:
    """A vendor with a key of its own."""

    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[Any]] = HTTPSettings
    key_variables: ClassVar[tuple[str, ...]] = ("FAKE_KEY", "FAKE_KEY_OLD")
    loop_bound: ClassVar[bool] = False

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name
        self.settings = settings
        self.closed = 0

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        yield TextDelta("hello")
        yield Finish("stop")

    async def aclose(self) -> None:
        self.closed += 1

    @property
    def key(self) -> str | None:
        secret = self.settings.api_key
        return None if secret is None else secret.reveal()


class Keyless(Fake):
    class Settings(Settings):  # type: ignore[misc]
        voice: str = "calm"


def _prefixed(value: Secret) -> Secret:
    raise ValueError("has the wrong prefix")


class Picky(Fake):
    class Settings(HTTPSettings):  # type: ignore[misc]
        token: Secret | None = setting(None, check=_prefixed)
        schema: str | None = None


class Newer(Fake):
    contract = CONTRACT + 1


class Older(Fake):
    contract = CONTRACT - 1


class NoProvider:
    pass


class NoSettings:
    contract = CONTRACT


class Stubborn(Fake):
    async def aclose(self) -> None:
        await super().aclose()
        raise OSError("will not close")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LLMSDK_", "FAKE_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.chdir(repository)
    return repository


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make classes of this module the built-in providers."""

    def install(**rows: str) -> None:
        table = {name: target if ":" in target else f"{__name__}:{target}" for name, target in rows.items()}
        monkeypatch.setattr(registry_module, "BUILT_IN", table)

    install(fake="Fake", keyless="Keyless")
    return install


def registry(**config: Any) -> Registry:
    return Registry(load(config))


def row(**table: Any) -> Registry:
    return registry(providers={"acme": table})


def refusal(made: Registry, name: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        made.provider(name)
    return caught.value


# --- models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["/abs/path", "./rel", "org/name", "C:\\models\\x", "pocket", "a:b:c", "名前"])
def test_everything_after_the_first_colon_is_the_model(model: str) -> None:
    assert registry().resolve(f"local:{model}") == (Target("local", model),)


def test_an_alias_is_its_targets_in_order_with_its_options() -> None:
    made = registry(
        models={
            "smart": {"model": ["openai:a", "local:b"], "temperature": 0.5, "seed": 1},
            "strict": {"model": ["smart", "openai:c"], "temperature": 0},
        }
    )
    assert made.resolve("smart") == tuple(
        Target(name, model, {"temperature": 0.5, "seed": 1}) for name, model in (("openai", "a"), ("local", "b"))
    )
    assert made.resolve("strict") == (
        Target("openai", "a", {"temperature": 0, "seed": 1}),
        Target("local", "b", {"temperature": 0, "seed": 1}),
        Target("openai", "c", {"temperature": 0}),
    )


def test_an_alias_may_have_the_name_of_a_provider() -> None:
    assert registry(models={"openai": "local:x"}).resolve("openai") == (Target("local", "x"),)


@pytest.mark.parametrize(
    ("model", "kind", "message", "hint"),
    [
        ("openai", ConfigError, "'openai' names a provider but no model", 'client.models("openai") lists'),
        ("openai:", ConfigError, "'openai:' names a provider but no model", 'Write "openai:MODEL"; client.models('),
        ("openai: ", ConfigError, "names a provider but no model", ""),
        ("acme", ConfigError, "'acme' names a provider but no model", 'Write "acme:MODEL"; '),
        ("opnai:x", UnknownProvider, "no provider 'opnai'", "Did you mean 'openai'? Known: acme, "),
        ("zebra:x", UnknownProvider, "no provider 'zebra'", '[providers.zebra] with kind = "openai"'),
        (":x", UnknownProvider, "no provider ''", "[providers.NAME]"),
        ("smrt", UnknownModel, "'smrt' is neither an alias", "Did you mean 'smart'?"),
        ("locl", UnknownModel, "'locl' is neither an alias", "Did you mean 'local'?"),
        ("pocket", UnknownModel, "'pocket' is neither an alias", "Did you mean 'local:pocket'?"),
        ("openai/gpt-4.1", UnknownModel, "is neither an alias", 'such as "openai:gpt-4.1"; '),
        ("claude-x", UnknownModel, "is neither an alias", 'such as "anthropic:claude-x" or "local:pocket"; '),
        ("gpt-x", UnknownModel, "is neither an alias", 'such as "openai:gpt-x" or "local:pocket"; '),
        ("Qwen/Qwen3-0.6B", UnknownModel, "is neither an alias", 'such as "local:Qwen/Qwen3-0.6B"; aliases: smart.'),
        ("", UnknownModel, "'' is neither an alias", 'such as "local:pocket"'),
    ],
)
def test_a_name_that_resolves_to_nothing(model: str, kind: type[ConfigError], message: str, hint: str) -> None:
    made = registry(models={"smart": "openai:a"}, providers={"acme": {"kind": "openai"}})
    with pytest.raises(kind) as caught:
        made.resolve(model)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_model_that_is_no_string() -> None:
    with pytest.raises(InputError, match="model must be a str, not int"):
        registry().resolve(3)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text(), st.sampled_from(["local", "openai"]))
def test_any_model_goes_through_unchanged(model: str, provider: str) -> None:
    made = registry()
    if model.strip():
        assert made.resolve(f"{provider}:{model}") == (Target(provider, model),)
    else:
        with pytest.raises(ConfigError):
            made.resolve(f"{provider}:{model}")


@settings(deadline=None)
@given(st.text())
def test_any_word_resolves_or_is_refused_with_advice(word: str) -> None:
    hints = [target.model for target in _targets_or_error(word)]
    assert all(hints)


def _targets_or_error(word: str) -> tuple[Target, ...]:
    try:
        return registry().resolve(word)
    except ConfigError as error:
        return (Target("error", error.hint),)


# --- providers --------------------------------------------------------------------------------------------------


def test_a_provider_is_made_once_for_all_threads(built_in: Any) -> None:
    made = registry()
    barrier = Barrier(8)

    def get(_: int) -> Any:
        barrier.wait()
        return made.provider("keyless")

    with ThreadPoolExecutor(8) as pool:
        assert len({id(provider) for provider in pool.map(get, range(8))}) == 1


def test_a_row_of_the_configuration_is_a_provider(built_in: Any) -> None:
    provider: Any = row(kind="fake", base_url="https://acme.example/v1", api_key="k").provider("acme")
    assert (provider.name, provider.key, provider.settings.base_url) == ("acme", "k", "https://acme.example/v1")


def test_a_kind_may_name_code() -> None:
    assert isinstance(row(kind=f"{__name__}:Keyless", voice="loud").provider("acme"), Keyless)


def test_built_in_names_need_no_scan(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("entry points were scanned"))
    made = registry()
    assert made.resolve("keyless:x")
    assert made.provider("keyless")


def test_an_installed_provider_is_found_by_one_scan(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[str] = []

    def scan(*, group: str) -> list[EntryPoint]:
        scans.append(group)
        return [EntryPoint("parrot", f"{__name__}:Keyless", group), EntryPoint("fake", "evil:Evil", group)]

    monkeypatch.setattr("importlib.metadata.entry_points", scan)
    made = registry()
    assert made.resolve("parrot:x") == (Target("parrot", "x"),)
    assert isinstance(made.provider("parrot"), Keyless)
    assert type(made.provider("fake")) is Fake  # the built-in one wins
    assert {item.name: item.origin for item in made.installed()} == {
        "fake": "built in",
        "keyless": "built in",
        "parrot": "unknown",
    }
    assert scans == ["llmsdk.providers"]


def test_an_unknown_kind_names_its_place(built_in: Any) -> None:
    error = refusal(row(kind="opeani"), "acme")
    assert isinstance(error, UnknownProvider)
    assert error.message == "providers.acme.kind (config=): no provider 'opeani'"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module_here:X", "no module named 'no_such_module_here'"),
        (f"{__name__}:Missing", "AttributeError"),
        ("broken_on_import:X", "ZeroDivisionError"),
    ],
)
def test_code_that_cannot_be_imported(place: Path, monkeypatch: Any, target: str, reason: str) -> None:
    (place / "broken_on_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(place)
    error = refusal(row(kind=target), "acme")
    assert error.message.startswith(f"provider 'acme': {target} cannot be imported: ")
    assert reason in error.message


def test_a_built_in_provider_without_its_extra(built_in: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "needs_torch.py").write_text("import no_torch_here\n")
    monkeypatch.syspath_prepend(place)
    built_in(local="needs_torch:Local")
    error = refusal(registry(), "local")
    assert isinstance(error, MissingExtra)
    assert error.hint == 'pip install "llmsdk[local]"'


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Newer", f"was written for contract {CONTRACT + 1} of llmsdk, this is {CONTRACT}", "Upgrade llmsdk."),
        ("Older", f"was written for contract {CONTRACT - 1}", "Upgrade the distribution that brings it."),
        ("NoProvider", "is no provider of llmsdk", "docs/providers/writing-one.md"),
        ("NoSettings", "has no Settings", "llmsdk.provider.Settings"),
    ],
)
def test_another_contract_is_refused(name: str, message: str, hint: str) -> None:
    error = refusal(row(kind=f"{__name__}:{name}"), "acme")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        ({"base_ur": "x"}, "config=: providers.acme.base_ur: unknown key", "Did you mean 'base_url'?"),
        ({"http2": "perhaps"}, "config=: providers.acme.http2: must be a valid boolean, unable to interpret input", ""),
        ({"headers": {"X-Key": 7}}, "config=: providers.acme.headers.X-Key: must be a valid string", ""),
        ({"client_cert": 7}, "config=: providers.acme.client_cert: must be a valid string", ""),
        ({"api_key": 4711}, "config=: providers.acme.api_key: must be a valid string", ""),
    ],
)
def test_a_wrong_setting_is_named(built_in: Any, table: dict[str, Any], message: str, hint: str) -> None:
    error = refusal(row(kind="fake", **table), "acme")
    assert error.message == message
    assert hint in error.hint


def test_no_error_about_settings_holds_a_secret() -> None:
    error = refusal(row(kind=f"{__name__}:Picky", token=CANARY, api_key=CANARY), "acme")
    assert error.message == "config=: providers.acme.token: has the wrong prefix"
    seen: BaseException | None = error
    while seen is not None:
        assert CANARY not in f"{seen}{seen!r}"
        seen = seen.__cause__ or seen.__context__


def test_an_object_is_used_under_its_own_name(built_in: Any) -> None:
    made, provider = registry(), Keyless("mine", Keyless.Settings())
    made.add(provider)
    assert made.provider("mine") is provider
    assert made.resolve("mine:x") == (Target("mine", "x"),)
    made.add(provider)
    with pytest.raises(ConfigError, match="there is a provider 'mine' already"):
        made.add(Keyless("mine", Keyless.Settings()))
    with pytest.raises(ConfigError, match="contract"):
        made.add(Newer("other", HTTPSettings()))
    with pytest.raises(ConfigError, match="is no provider"):
        made.add(NoProvider())  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_closing_closes_what_was_made_here_and_nothing_else(built_in: Any, anyio_backend: str) -> None:
    made, lent = registry(), Keyless("mine", Keyless.Settings())
    made.add(lent)
    own: Any = made.provider("keyless")
    await made.aclose()
    await made.aclose()
    assert (own.closed, lent.closed) == (1, 0)


@pytest.mark.anyio
async def test_one_that_will_not_close_spares_no_other(built_in: Any, anyio_backend: str) -> None:
    built_in(a="Stubborn", b="Keyless", c="Stubborn")
    made = registry()
    providers: list[Any] = [made.provider(name) for name in "abc"]
    with pytest.raises(OSError, match="will not close"):
        await made.aclose()
    assert [provider.closed for provider in providers] == [1, 1, 1]


# --- keys -------------------------------------------------------------------------------------------------------


def test_the_vendors_variables_are_tried_in_order(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY_OLD", "old")
    assert registry().provider("fake").key == "old"  # type: ignore[attr-defined]
    assert registry().key_source("fake") == "env FAKE_KEY_OLD"
    monkeypatch.setenv("FAKE_KEY", "new")
    assert registry().provider("fake").key == "new"  # type: ignore[attr-defined]


def test_a_configured_key_beats_the_vendors_variable(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written beside a base_url perhaps, and another key than that must never go there."""
    monkeypatch.setenv("FAKE_KEY", CANARY)
    monkeypatch.setenv("TEAM_KEY", "team")
    made = registry(providers={"fake": {"base_url": "https://proxy.example", "api_key": {"env": "TEAM_KEY"}}})
    assert made.provider("fake").key == "team"  # type: ignore[attr-defined]
    assert made.key_source("fake") == "env TEAM_KEY"


def test_another_host_of_the_same_kind_gets_no_key_of_the_vendor(built_in: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FAKE_KEY", CANARY)
    made = row(kind="fake", base_url="https://acme.example")
    assert made.provider("acme").key is None  # type: ignore[attr-defined]
    assert made.key_source("acme") is None
    assert row(kind="fake").provider("acme").key == CANARY  # type: ignore[attr-defined] # the vendor's own host


def test_a_variable_is_looked_up_when_the_provider_is_needed(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = row(kind="fake", api_key={"env": "ACME_KEY"})
    monkeypatch.delenv("ACME_KEY", raising=False)
    error = refusal(made, "acme")
    assert isinstance(error, MissingKey)
    assert error.message == "providers.acme.api_key: the environment variable ACME_KEY is not set"
    monkeypatch.setenv("ACME_KEY", "")
    assert isinstance(refusal(made, "acme"), MissingKey)
    monkeypatch.setenv("ACME_KEY", "k")
    assert made.provider("acme").key == "k"  # type: ignore[attr-defined]


def test_any_setting_may_come_from_a_variable(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "https://acme.example")
    monkeypatch.setenv("TEAM", "blue")
    provider: Any = row(kind="fake", base_url={"env": "WHERE"}, headers={"X-Team": {"env": "TEAM"}}).provider("acme")
    assert (provider.settings.base_url, provider.settings.headers) == ("https://acme.example", {"X-Team": "blue"})


def test_a_provider_without_a_key_gets_none(built_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", CANARY)
    assert "api_key" not in keys(Keyless.Settings)
    assert registry().provider("keyless").settings == Keyless.Settings()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "source"),
    [
        ({}, None),
        ({"api_key": "k"}, "any.toml:3"),
        ({"api_key": {"env": "ACME_KEY"}}, "env ACME_KEY"),
    ],
)
def test_doctor_can_say_where_a_key_comes_from(built_in: Any, place: Path, table: Any, source: str | None) -> None:
    lines = [
        f"{key} = {value!r}" if isinstance(value, str) else f'{key}.env = "ACME_KEY"' for key, value in table.items()
    ]
    (place / "any.toml").write_text("[providers.acme]\nkind = 'fake'\n" + "\n".join(lines))
    assert Registry(load("any.toml")).key_source("acme") == source


# --- trust: a stranger's file gets no secret --------------------------------------------------------------------

STRANGER = 'base_url = "https://stranger.example"'
ATTACKS = {
    "base_url": f"[providers.fake]\n{STRANGER}",
    "base_url and env": f'[providers.fake]\n{STRANGER}\napi_key = {{ env = "FAKE_KEY" }}',
    "own row and env": f'[providers.acme]\nkind = "fake"\n{STRANGER}\napi_key = {{ env = "FAKE_KEY" }}',
    "proxy": '[providers.fake]\nproxy = "http://stranger.example:3128"',
    "ca_bundle": '[providers.fake]\nca_bundle = "stranger.pem"',
    "client_cert": '[providers.fake]\nclient_cert = "stranger.pem"',
    "host header": '[providers.fake]\nheaders = { Host = "stranger.example" }',
    "plain http": "[providers.fake]\nallow_plain_http = true",
    "own row, proxy": '[providers.acme]\nkind = "fake"\nproxy = "http://stranger.example:3128"',
    "secret header": '[providers.fake]\napi_key = "k"\nheaders = { X = { env = "FAKE_KEY" } }',
    "secret in the address": '[providers.fake]\napi_key = "k"\nbase_url = { env = "FAKE_KEY" }',
    "another vendor's key": '[providers.fake]\napi_key = { env = "OTHER_KEY" }',
    "code": f'[providers.fake]\nkind = "{__name__}:Fake"',
    "code in a row": f'[providers.acme]\nkind = "{__name__}:Fake"',
}


def attacked(text: str) -> str:
    return "acme" if "[providers.acme]" in text else "fake"


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_until_the_file_is_trusted(
    built_in: Any, place: Path, monkeypatch: Any, text: str
) -> None:
    monkeypatch.setenv("FAKE_KEY", CANARY)
    monkeypatch.setenv("OTHER_KEY", CANARY)
    path = place / "llmsdk.toml"
    path.write_text(text)
    name = attacked(text)
    error = refusal(Registry(load()), name)
    assert "not trusted with secrets" in error.message
    assert f"llmsdk trust {path}" in error.hint
    assert CANARY not in str(error)
    for allowed in (load(path), load(str(path))):
        assert Registry(allowed).provider(name)
    monkeypatch.setenv("LLMSDK_CONFIG", str(path))
    assert Registry(load()).provider(name)
    monkeypatch.delenv("LLMSDK_CONFIG")
    trust(path)
    assert Registry(load()).provider(name)
    path.write_text(text + "\n# changed since")
    assert "not trusted" in refusal(Registry(load()), name).message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[providers.fake]\nhttp2 = true\nmax_connections = 4", CANARY),
        ('[providers.fake]\napi_key = { env = "FAKE_KEY" }', CANARY),
        ('[providers.acme]\nkind = "fake"\napi_key = { env = "FAKE_KEY" }', CANARY),
        (f'[providers.fake]\n{STRANGER}\napi_key = "its own"', "its own"),
        (f'[providers.acme]\nkind = "fake"\n{STRANGER}', None),
        ('default = "fake:x"', CANARY),
    ],
)
def test_what_moves_no_secret_is_allowed(
    built_in: Any, place: Path, monkeypatch: pytest.MonkeyPatch, text: str, key: str | None
) -> None:
    monkeypatch.setenv("FAKE_KEY", CANARY)
    (place / "llmsdk.toml").write_text(text)
    assert Registry(load()).provider(attacked(text)).key == key  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [f"[providers.fake]\n{STRANGER}", '[providers.fake]\nkind = "other"', '[providers.fake]\nproxy = "http://s"'],
)
def test_a_key_in_our_own_variable_or_argument_is_a_secret_too(
    built_in: Any, place: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    built_in(fake="Fake", other="Fake")
    (place / "llmsdk.toml").write_text(text)
    overrides = {"providers": {"fake": {"api_key": CANARY}}}
    assert "not trusted" in refusal(Registry(load(overrides=overrides)), "fake").message
    monkeypatch.setenv("LLMSDK_PROVIDERS_FAKE_API_KEY", CANARY)
    error = refusal(Registry(load()), "fake")
    assert "providers.fake.api_key (env LLMSDK_PROVIDERS_FAKE_API_KEY)" in error.message
    assert CANARY not in str(error)


def test_an_argument_that_takes_the_strangers_place_is_trusted(built_in: Any, place: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FAKE_KEY", CANARY)
    (place / "llmsdk.toml").write_text(f"[providers.fake]\n{STRANGER}")
    made = Registry(load(overrides={"providers": {"fake": {"base_url": "https://mine.example"}}}))
    assert made.provider("fake").settings.base_url == "https://mine.example"  # type: ignore[attr-defined]


def test_untrusted_code_is_not_even_imported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "stranger.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.syspath_prepend(place)
    (place / "llmsdk.toml").write_text('default = "acme:x"\n[providers.acme]\nkind = "stranger:Stranger"')
    made = Registry(load())
    assert made.resolve("acme:x")
    assert "not trusted" in refusal(made, "acme").message
    with pytest.raises(ConfigError, match="not trusted"):
        made.key_source("acme")
    assert "stranger" not in sys.modules


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["base_url", "proxy", "ca_bundle", "client_cert", "allow_plain_http", "headers", "http2", "kind"]
        ),
        st.sampled_from(["'x'", "true", "{ env = 'FAKE_KEY' }", "{ a = 'b' }", "'fake'", "'keyless'"]),
        min_size=1,
    )
)
def test_no_untrusted_table_reroutes_the_vendors_key(table: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_KEY", CANARY)
        patch.setattr(registry_module, "BUILT_IN", {"fake": f"{__name__}:Fake", "keyless": f"{__name__}:Keyless"})
        Path("llmsdk.toml").write_text("[providers.fake]\n" + "".join(f"{k} = {v}\n" for k, v in table.items()))
        held = _held("fake")
    assert CANARY not in held or set(table) <= {"http2", "kind"}


def _held(name: str) -> str:
    """Everything that a provider was given, or that its refusal says."""
    try:
        provider: Any = Registry(load()).provider(name)
    except ConfigError as error:
        return f"{error}{error!r}"
    return repr(vars(provider.settings)) + str("api_key" in keys(type(provider.settings)) and provider.key)
