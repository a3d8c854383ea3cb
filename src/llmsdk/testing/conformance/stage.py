"""A provider before its host, set up anew for each case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from llmsdk import health, limits
from llmsdk.client import AsyncClient, Client
from llmsdk.io import IO, closing
from llmsdk.testing.conformance.backend import Backend, Fault, HTTPAnswer, NotOffered, Received, Said
from llmsdk.testing.conformance.case import Skip
from llmsdk.testing.conformance.server import PATIENCE, Server
from llmsdk.testing.faults import Fault as Delivery
from llmsdk.testing.server import NO_FAULT
from llmsdk.types import Event, Request

KEY = "conformance-Key0123456789abcdef"
"""The key of every host here: it must show nowhere but in a header."""
NAME = "tested"
OPTIONS: Mapping[str, Any] = {
    "retry": {"attempts": 1},
    "timeout": {"connect": PATIENCE, "first_token": PATIENCE, "idle": PATIENCE, "total": 6 * PATIENCE},
}


@dataclass(slots=True)
class Heard:
    """One ``generate``: what was asked, what it yielded, and whether it was closed."""

    request: Request
    events: list[Event] = field(default_factory=list)
    ended: bool = False


class Subject:
    """The class under test with all that it needs: a backend if it is over HTTP, its settings, a model to ask.

    Without a backend the provider runs in this process, and one instance serves the whole suite.
    """

    def __init__(
        self,
        kind: Any,
        backend: Backend | type[Backend] | None = None,
        *,
        model: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind: Any = kind
        self.backend: Backend | None = backend() if isinstance(backend, type) else backend
        self.model: str = model or (self.backend.model if self.backend else "test-model")
        self.given: Mapping[str, Any] = settings or {}
        self.heard: list[Heard] = []

    def make(self, origin: str, name: str = NAME, **changes: Any) -> Any:
        """A provider for the host at ``origin``. Settings that are changed to ``None`` are left out."""
        own = self.backend.settings(origin, KEY) if self.backend else {}
        given = {**own, **self.given, **changes}
        table = {key: value for key, value in given.items() if value is not None}
        return watched(self.kind, self.heard)(name, self.kind.Settings(**table))

    @cached_property
    def resident(self) -> Any:
        """The one instance of a provider in this process."""
        return self.make("")

    def close(self) -> None:
        """Close the provider in this process, where there is one."""
        if "resident" in self.__dict__:
            _close(self.resident)


def watched(kind: Any, heard: list[Heard]) -> Any:
    """The class, which notes what ``generate`` is asked and yields."""

    class Watched(kind):  # type: ignore[misc]  # a class that is known when it runs
        async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
            turn = Heard(request)
            heard.append(turn)
            try:
                async with closing(super().generate(request, io)) as events:
                    async for event in events:
                        turn.events.append(event)
                        yield event
            finally:
                turn.ended = True

    Watched.__name__, Watched.__qualname__ = kind.__name__, kind.__qualname__
    return Watched


class Stage:
    """What a case works with. ``face`` is the client that it is tried on."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.model: str = subject.model
        self.heard: list[Heard] = subject.heard
        self._stack = ExitStack()
        self._scene: Callable[[Received], HTTPAnswer] = _nothing

    def __enter__(self) -> Self:
        self.heard.clear()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # --- the two sides ------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """The host. A case that needs one is skipped where there is none."""
        if self.subject.backend is None:
            raise Skip("needs a host that can be told what to say, and no backend was given")
        return self.subject.backend

    @cached_property
    def server(self) -> Server:
        return self._stack.enter_context(Server(lambda request: self._scene(request)))

    @cached_property
    def provider(self) -> Any:
        if self.subject.backend is None:
            return self.subject.resident
        provider = self.subject.make(self.server.origin)
        self._stack.callback(_close, provider)
        return provider

    @cached_property
    def can(self) -> Any:
        """The capabilities of the model under test."""
        return self.provider.capabilities(self.model)

    def client(self, **options: Any) -> Client:
        """A client that knows nothing of what others have met at this host."""
        _forget()
        return Client(f"{NAME}:{self.model}", config={}, provider=self.provider, **{**OPTIONS, **options})

    def async_client(self, **options: Any) -> AsyncClient:
        _forget()
        return AsyncClient(f"{NAME}:{self.model}", config={}, provider=self.provider, **{**OPTIONS, **options})

    # --- what the host says -------------------------------------------------------------------------------------

    def says(self, said: Said | Callable[[Received], Said], delivery: Delivery = NO_FAULT) -> None:
        """From now on the host answers so. In this process nobody can be told what to say."""
        if self.subject.backend is None:
            return
        backend = self.subject.backend

        def scene(request: Received) -> HTTPAnswer:
            stream = bool(self.heard) and self.heard[-1].request.stream
            return backend.reply(said(request) if callable(said) else said, request, stream=stream)

        self.answers(scene, delivery)

    def refuses(self, fault: Fault) -> None:
        self.answers(lambda request: self.backend.refusal(fault, request))

    def fails(self, said: Said) -> None:
        """A reply that turns out to be an error."""
        self.answers(lambda request: self.backend.failure(said, request, stream=self.heard[-1].request.stream))

    def answers(self, scene: Callable[[Received], HTTPAnswer], delivery: Delivery = NO_FAULT) -> None:
        self.server.always = delivery
        self._scene = scene

    @property
    def sent(self) -> Sequence[Received]:
        """The requests that reached the host."""
        return self.server.requests if "server" in self.__dict__ else ()

    @property
    def fault(self) -> Exception | None:
        """What the backend raised, if it did."""
        return self.server.fault if "server" in self.__dict__ else None


def _nothing(request: Received) -> HTTPAnswer:
    raise NotOffered("nothing was to be said yet")


def _forget() -> None:
    """Each rule meets the host anew: it is not held back by the refusals, or the faults, of those before."""
    health.ACCOUNTS.forget()
    limits.ACCOUNTS.forget()


def _close(provider: Any) -> None:
    import anyio

    anyio.run(provider.aclose)


__all__ = ["KEY", "NAME", "Heard", "Stage", "Subject", "watched"]
