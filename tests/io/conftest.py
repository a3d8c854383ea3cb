from __future__ import annotations

import contextlib
import gc
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
import trustme
from wire import Handler, Server

import llmsdk.io.http  # noqa: F401 - its import takes a while, which no test should find in its own time
from llmsdk.io.drive import drive
from llmsdk.io.loop import LoopIO
from llmsdk.io.sync import SyncIO

Run = Callable[[Callable[[Any], Awaitable[Any]]], Any]


@pytest.fixture(autouse=True)
def no_environment_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True, scope="module")
def cheap_collections() -> Iterator[None]:
    """Each test looks for what it left open; what was there before need not be looked at again."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=["sync", "asyncio", "trio"])
def face(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a scenario ``async def (io)`` on one of the faces, and closes its connections."""

    def run(scenario: Callable[[Any], Awaitable[Any]]) -> Any:
        if request.param == "sync":
            io = SyncIO()
            try:
                return drive(scenario(io))
            finally:
                io.pools.close()

        async def main() -> Any:
            io = LoopIO()
            try:
                return await scenario(io)
            finally:
                await io.pools.aclose()

        return anyio.run(main, backend=request.param)

    run.name = request.param  # type: ignore[attr-defined]
    yield run
    gc.collect()  # what was left open warns now, in the test that left it


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(handler: Handler, tls: ssl.SSLContext | None = None) -> Server:
            return stack.enter_context(Server(handler, tls))

        yield start


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
