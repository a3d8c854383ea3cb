"""Bedrock with credentials of AWS: where they come from, and signed requests over a real socket."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from dialects import five_verbs, five_verbs_on_a_loop
from recorded import folded
from servers.bedrock_server import REGION, BedrockServer

from llmsdk import AsyncClient, Client
from llmsdk.errors import ConfigError, DeadlineExceeded, LLMError, MissingExtra, MissingKey, Unauthorized
from llmsdk.io.fake import FakeIO
from llmsdk.io.loop import LoopIO
from llmsdk.types import Message, Request
from llmsdk_providers.bedrock import Bedrock, Settings
from llmsdk_providers.bedrock.credentials import Chain, Credentials, fetch

pytest.importorskip("botocore", reason="credentials are found by AWS's own package")

KEY, SECRET = "AKIAEXAMPLE000000001", "canary/Secret+0123456789abcdefghijklmnop"
TOKEN, OLD = "canary-session-token-of-today", "canary-session-token-of-yesterday"
EXPLICIT = {"region": REGION, "access_key_id": KEY, "secret_access_key": SECRET}
MODEL = "bedrock:test.model-v1:0"
HI = Request("test.model-v1:0", (Message("user", "Hello!"),))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer("a-bedrock-api-key", {KEY: SECRET}) as server:
        yield server


def configured(server: BedrockServer, **fields: Any) -> dict[str, Any]:
    """The arguments that make a client."""
    return {"model": MODEL, "config": {"providers": {"bedrock": {"base_url": server.origin, **fields}}}}


def profile(home: Path, token: str | None, name: str = "work") -> dict[str, str]:
    """Write a profile; the settings that name it."""
    session = f"aws_session_token = {token}\n" if token else ""
    text = f"[{name}]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n{session}"
    (home / "credentials").write_text(text, "utf-8")
    return {"profile": name, "region": REGION}


def shows_no_secret(error: BaseException, *things: object) -> None:
    text = "".join(map(repr, (error, str(error), vars(error), *things)))
    assert not {secret for secret in (SECRET, TOKEN, OLD) if secret in text}


# --- signed requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, TOKEN])
def test_the_five_verbs(server: BedrockServer, token: str | None, caplog: pytest.LogCaptureFixture) -> None:
    server.token = token
    session = {"session_token": token} if token else {}
    with caplog.at_level(logging.DEBUG), Client(**configured(server, **EXPLICIT, **session)) as client:
        five_verbs(client)
    signed = [request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ") for request in server.requests]
    assert signed
    assert all(signed)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.anyio
async def test_the_five_verbs_on_a_loop(server: BedrockServer, home: Path) -> None:
    async with AsyncClient(**configured(server, **profile(home, None))) as client:
        await five_verbs_on_a_loop(client)


def test_a_profile_by_its_arn(server: BedrockServer) -> None:
    """Its slash and its colons are signed as they are encoded."""
    with Client(**configured(server, **EXPLICIT)) as client:
        assert client.chat("Hello!", model="bedrock:arn:aws:bedrock:us-east-1:1:inference-profile/test").text


def test_an_api_key_wins(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", server.key)
    monkeypatch.setitem(sys.modules, "botocore", None)  # and needs no package
    with Client(**configured(server, profile="nobody", region=REGION)) as client:
        assert client.chat("Hello!").text
    assert server.requests[0].headers["authorization"] == f"Bearer {server.key}"


def refused(server: BedrockServer, **fields: Any) -> LLMError:
    with Client(**configured(server, **fields)) as client, pytest.raises(LLMError) as caught:
        client.chat("Hello!", retry={"attempts": 1})
    shows_no_secret(caught.value, client)
    return caught.value


def test_refusals(server: BedrockServer) -> None:
    server.token = TOKEN
    expired = refused(server, **EXPLICIT, session_token=OLD)
    assert (type(expired), expired.code) == (Unauthorized, "ExpiredTokenException")
    assert "aws sso login" in expired.hint
    unknown = refused(server, **{**EXPLICIT, "access_key_id": "AKIANOBODY"})
    assert (type(unknown), unknown.code) == (Unauthorized, "UnrecognizedClientException")
    server.secrets[KEY] = "another"  # the host quotes what it thinks was signed, with the token
    wrong = refused(server, **EXPLICIT, session_token=TOKEN)
    assert (type(wrong), wrong.code) == (Unauthorized, "InvalidSignatureException")
    assert "x-amz-security-token:***" in wrong.message


def test_a_session_that_ended_is_looked_for_anew(server: BedrockServer, home: Path) -> None:
    server.token = TOKEN
    with Client(**configured(server, **profile(home, OLD))) as client:
        with pytest.raises(Unauthorized):
            client.chat("Hello!")
        profile(home, TOKEN)
        assert client.chat("Hello!").text


# --- where they come from -----------------------------------------------------------------------------------------


def sent(**fields: Any) -> dict[bytes, bytes]:
    """The headers of a request to AWS's own host."""
    reply = {"output": {"message": {"content": [{"text": "Hi!"}]}}, "stopReason": "end_turn"}
    io = FakeIO(lambda request: (200, {}, json.dumps(reply).encode()))
    folded(Bedrock("bedrock", Settings(**{"region": REGION, **fields})).generate(HI, io))
    return dict(io.requests[0].headers)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    assert sent()[b"x-amz-security-token"].decode() == TOKEN
    assert KEY.encode() in sent()[b"authorization"]
    assert b"x-amz-security-token" not in sent(**profile(home, None))  # a profile that is named counts more


def test_from_a_container_and_renewed_before_they_end(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def lasting(minutes: int, token: str) -> None:
        ends = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
        body = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": token, "Expiration": ends}
        server.script(path="/role", body=body)

    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.origin}/role")
    chain = Chain(None, REGION)
    lasting(1, OLD)
    lasting(60, TOKEN)
    assert [chain().token for _ in range(3)] == [TOKEN, TOKEN, TOKEN]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("config", "named", "kind", "word"),
    [
        ("", None, MissingKey, "AWS_BEARER_TOKEN_BEDROCK"),
        ("", "nobody", ConfigError, "there is no AWS profile 'nobody'"),
        ("[profile half]\naws_access_key_id = x", "half", MissingKey, "half of an AWS access key"),
        (
            f"[profile bad]\ncredential_process = sh -c 'echo {SECRET} >&2; exit 1'",
            "bad",
            Unauthorized,
            "CredentialRet",
        ),
        ("[profile odd]\nsso_session = nowhere\nsso_account_id = 1\nsso_role_name = r", "odd", Unauthorized, "cannot"),
        ("no ini", None, Unauthorized, "ConfigParseError"),
    ],
)
def test_nothing_is_sent_without_credentials(
    server: BedrockServer, home: Path, config: str, named: str | None, kind: type[LLMError], word: str
) -> None:
    (home / "config").write_text(config, "utf-8")
    provider = Bedrock("bedrock", Settings(region=REGION, profile=named))
    io = FakeIO()  # which answers nothing
    with pytest.raises(kind, match=word) as caught:
        folded(provider.generate(HI, io))
    assert caught.value.hint
    assert io.requests == []
    shows_no_secret(caught.value, provider)


def test_no_loop_waits_for_them() -> None:
    seen = []

    class Slow(Chain):
        def _load(self) -> Any:
            seen.append(threading.current_thread())
            raise MissingKey("none")

    async def ask() -> None:
        with pytest.raises(MissingKey):
            await fetch(Slow(None, REGION), LoopIO())

    anyio.run(ask)
    assert seen != [threading.current_thread()]


def test_a_look_up_that_hangs_ends_with_the_deadline(server: BedrockServer, home: Path) -> None:
    """A role that nobody answers for. The call ends, on every face, and nothing was sent."""
    (home / "config").write_text("[profile slow]\ncredential_process = sleep 20\n", "utf-8")
    with Client(**configured(server, profile="slow", region=REGION)) as client:
        with pytest.raises(DeadlineExceeded):
            client.chat("Hello!", deadline=0.2)
        assert [row.settled for row in client.ledger.rows] == ["none"]
    assert server.requests == []


@pytest.mark.anyio
async def test_a_token_that_does_not_come_ends_with_the_deadline(server: BedrockServer) -> None:
    given = threading.Event()

    def source() -> str:
        given.wait(20)
        return "late"

    table = {"project": "p", "base_url": server.origin, "token_provider": source}
    async with AsyncClient("vertex:gemini-2.5-flash", config={"providers": {"vertex": table}}) as client:
        with pytest.raises(DeadlineExceeded):
            await client.chat("Hello!", deadline=0.2)
        with anyio.move_on_after(0.2) as scope:
            await client.chat("Hello!")
        assert scope.cancelled_caught
    given.set()
    assert server.requests == []


# --- settings -----------------------------------------------------------------------------------------------------


def test_what_cannot_work_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"access_key_id": KEY}, "no secret_access_key"),
        ({"session_token": TOKEN}, "no access_key_id"),
        ({**EXPLICIT, "profile": "work"}, "both profile"),
        ({**EXPLICIT, "secret_access_key": f"{SECRET}\n"}, "line break"),
        ({**EXPLICIT, "secret_access_key": ""}, "is empty"),
        ({"profile": "work", "base_url": "http://elsewhere.example"}, "unencrypted"),
        ({"profile": "work", "base_url": "https://elsewhere.example"}, "no AWS region"),
    ]
    for fields, word in cases:
        with pytest.raises(ConfigError, match=word) as caught:
            Bedrock("bedrock", Settings(**({"region": REGION} | fields if word != "no AWS region" else fields)))
        shows_no_secret(caught.value)
    monkeypatch.setitem(sys.modules, "botocore", None)
    for fields in ({}, {"profile": "work"}):
        with pytest.raises(MissingExtra, match="AWS_BEARER_TOKEN_BEDROCK") as missing:
            Bedrock("bedrock", Settings(region=REGION, **fields))
        assert 'llmsdk[bedrock]"' in missing.value.hint
    assert sent(**{**EXPLICIT, "region": "eu-west-1"})  # an access key in the settings needs no package


def test_the_region_of_the_host_is_signed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    place = "https://vpce-1.bedrock-runtime.us-west-2.vpce.amazonaws.com"
    assert b"/us-west-2/bedrock/" in sent(**{**EXPLICIT, "region": None, "base_url": place})[b"authorization"]
    assert b"/eu-west-1/bedrock/" in sent(**{**EXPLICIT, "region": None})[b"authorization"]


def test_this_machine_is_given_nothing_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert b"authorization" not in sent(base_url="http://127.0.0.1:1")


def test_a_profile_has_a_name(server: BedrockServer) -> None:
    with pytest.raises(ConfigError, match="profile"):
        Client(**configured(server, profile="", region=REGION))


def test_a_file_that_is_not_trusted_directs_no_credentials(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "llmsdk.toml").write_text('[providers.bedrock]\nbase_url = "https://elsewhere.example"\n', "utf-8")
    monkeypatch.chdir(home)
    monkeypatch.setenv("AWS_REGION", REGION)
    with pytest.raises(ConfigError, match="the credentials are this machine's"):
        Client(MODEL)


def test_nothing_of_them_shows(home: Path) -> None:
    provider = Bedrock("bedrock", Settings(**EXPLICIT, session_token=TOKEN))  # type: ignore[arg-type]
    held = Credentials(KEY, SECRET, TOKEN)
    chain = Chain(profile(home, TOKEN)["profile"], REGION)
    assert chain() == held
    text = repr((provider, provider.settings, held, chain, vars(provider)))
    assert not {secret for secret in (SECRET, TOKEN, KEY) if secret in text}
