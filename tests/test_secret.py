"""A key as it is kept: whatever looks at it sees the mask."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import logging
import pickle
import pprint
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from llmsdk import Secret
from llmsdk.provider import HTTPSettings
from llmsdk.secret import Hidden, Masked, is_secret, kept, revealed

CANARY = "sk-canary-0123456789"


class Model(BaseModel):
    key: Secret
    more: dict[str, Secret] = {}


@dataclass(frozen=True)
class Record:
    key: Secret


def test_it_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = Secret(CANARY)
    logging.getLogger("any").debug("%s %r %s", secret, secret, [secret])
    model, record = Model(key=secret, more={"a": secret}), Record(secret)
    try:
        raise RuntimeError(secret)
    except RuntimeError as error:
        trace = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    places = {
        "words": f"{secret} {secret!r} {secret:>20} {secret!s} %s" % secret,
        "vars": f"{getattr(secret, '__dict__', {})} {inspect.getmembers(secret)} {dir(secret)}",
        "record": f"{record} {asdict(record)} {vars(record)} {pprint.pformat(record)}",
        "model": f"{model} {model.model_dump()} {model.model_dump_json()} {vars(model)} {Model.model_json_schema()}",
        "json": json.dumps({"key": secret}, default=str),
        "copies": repr([copy.copy(secret), copy.deepcopy(secret), model.model_copy(deep=True)]),
        "trace": trace,
        "log": caplog.text,
    }
    assert [place for place, text in places.items() if CANARY in text] == []
    assert [place for place, text in places.items() if "***" not in text] == []
    assert json.loads(model.model_dump_json()) == {"key": "***", "more": {"a": "***"}}
    assert secret.reveal() == CANARY
    assert f"{secret:>5}|" == "  ***|"


def test_it_is_neither_pickled_nor_json() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(Secret(CANARY), protocol)
    with pytest.raises(TypeError, match="not JSON"):
        json.dumps(Secret(CANARY))


def test_what_it_is_equal_to(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    import hmac

    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or one == other)
    secret = Secret(CANARY)
    assert secret == Secret(CANARY)
    assert secret == CANARY
    assert secret != Secret(CANARY + "x")
    assert secret != CANARY[:-1]
    assert Secret("\ud800é") == "\ud800é"
    assert len(compared) == 5
    assert secret != 5
    assert {secret: 1}[Secret(CANARY)] == 1
    assert hash(secret) != hash(Secret("other"))
    assert secret
    assert not Secret("")


def test_it_is_made_of_text_only() -> None:
    assert Secret.of(SecretStr(CANARY)) == Secret.of(CANARY) == Secret.of(Secret(CANARY))
    for value in (7, None, b"bytes"):
        with pytest.raises(TypeError):
            Secret(value)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="valid string"):
            Secret.of(value)
        with pytest.raises(ValidationError, match="valid string"):
            Model(key=value)  # type: ignore[arg-type]


def test_texts_in_use_hide_in_frames_only() -> None:
    hidden, masked = Hidden(CANARY), Masked(CANARY.encode())
    assert CANARY not in f"{hidden!r} {masked!r} {[hidden]} {[masked]}"
    assert (f"Bearer {hidden}", b"Bearer %b" % masked) == (f"Bearer {CANARY}", f"Bearer {CANARY}".encode())
    assert isinstance(Secret(CANARY).reveal(), Hidden)


def test_settings_keep_what_is_secret() -> None:
    settings = HTTPSettings(
        api_key=Secret(CANARY),
        proxy=Secret(f"http://user:{CANARY}@proxy:1"),
        headers={"x-any": Secret(CANARY)},
    )
    assert CANARY not in f"{settings!r} {vars(settings)} {copy.deepcopy(settings)!r}"
    assert HTTPSettings(api_key=CANARY, headers={"X": CANARY}).headers["X"] == CANARY  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize("name", ["api_key", "X-API-Key", "Authorization", "session_token", "Set-Cookie", "PASSWORD"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["base_url", "model", "region", ""])
def test_names_of_other_settings(name: str) -> None:
    assert not is_secret(name)


def test_tables_keep_their_secrets() -> None:
    table = {
        "kind": "openai",
        "api_key": CANARY,
        "api_keys": [CANARY, {"env": "A"}],
        "headers": {"x-team": CANARY, "x-other": {"env": "B"}},
        "proxy": CANARY,
        "base_url": f"https://user:{CANARY}@host/v1",
        "max_tokens": 5,
        "http_client": gc,
    }
    found: Any = kept({"providers": {"acme": table}})
    assert CANARY not in repr(found)
    assert (found["providers"]["acme"]["kind"], found["providers"]["acme"]["max_tokens"]) == ("openai", 5)
    assert found["providers"]["acme"]["headers"]["x-other"] == {"env": "B"}
    assert revealed(found) == {"providers": {"acme": table}}
    assert kept(("a", CANARY), "tokens", Hidden) == ("a", CANARY)
    assert CANARY not in repr(kept(("a", CANARY), "tokens", Hidden))
