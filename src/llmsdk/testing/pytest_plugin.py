"""Fixtures for pytest, there as soon as llmsdk is installed. A run that uses none of them loads nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from llmsdk.testing import Cassette, FaultServer, Scripted
    from llmsdk.testing.cassette import Mode

MODES = ("once", "replay", "record", "extend")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("llmsdk")
    group.addoption(
        "--llmsdk-cassettes",
        choices=MODES,
        default="once",
        help="what llmsdk_cassette does: record where there is no file (once, the default), only replay (for CI), "
        "record all anew, or extend what is there",
    )


@pytest.fixture
def llmsdk_scripted() -> Scripted:
    """A scripted provider without replies yet: append to its ``replies``."""
    from llmsdk.testing import Scripted

    return Scripted()


@pytest.fixture
def llmsdk_server() -> Iterator[FaultServer]:
    """A running host with every fault of a network."""
    from llmsdk.testing import FaultServer

    with FaultServer() as server:
        yield server


@pytest.fixture
def llmsdk_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of this test: ``cassettes/FILE/TEST.json`` beside its file."""
    from llmsdk.testing import Cassette

    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in request.node.name)
    path = request.path.parent / "cassettes" / request.path.stem / f"{name}.json"
    mode = cast("Mode", request.config.getoption("--llmsdk-cassettes"))
    with Cassette(path, mode=mode) as cassette:
        yield cassette


@pytest.fixture
def llmsdk_no_network() -> Iterator[None]:
    """Nothing but this machine can be reached. For a whole suite: ``pytest.mark.usefixtures`` or an autouse fixture."""
    from llmsdk.testing import no_network

    with no_network():
        yield
