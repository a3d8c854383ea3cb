from __future__ import annotations

import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk import toml
from llmsdk.config import Config, load
from llmsdk.errors import ConfigError, InputError
from llmsdk.settings import did_you_mean
from llmsdk.trust import trust, user_folder

EXAMPLE = """\
default = "smart"

[models]
smart = ["anthropic:claude-x", "openai:gpt-x"]
cheap = { model = "acme:small", temperature = 0, stop = "END", logit_bias = { 50256 = -100 } }

[providers.acme]
kind = "openai"
base_url = "https://acme.example/v1"
api_key = { env = "ACME_KEY" }
[providers.acme.headers]
X-Team = "blue"

[retry]
attempts = 4
[timeouts]
idle = 7.5
total = inf
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own with an empty home, and no variable of ours."""
    for name in [name for name in os.environ if name.startswith("LLMSDK_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.chdir(repository)
    return repository


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(data: Any, **kwargs: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(data, **kwargs)
    return caught.value


# --- what a file says -------------------------------------------------------------------------------------------


def test_nothing_configured_gives_the_defaults() -> None:
    config = load()
    assert config == Config()
    assert (config.default, config.path, config.retry.attempts, config.timeouts.connect) == (None, None, 3, 5.0)


def test_every_section_is_read(place: Path) -> None:
    config = load(write(place / "any.toml", EXAMPLE))
    assert config.default == "smart"
    assert config.models["smart"].targets == ("anthropic:claude-x", "openai:gpt-x")
    assert config.models["cheap"].targets == ("acme:small",)
    assert config.models["cheap"].options == {"temperature": 0, "stop": "END", "logit_bias": {50256: -100}}
    assert config.providers["acme"]["headers"] == {"X-Team": "blue"}
    assert config.retry.attempts == 4
    assert (config.timeouts.idle, config.timeouts.total, config.timeouts.connect) == (7.5, None, 5.0)
    assert config.untrusted == frozenset()


def test_a_mapping_has_the_same_shape_as_a_file(place: Path) -> None:
    mapped, filed = load(tomllib.loads(EXAMPLE)), load(write(place / "any.toml", EXAMPLE))
    for name in ("default", "models", "providers", "retry", "timeouts"):
        assert getattr(mapped, name) == getattr(filed, name)


def test_sources_name_file_and_line(place: Path) -> None:
    sources = load(write(place / "any.toml", EXAMPLE)).sources
    assert sources["default"] == "any.toml:1"
    assert sources["models.cheap"] == "any.toml:5"
    assert sources["providers.acme.api_key"] == "any.toml:10"
    assert sources["providers.acme.headers"] == "any.toml:11"
    assert sources["retry.attempts"] == "any.toml:15"
    assert "retry.base" not in sources


def test_an_empty_provider_table_is_known(place: Path) -> None:
    assert load(write(place / "any.toml", "[providers.parrot]\n")).providers == {"parrot": {}}


def test_a_byte_order_mark_is_read_over(place: Path) -> None:
    (place / "any.toml").write_bytes(b'\xef\xbb\xbfdefault = "local:pocket"\n')
    assert load("any.toml").default == "local:pocket"


def test_repr_shows_no_provider_settings() -> None:
    assert "hunter2" not in repr(load({"providers": {"acme": {"api_key": "hunter2", "headers": {"x": "hunter2"}}}}))


# --- where it is found ------------------------------------------------------------------------------------------


def test_found_from_the_working_directory_up_to_the_repository(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "llmsdk.toml", 'default = "local:root"')
    (place / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(place / "deep" / "er")
    assert load().default == "local:root"
    write(place / "deep" / "llmsdk.toml", 'default = "local:deep"')
    assert load().default == "local:deep"


def test_not_found_above_the_repository(place: Path) -> None:
    write(place.parent / "llmsdk.toml", 'default = "local:stranger"')
    assert load() == Config()


def test_outside_a_repository_only_the_working_directory_counts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = place.parent / "a" / "b"
    outside.mkdir(parents=True)
    write(outside.parent / "llmsdk.toml", 'default = "local:above"')
    monkeypatch.chdir(outside)
    assert load() == Config()
    write(outside / "llmsdk.toml", 'default = "local:here"')
    assert load().default == "local:here"


def test_the_users_own_file_comes_after_the_project(place: Path) -> None:
    mine = write(place.parent / "home" / ".config" / "llmsdk" / "config.toml", 'default = "local:mine"')
    config = load()
    assert (config.default, config.path, config.sources["default"]) == (
        "local:mine",
        mine,
        "~/.config/llmsdk/config.toml:1",
    )
    write(place / "llmsdk.toml", 'default = "local:project"')
    assert load().default == "local:project"


def test_a_variable_names_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "llmsdk.toml", 'default = "local:project"')
    monkeypatch.setenv("LLMSDK_CONFIG", str(write(place / "named.toml", 'default = "local:named"')))
    config = load()
    assert (config.default, config.untrusted) == ("local:named", frozenset())


def test_an_argument_beats_the_variable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_CONFIG", "/nonexistent.toml")
    assert load(str(write(place / "a.toml", 'default = "local:a"'))).default == "local:a"
    assert load({"default": "local:b"}).default == "local:b"


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.config/llmsdk"),
        ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/llmsdk"),
        ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "not/absolute"}, "/h/.config/llmsdk"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/llmsdk"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/llmsdk"),
    ],
)
def test_the_users_folder(platform: str, environ: dict[str, str], expected: str) -> None:
    assert user_folder(platform, environ) == Path(expected)


def test_windows_without_appdata_has_no_folder() -> None:
    assert user_folder("win32", {}) is None


def test_a_removed_working_directory_is_no_fault(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = place / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load() == Config()


# --- what wins --------------------------------------------------------------------------------------------------


def test_argument_over_environment_over_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "any.toml", 'default = "local:file"\n[retry]\nattempts = 2\nbase = 1\ncap = 9')
    monkeypatch.setenv("LLMSDK_MODEL", "local:env")
    monkeypatch.setenv("LLMSDK_RETRY_ATTEMPTS", "5")
    monkeypatch.setenv("LLMSDK_RETRY_BASE", "0.25")
    config = load("any.toml", overrides={"retry": {"attempts": 7}})
    assert (config.default, config.retry.attempts, config.retry.base, config.retry.cap) == ("local:env", 7, 0.25, 9)
    assert [config.sources[key] for key in ("default", "retry.attempts", "retry.base", "retry.cap")] == [
        "env LLMSDK_MODEL",
        "argument",
        "env LLMSDK_RETRY_BASE",
        "any.toml:5",
    ]


def test_a_mapping_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_MODEL", "local:env")
    monkeypatch.setenv("LLMSDK_TIMEOUTS_IDLE", "2")
    config = load({"default": "local:mapping"})
    assert (config.default, config.timeouts.idle) == ("local:mapping", 2.0)


def test_the_environment_sets_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_PROVIDERS_OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("LLMSDK_PROVIDERS_MY_HOST_API_KEY", "k")
    config = load({"providers": {"my-host": {"kind": "openai"}, "my": {"kind": "openai"}}})
    assert config.providers["openai"] == {"base_url": "http://127.0.0.1:1/v1"}
    assert config.providers["my-host"] == {"kind": "openai", "api_key": "k"}
    assert config.providers["my"] == {"kind": "openai"}


@settings(deadline=None)
@given(
    name=st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,8}){0,2}", fullmatch=True),
    key=st.sampled_from(["api_key", "base_url", "kind", "max_connections", "device"]),
)
def test_a_configured_name_is_found_in_any_variable(name: str, key: str) -> None:
    variable = f"LLMSDK_PROVIDERS_{name.replace('-', '_')}_{key}".upper()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, "value")
        assert load({"providers": {name: {}}}).providers == {name: {key: "value"}}


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_MODEL", "")
    monkeypatch.setenv("LLMSDK_CONFIG", "")
    assert load() == Config()


def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_RETRY_ATEMPTS", "5")
    error = refused(None)
    assert "env LLMSDK_RETRY_ATEMPTS" in error.message
    assert "'attempts'" in error.hint
    monkeypatch.delenv("LLMSDK_RETRY_ATEMPTS")
    monkeypatch.setenv("LLMSDK_MODLE", "local:pocket")
    error = refused(None)
    assert "LLMSDK_MODLE" in error.message
    assert "'LLMSDK_MODEL'" in error.hint


@pytest.mark.parametrize("name", ["LLMSDK_XYZZY", "LLMSDK_FOO", "LLMSDK_HOME", "LLMSDK_MAX", "LLMSDK_LOG"])
def test_a_foreign_variable_warns(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The prefix, which all variables share, makes no two of them alike."""
    monkeypatch.setenv(name, "1")
    with pytest.warns(UserWarning, match=name):
        load()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LLMSDK_CONFG", "LLMSDK_CONFIG"),
        ("LLMSDK_MODELL", "LLMSDK_MODEL"),
        ("LLMSDK_RETRI_ATTEMPTS", "LLMSDK_RETRY_ATTEMPTS"),
        ("LLMSDK_TIMEOUT_TOTAL", "LLMSDK_TIMEOUTS_TOTAL"),
    ],
)
def test_a_variable_that_is_nearly_known_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    assert refused(None).hint == f"Did you mean {meant!r}?"


def test_a_bad_value_in_a_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_RETRY_ATTEMPTS", "many")
    assert "env LLMSDK_RETRY_ATTEMPTS: retry.attempts" in refused(None).message


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('defualt = "a:b"', "llmsdk.toml:1: defualt: unknown key", "Did you mean 'default'?"),
        ("[limit.openai]\nrpm = 5", "llmsdk.toml:1: limit: unknown key", "Did you mean 'limits'?"),
        ("[limits.openai]\nrpm = -5", "llmsdk.toml:2: limits.openai.rpm: must be greater", ""),
        ("[retry]\natempts = 3", "llmsdk.toml:2: retry.atempts: unknown key", "Did you mean 'attempts'?"),
        ("[retry]\nattempts = 0", "llmsdk.toml:2: retry.attempts: must be greater than or equal to 1", ""),
        ("[retry]\nbase = nan", "llmsdk.toml:2: retry.base: must be", ""),
        ("[timeouts]\n\nidle = -1", "llmsdk.toml:3: timeouts.idle: must be greater than 0", ""),
        ("[timeouts]\nidle = nan", "llmsdk.toml:2: timeouts.idle: must be", ""),
        ("models = 3", "llmsdk.toml:1: models: must be a table, not a number", ""),
        ("[providers]\nacme = 'x'", "llmsdk.toml:2: providers.acme: must be a table, not a string", ""),
        ("[providers.acme]\nkind = 3", "llmsdk.toml:2: providers.acme.kind: must be a string, not a number", ""),
        ("default = 3", "llmsdk.toml:1: default: must be a string, not a number", ""),
        ("default = ''", "llmsdk.toml:1: default: must be a string, not an empty string", ""),
        ("default = 'smrt'\n[models]\nsmart='a:b'", "llmsdk.toml:1: default: 'smrt' is no alias", "'smart'"),
        ("default = 'gpt-x'", "llmsdk.toml:1: default: 'gpt-x' is no alias", 'Write "PROVIDER:MODEL"'),
        ("[models]\na = []", "llmsdk.toml:2: models.a: names no model", "Write a ="),
        ("[models]\na = { temperature = 0 }", "llmsdk.toml:2: models.a: names no model", "Write a ="),
        ("[models]\na = 'b'\nb = 'a'", "llmsdk.toml:2: models.a: a -> b -> a goes in a circle", ""),
        (
            "[models]\na = { model = 'x:y', temprature = 0 }",
            "llmsdk.toml:2: models.a.temprature: unknown",
            "'temperature'",
        ),
        ("[models]\na = { model = 'x:y', temperature = nan }", "llmsdk.toml:2: models.a: temperature=nan", ""),
        ("[models]\na = { model = 'x:y', max_tokens = 0 }", "llmsdk.toml:2: models.a: max_tokens=0", ""),
        ("[models]\na = { model = 'x:y', stop = 3 }", "llmsdk.toml:2: models.a: ", ""),
        ("[models]\n'a:b' = 'x:y'", "llmsdk.toml:2: models: 'a:b' is no name", "Names are made of"),
        ("[providers.'a.b']\n", "llmsdk.toml:1: providers: 'a.b' is no name", "Names are made of"),
        ("ok = 1\nbroken = = 2", "llmsdk.toml:2: not valid TOML", ""),
        ("a = 'open\n", "llmsdk.toml:1: not valid TOML", ""),
    ],
)
def test_a_fault_has_file_line_key_and_advice(place: Path, text: str, message: str, hint: str) -> None:
    write(place / "llmsdk.toml", text)
    error = refused(None)
    assert error.message.startswith(message)
    assert hint in error.hint


def test_not_utf8_is_named_with_its_line(place: Path) -> None:
    (place / "llmsdk.toml").write_bytes(b'default = "a:b"\n# \xff\n')
    assert refused(None).message == "llmsdk.toml:2: not UTF-8"


def test_a_named_file_must_be_there(place: Path) -> None:
    error = refused("missing.toml")
    assert error.message == "missing.toml: No such file or directory"
    assert "LLMSDK_CONFIG" in error.hint
    assert "directory" in refused(place).message


@pytest.mark.parametrize("path", ["a\0b.toml", "~nobody-of-that-name/llmsdk.toml"])
def test_a_path_that_can_be_none_is_refused(path: str) -> None:
    error = refused(path)
    assert "Check the path" in error.hint
    assert "\0" not in error.message


def test_a_file_nested_too_deeply_is_refused(place: Path) -> None:
    write(place / "llmsdk.toml", f"a = {'[' * 50_000}")
    assert refused(None).message.startswith("llmsdk.toml:1: not valid TOML")


def test_a_byte_order_mark_is_no_part_of_the_first_key(place: Path) -> None:
    (place / "llmsdk.toml").write_bytes(b'\xef\xbb\xbfdefault = "local:pocket"\r\n[retry]\r\nattempts = 2\r\n')
    config = load()
    assert (config.default, config.retry.attempts) == ("local:pocket", 2)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ({"retry": 3}, "[retry]"),
        ({"providers": "openai"}, "[providers.NAME]"),
        ({"providers": {"acme": "openai"}}, "[providers.acme]"),
        ({"default": 3}, "PROVIDER:MODEL"),
        ({"models": {"a": "b", "b": "a"}}, "itself"),
        ({"models": {"a": {"model": "local:pocket", "max_tokens": 0}}}, "at least 1"),
        ({"providers": {"acme": {"kind": 3}}}, '"openai"'),
    ],
)
def test_every_refusal_says_what_to_do(data: Any, hint: str) -> None:
    assert hint in refused(data).hint


def test_a_huge_file_is_refused(place: Path) -> None:
    write(place / "llmsdk.toml", "# " + "x" * 2**20)
    assert "larger than" in refused(None).message


def test_control_characters_of_a_strangers_file_do_not_reach_the_terminal(place: Path) -> None:
    write(place / "llmsdk.toml", r'"\u001b[2Jkey" = 1')
    assert "\x1b" not in str(refused(None))


def test_config_of_another_type_is_an_input_error() -> None:
    with pytest.raises(InputError, match="config must be a path or a mapping, not int"):
        load(3)  # type: ignore[arg-type]


def test_secret_values_stay_out_of_errors() -> None:
    assert "hunter2" not in str(refused({"providers": {"acme": {"kind": ["hunter2"]}}}))
    assert "hunter2" not in str(refused({"retry": {"attempts": "hunter2"}}))


# --- trust ------------------------------------------------------------------------------------------------------


def test_a_found_file_is_untrusted_until_it_is_trusted_as_it_stands(place: Path) -> None:
    path = write(place / "llmsdk.toml", "[providers.openai]\nbase_url = 'https://stranger.example'")
    assert "providers.openai.base_url" in load().untrusted
    trust(path)
    assert load().untrusted == frozenset()
    write(path, path.read_text() + "\n# changed")
    assert load().untrusted
    trust(Path("llmsdk.toml"))
    assert load().untrusted == frozenset()


def test_a_copy_of_a_trusted_file_elsewhere_is_not_trusted(place: Path) -> None:
    path = write(place / "llmsdk.toml", "[providers.openai]\nbase_url = 'https://stranger.example'")
    trust(path)
    write(place / "copy" / "llmsdk.toml", path.read_text())
    os.chdir(place / "copy")
    assert load().untrusted


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff", b'{"x": 3}'])
def test_a_damaged_list_of_trusted_files_trusts_nothing(place: Path, damage: bytes) -> None:
    path = write(place / "llmsdk.toml", "[providers.openai]\nbase_url = 'https://stranger.example'")
    trust(path)
    folder = user_folder()
    assert folder is not None
    (folder / "trusted.json").write_bytes(damage)
    assert load().untrusted
    trust(path)
    assert load().untrusted == frozenset()


def test_trusting_a_missing_file_says_so(place: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        trust(place / "missing.toml")


def test_only_the_project_file_is_untrusted(place: Path) -> None:
    text = "[providers.openai]\nbase_url = 'https://mine.example'"
    write(place.parent / "home" / ".config" / "llmsdk" / "config.toml", text)
    assert load().untrusted == frozenset()
    write(place / "llmsdk.toml", text)
    assert load().untrusted
    assert load("llmsdk.toml").untrusted == frozenset()
    assert load({"providers": {}}).untrusted == frozenset()


def test_a_key_set_over_the_project_file_is_not_its_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "llmsdk.toml", "[providers.openai]\nbase_url = 'https://stranger.example'")
    monkeypatch.setenv("LLMSDK_PROVIDERS_OPENAI_BASE_URL", "https://mine.example")
    assert "providers.openai.base_url" not in load().untrusted


# --- properties -------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text())
def test_any_text_has_lines_without_a_fault(text: str) -> None:
    assert all(1 <= line <= len(text.splitlines()) for line in toml.lines(text).values())


@settings(deadline=None)
@given(st.dictionaries(st.text(ascii_lowercase, min_size=1, max_size=8), st.integers(), min_size=1))
def test_lines_point_at_their_keys(table: dict[str, int]) -> None:
    text = "# head\n[section]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
    lines = toml.lines(text)
    assert [lines[("section", key)] for key in table] == list(range(3, 3 + len(table)))


@settings(deadline=None)
@given(
    file=st.none() | st.integers(1, 100),
    environment=st.none() | st.integers(1, 100),
    argument=st.none() | st.integers(1, 100),
)
def test_the_highest_layer_that_speaks_wins(file: int | None, environment: int | None, argument: int | None) -> None:
    expected = next((value for value in (argument, environment, file) if value is not None), 3)
    with pytest.MonkeyPatch.context() as patch:
        Path("any.toml").write_text("" if file is None else f"retry.attempts = {file}")
        if environment is not None:
            patch.setenv("LLMSDK_RETRY_ATTEMPTS", str(environment))
        overrides = {} if argument is None else {"retry": {"attempts": argument}}
        assert load("any.toml", overrides=overrides).retry.attempts == expected


@settings(deadline=None)
@given(st.floats(min_value=0.001, allow_nan=False))
def test_seconds_are_kept_and_infinity_is_no_limit(seconds: float) -> None:
    idle = load({"timeouts": {"idle": seconds}}).timeouts.idle
    assert idle == (None if math.isinf(seconds) else seconds)


def test_did_you_mean_is_silent_about_strangers() -> None:
    assert did_you_mean("openia", ["openai", "local"]) == "Did you mean 'openai'?"
    assert did_you_mean("OPENAI", ["openai"]) == "Did you mean 'openai'?"
    assert did_you_mean("zzz", ["openai", "local"]) == ""


def test_importing_the_package_loads_no_configuration() -> None:
    code = "import sys, llmsdk; sys.exit(' '.join({'llmsdk.config', 'llmsdk.registry'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_number_of_thousands_of_digits_is_a_fault_of_the_file(place: Path) -> None:
    path = write(place / "llmsdk.toml", f"[retry]\nattempts = 1{'0' * 5000}\n")
    with pytest.raises(ConfigError, match="a number is too long"):
        load(path)


@pytest.mark.parametrize("name", [1, None, 10**5000, (1, 2)], ids=["number", "none", "huge", "tuple"])
def test_names_in_a_mapping_that_are_no_words(name: Any) -> None:
    for data in ({name: {}}, {"retry": {name: 1}}, {"limits": {"openai": {name: 1}}}):
        with pytest.raises(ConfigError):
            load(data)  # type: ignore[arg-type]


def test_what_is_nested_beyond_reason_is_refused(place: Path) -> None:
    round_about: dict[str, Any] = {}
    round_about["x"] = {"a": round_about, "b": round_about}
    with pytest.raises(ConfigError, match="nested too deeply"):
        load({"providers": round_about})
    for size in (40, 480, 2000):
        path = write(place / "llmsdk.toml", f"[providers.x]\nkind = 'openai'\ny{'.a' * size} = 1\n")
        with pytest.raises(ConfigError, match="nested too deeply"):
            load(path)


def test_a_path_that_looks_like_a_url_with_a_password_is_a_path(place: Path) -> None:
    assert load({"ledger": {"path": "a://b@c"}}).ledger == Path("a://b@c")
