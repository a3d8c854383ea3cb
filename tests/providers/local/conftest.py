"""Models and providers that the tests of the local runtime share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_kit import make_model

from llmsdk.io.drive import drive
from llmsdk_providers.local import Local


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of random models, each architecture made once."""
    torch = pytest.importorskip("torch", reason="the local runtime needs torch")
    pytest.importorskip("transformers", reason="the local runtime needs transformers")
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_model(root / kind, kind)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def stories(shared_data: Path) -> Path:
    """A real model of 260,000 parameters."""
    pytest.importorskip("torch", reason="the local runtime needs torch")
    pytest.importorskip("transformers", reason="the local runtime needs transformers")
    return shared_data / "data" / "model-tinystories-260k"


@pytest.fixture(scope="session")
def local() -> Iterator[Local]:
    """A provider that keeps its models for the whole session."""
    provider = Local("local", Local.Settings(threads=1))
    yield provider
    drive(provider.aclose())


@pytest.fixture
def fresh() -> Iterator[Callable[..., Local]]:
    """Makes providers with settings of their own, and closes them."""
    made: list[Local] = []

    def make(**settings: object) -> Local:
        made.append(Local("local", Local.Settings(**{"threads": 1, **settings})))
        return made[-1]

    yield make
    for provider in made:
        drive(provider.aclose())
