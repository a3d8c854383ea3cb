"""A provider for llmsdk that repeats what it hears, word by word. It needs no network.

Client("parrot:polly").chat("Hello there!").text      # "Hello there! Squawk!"
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import ClassVar

from llmsdk.errors import UnknownModel
from llmsdk.io import IO
from llmsdk.provider import CONTRACT, Capabilities, Settings
from llmsdk.types import Event, Finish, Model, Output, Request, TextDelta, TokenCount, Usage

BIRDS = {"polly": "Squawk!", "coco": "Coco!"}


class ParrotSettings(Settings):
    """What ``[providers.parrot]`` may hold."""

    pause: float = 0.0
    """Seconds between two words."""


class Parrot:
    contract: ClassVar[int] = CONTRACT
    Settings: ClassVar[type[ParrotSettings]] = ParrotSettings
    key_variables: ClassVar[tuple[str, ...]] = ()
    loop_bound: ClassVar[bool] = False

    def __init__(self, name: str, settings: ParrotSettings) -> None:
        self.name = name
        self.settings = settings

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(complete=True, options=frozenset({"max_tokens"}))

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        """The last message, and a squawk."""
        if request.model not in BIRDS:
            raise UnknownModel(f"no parrot is called {request.model!r}", hint=f"Known: {', '.join(BIRDS)}.")
        words = _words(f"{request.messages[-1].text} {BIRDS[request.model]}")
        said = words[: request.max_tokens]
        for word in said:
            if self.settings.pause:
                await io.sleep(self.settings.pause)
            yield TextDelta(word)
        yield Usage(self.count(request).value, len(said))
        yield Finish("stop" if len(said) == len(words) else "length")

    def count(self, request: Request) -> TokenCount:
        """A parrot's tokens are words."""
        return TokenCount(sum(len(_words(message.text)) for message in request.messages), "local")

    async def models(self, io: IO) -> AsyncIterator[Event]:
        yield Output(tuple(Model(bird, self.name) for bird in BIRDS))

    async def aclose(self) -> None:
        """Nothing to close."""


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)
