"""Tables of settings: what is taken without pydantic is what pydantic would take, and all else is its to judge."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llmsdk import settings as module
from llmsdk.errors import ConfigError
from llmsdk.provider import HTTPSettings, Secret, Settings, setting
from llmsdk.settings import keys, validated
from llmsdk_providers.anthropic.settings import Settings as Anthropic
from llmsdk_providers.local.settings import LocalSettings
from llmsdk_providers.openai.settings import Settings as OpenAI

CANARY = "sk-canary-4711"


def even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


class Table(Settings):
    kind: ClassVar[str] = "no key"

    needed: int
    name: str = "it"
    half: float | None = setting(0.5, gt=0, le=1)
    pairs: int = setting(0, check=even)
    hidden: dict[str, str] = setting(factory=dict, shown=False)


class Nested(Settings):
    tables: dict[str, Table] = setting(factory=dict)


def shown(values: dict[str, Any]) -> dict[str, str]:
    """Values with their types, of which ``1 == 1.0 == True`` says nothing."""
    return {key: value.reveal() if isinstance(value, Secret) else repr(value) for key, value in values.items()}


def given_to(table: Any) -> st.SearchStrategy[dict[str, Any]]:
    values = st.one_of(
        st.none(), st.booleans(), st.integers(-2, 300), st.floats(), st.text(max_size=3), st.binary(max_size=2),
        st.just(Secret(CANARY)), st.lists(st.text(max_size=2), max_size=2),
        st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2),
    )  # fmt: skip
    some = st.dictionaries(st.sampled_from([*keys(table), "no_such_key"]), values, max_size=3)
    return some.map(lambda data: {**data, "needed": 1} if table is Table else data)


@pytest.mark.parametrize("table", [OpenAI, Anthropic, LocalSettings, Table], ids=lambda table: table.__module__)
def test_what_is_taken_plainly_is_what_pydantic_takes(table: Any) -> None:
    taken = 0

    @given(given_to(table))
    def agree(data: dict[str, Any]) -> None:
        nonlocal taken
        plainly = module._plainly(module._fields(table), data)
        if plainly is not None:
            judged = module._adapter(table).validate_python(dict(data))
            assert shown(plainly) == shown(judged)
            taken += bool(plainly)

    agree()
    assert taken


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "needed: is required"),
        ({"needed": "x"}, "needed: must be a valid integer"),
        ({"needed": 1, "half": 0}, "half: must be greater than 0"),
        ({"needed": 1, "half": float("nan")}, "half: must be"),
        ({"needed": 1, "pairs": 3}, "pairs: must be even"),
        ({"needed": 1, "hidden": {"a": 1}}, "hidden.a: must be a valid string"),
        ({"needed": 1, "nam": "x"}, "nam: unknown key"),
    ],
)
def test_what_is_wrong_is_a_config_error_that_shows_no_value(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Table(**values)
    assert caught.value.hint
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_what_can_be_converted_is() -> None:
    table = Table(needed="7", half="1", hidden={"a": "b"})  # type: ignore[arg-type]
    assert (table.needed, table.half, table.hidden) == (7, 1.0, {"a": "b"})
    assert table == Table(needed=7, half=1, hidden={"a": "b"}) != Table(needed=7)


def test_a_secret_shows_nowhere_and_may_come_as_anothers() -> None:
    for key in (CANARY, Secret(CANARY), SecretStr(CANARY)):
        made = HTTPSettings(api_key=key, proxy=f"http://u:{CANARY}@host", headers={"x": CANARY})  # type: ignore[arg-type]
        assert made.api_key == Secret(CANARY)
        assert CANARY not in repr(made) + str(made) + str(made.api_key) + f"{made.api_key}"
    with pytest.raises(ConfigError, match="api_key: must be a valid string") as caught:
        HTTPSettings(api_key=[CANARY])  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


def test_settings_do_not_change_but_in_a_copy() -> None:
    table = Table(needed=1, hidden={"a": "secret"})
    with pytest.raises(AttributeError):
        table.needed = 2  # type: ignore[misc]
    assert table.replaced(needed=2).needed == 2
    assert table.needed == 1
    assert pickle.loads(pickle.dumps(table)) == table
    assert repr(table) == "Table(needed=1, name='it', half=0.5, pairs=0)"
    assert Table(needed=1).hidden is not Table(needed=1).hidden


def test_a_table_may_hold_tables() -> None:
    assert Nested(tables={"a": {"needed": 2}}).tables == {"a": Table(needed=2)}  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"tables\.a\.needed: is required"):
        Nested(tables={"a": {}})  # type: ignore[dict-item]


def test_a_pydantic_model_will_do_as_well() -> None:
    class Model(BaseModel):
        model_config = ConfigDict(extra="forbid")
        shape: int = Field(default=1, alias="form", gt=0)

    assert keys(Model) == ["form"]
    assert validated(Model, {"form": "2"}, (), {}).shape == 2
    with pytest.raises(ConfigError, match=r"env X: providers\.acme\.form: must be greater than 0"):
        validated(Model, {"form": 0}, ("providers", "acme"), {"providers.acme.form": "env X"})
    with pytest.raises(ConfigError, match="unknown key") as caught:
        validated(Model, {"forms": 0}, (), {})
    assert caught.value.hint == "Did you mean 'form'?"


def test_pydantics_own_words_in_settings_are_refused_and_not_ignored() -> None:
    class Mixed(Settings):
        marks: int = Field(default=1, gt=0)

    class Derived(Mixed):
        more: int = 0

    class Lax(Settings):
        model_config = ConfigDict(extra="ignore")

    for table, name in ((Mixed, "marks"), (Derived, "marks"), (Lax, "model_config")):
        with pytest.raises(TypeError, match=f"{table.__name__}.{name} is pydantic's"):
            table()


def test_a_first_answer_needs_no_pydantic() -> None:
    program = """\
import sys
from llmsdk import Client
from llmsdk.testing import FaultServer

with FaultServer() as host, Client("openai:any", config=host.config()) as client:
    assert client.chat("Hi!").text
    assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
