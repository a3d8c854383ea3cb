"""One thread that owns one model and runs every request for it, all of them a step at a time."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from weakref import WeakSet

from llmsdk.errors import ClientClosed, EngineDead, LLMError
from llmsdk.io import wakeups
from llmsdk_providers.local.faults import copied

EXIT_PATIENCE = 10.0
"""Seconds that the interpreter's exit waits for the step under way."""


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine is doing: works in its hands, works that wait, and steps so far."""

    running: int
    waiting: int
    steps: int


class Work(Protocol):
    """Something that wants a model. It tells its caller exactly once how it ended."""

    cancelled: bool
    """May be set from any thread."""
    over: bool

    def fail(self, error: LLMError) -> None:
        """End with an error, unless it has ended."""
        ...

    def drop(self) -> None:
        """End because nobody wants it any more."""
        ...

    def deliver(self) -> None:
        """Give the caller what has come since the last delivery."""
        ...


class Steps(Protocol):
    """A model, and how works advance through it. Whatever goes wrong with one of them ends that one alone."""

    def step(self, works: Sequence[Any]) -> None:
        """Advance works of its own kind, which are in the order of their arrival and not over."""
        ...

    def release(self, work: Any) -> None:
        """Let go what is kept of a work."""
        ...


class Engine:
    """Loads a model on a thread of its own, and runs works on it until it is closed.

    All running works advance together; new ones join and cancelled ones leave between any two steps. An error of one
    ends that work alone. Should the thread itself end, every work ends with ``EngineDead``.
    """

    def __init__(
        self, name: str, load: Callable[[], Steps], *, max_batch: int, died: Callable[[bool], None] | None = None
    ) -> None:
        """
        Args:
            died: told when the thread ends by a fault, not by being closed or for want of a model that can be loaded;
                and whether it had brought a work to its end.
        """
        self._load = load
        self._died = died
        self._max_batch = max_batch
        self._name = name
        self._process = os.getpid()
        self._wake = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._running: list[Work] = []
        self._steps = 0
        self._closing: Literal["drain", "abort"] | None = None
        self._dead: BaseException | None = None
        self._served = False
        self._loaded: Future[None] = Future()
        # A daemon, or the interpreter would wait for it before it runs what closes it.
        self._thread = threading.Thread(target=self._main, name=f"llmsdk-local-{name}", daemon=True)
        _ALIVE.add(self)
        self._thread.start()

    # --- for callers, on any thread -----------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """It can take works, now or when it has loaded its model."""
        return self._dead is None and self._closing is None

    @property
    def load(self) -> Load:
        with self._wake:
            return Load(len(self._running), len(self._waiting), self._steps)

    def ready(self) -> Future[None]:
        """Done when the model is loaded, or with the error of loading it. A future of the caller's own to cancel."""
        self.check_process()
        mine: Future[None] = Future()
        self._loaded.add_done_callback(lambda loaded: _pass_on(loaded, mine))
        return mine

    def submit(self, works: Sequence[Work]) -> None:
        """Run works, in order, as soon as there is room.

        Raises:
            EngineDead: the thread has ended, or this is a forked child, which has no thread.
            ClientClosed: the engine was closed.
        """
        self.check_process()
        with self._wake:
            if self._closing is not None:
                raise ClientClosed(f"the engine of local:{self._name} was closed")
            if self._dead is not None:
                raise self.death()
            self._waiting.extend(works)
            self._wake.notify()

    def check_process(self) -> None:
        """Refuse to wait for a thread that a fork has left behind.

        Raises:
            EngineDead: this process was forked after the model had been opened.
        """
        if os.getpid() != self._process:
            hint = "Make the client after the fork, or start processes with the method 'spawn' or 'forkserver'."
            raise EngineDead(f"local:{self._name} was opened before this process was forked", hint=hint)

    def close(self, *, drain: bool = False, timeout: float | None = None) -> bool:
        """Take no more works; finish what there is (``drain``) or end it now. Says whether the thread is gone."""
        if os.getpid() != self._process:
            return True
        with self._wake:
            if self._closing != "abort":
                self._closing = "drain" if drain else "abort"
            self._wake.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _main(self) -> None:
        end: BaseException = ClientClosed(f"the engine of local:{self._name} was closed")
        try:
            self._loaded.set_running_or_notify_cancel()
            model = self._load()
            self._loaded.set_result(None)
            self._serve(model)
        except BaseException as error:  # noqa: BLE001 - nobody else is there to tell those who wait
            end = error
        finally:
            self._die(end)

    def _serve(self, model: Steps) -> None:
        while works := self._admit():
            for work in works:
                if work.cancelled:
                    work.drop()
            if live := [work for work in works if not work.over]:
                self._steps += 1
                model.step(live)
            for work in works:
                if work.over:
                    self._served = True
                    model.release(work)
                    with self._wake:
                        self._running.remove(work)
            # Only now, so that who sees the end of a work no longer finds it running.
            with wakeups.gathered():
                for work in works:
                    work.deliver()

    def _admit(self) -> tuple[Work, ...]:
        """The works to advance now; none when it is time to end."""
        with self._wake:
            while self._closing != "abort":
                while self._waiting and len(self._running) < self._max_batch:
                    self._running.append(self._waiting.popleft())
                if self._running or self._closing:
                    return tuple(self._running)
                self._wake.wait()
        return ()

    def _die(self, error: BaseException) -> None:
        with self._wake:
            self._dead = error
            works = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
        if self._died is not None and not isinstance(error, LLMError):
            self._died(self._served)
        if not self._loaded.done():
            self._loaded.set_exception(error if isinstance(error, LLMError) else self.death())
        with wakeups.gathered():
            for work in works:
                work.fail(copied(error) if isinstance(error, ClientClosed) else self.death())
                work.deliver()

    def death(self, hint: str = "Ask again: the next request loads the model anew.") -> EngineDead:
        """What to tell those who ask for an engine that has died."""
        error = EngineDead(
            f"the engine of local:{self._name} has ended: {type(self._dead).__name__}: {self._dead}", hint=hint
        )
        error.__cause__ = self._dead
        return error


def _pass_on(loaded: Future[None], mine: Future[None]) -> None:
    if not mine.set_running_or_notify_cancel():
        return
    error = loaded.exception()
    if error is None:
        mine.set_result(None)
    else:
        mine.set_exception(copied(error))


_ALIVE: WeakSet[Engine] = WeakSet()


def _close_all() -> None:
    """End all threads before the interpreter takes the modules from under them."""
    for engine in list(_ALIVE):
        engine.close(timeout=EXIT_PATIENCE)


atexit.register(_close_all)
