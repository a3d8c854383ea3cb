"""What must be zero in the end: schedules by a state machine, hundreds of cancellations, many requests in a row."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from local_kit import collect, complete
from test_local_scheduler import TEXTS, Reply, alone, native

from llmsdk.errors import RuntimeFault
from llmsdk.io.loop import LoopIO
from llmsdk.types import Message, Request
from llmsdk_providers.local import Local
from llmsdk_providers.local import loader as loader_module
from llmsdk_providers.local import scheduler as scheduler_module
from llmsdk_providers.local.arena import PAGE
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.native import Native
from llmsdk_providers.local.scheduler import Scheduler

torch = pytest.importorskip("torch", reason="the local runtime needs torch")


def held(model: Native) -> int:
    """Pages that are still taken when nothing runs and nothing is remembered."""
    assert all(not arena.owners for arena in model.arenas)
    while model.prefixes.drop():
        pass
    model.arenas.trim()
    return model.arenas.memory.taken


# --- schedules ----------------------------------------------------------------------------------------------------


class SchedulerMachine(RuleBasedStateMachine):
    """Scheduler and cache together, with works that come, go, fail, guess, and have too little memory."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Reply] = []

    @initialize(pages=st.sampled_from([6, 9, 40]), budget=st.sampled_from([7, 40, 512]))
    def begin(self, pages: int, budget: int) -> None:
        self.budget, scheduler_module.BUDGET = scheduler_module.BUDGET, budget
        self.model = native(self.folder, pages)
        self.scheduler = Scheduler(self.model)

    @rule(text=st.sampled_from(TEXTS), count=st.integers(1, 40), fails=st.booleans(), guesses=st.booleans())
    def arrive(self, text: str, count: int, fails: bool, guesses: bool) -> None:
        ids, said = alone(self.folder, text)
        work = Reply(ids, count, fails=fails, lookup=Lookup(len(ids) + count) if guesses else None)
        work.expected = said[:count]  # type: ignore[attr-defined]
        self.live.append(work)

    @rule(n=st.integers(0, 99))
    def leave(self, n: int) -> None:
        if self.live:
            self.live[n % len(self.live)].drop()

    @rule(times=st.integers(1, 8))
    def step(self, times: int) -> None:
        for _ in range(times):
            self.scheduler.step([work for work in self.live if not work.over])
            self.settle([work for work in self.live if work.over])

    @rule()
    def forget(self) -> None:
        self.model.prefixes.drop()

    @rule()
    def trim(self) -> None:
        self.model.arenas.trim()

    def settle(self, over: Sequence[Reply]) -> None:
        for work in over:
            self.scheduler.release(work)
            self.live.remove(work)
            assert work.context is None
            assert isinstance(work.error, RuntimeFault) if work.fails and work.error else work.error is None

    @invariant()
    def every_text_is_the_beginning_of_what_it_is_alone(self) -> None:
        for work in self.live:
            assert work.text == work.expected[: len(work.text)]  # type: ignore[attr-defined]

    @invariant()
    def every_page_belongs_to_one(self) -> None:
        if hasattr(self, "model"):
            memory, arenas = self.model.arenas.memory, self.model.arenas
            homes = [work.context for work in self.live if work.context is not None and work.context.home is not None]
            assert sum(len(arena.owners) for arena in arenas) == len(homes)
            for context in homes:
                assert context.home.arena.owners[context.home.index] is context
                assert not any(layer[:, :, context.computed :].any() for layer in context.home.layers())
            slots = sum(arena.slots * arena.capacity // PAGE for arena in arenas)
            assert memory.taken == slots + len(self.model.prefixes) <= memory.limit

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            for _ in range(3000):
                if not self.live:
                    break
                self.step(1)
            assert not self.live, "all come to an end"
            assert held(self.model) == 0
        finally:
            scheduler_module.BUDGET = self.budget


def test_scheduler_and_cache_as_a_state_machine(tiny: Callable[[str], Path]) -> None:
    SchedulerMachine.folder = tiny("llama")
    run_state_machine_as_test(
        SchedulerMachine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None)
    )


# --- cancellations ------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Native]:
    """The models that are loaded."""
    found, load = [], loader_module.load_runner

    def noting(*given: Any) -> Any:
        found.append(load(*given))
        return found[-1]

    monkeypatch.setattr(loader_module, "load_runner", noting)
    return found


@pytest.mark.anyio
async def test_512_cancelled_at_random_phases_leave_nothing(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], loaded: list[Native], anyio_backend_name: str
) -> None:
    """While they wait, are read, or write; those that are not cancelled in time have the text that they have alone."""
    before = set(threading.enumerate())
    provider, model, rng = fresh(max_batch=16), str(tiny("llama")), random.Random(8)  # noqa: S311
    expected = complete(provider, model, "The dog", max_tokens=12)
    tasks = asyncio.all_tasks() if anyio_backend_name == "asyncio" else set()
    cancelled, whole = 0, 0

    async def one(delay: float, patience: float, request: Request) -> None:
        nonlocal cancelled, whole
        await anyio.sleep(delay)
        with anyio.move_on_after(patience) as scope:
            events = await collect(provider.generate(request, LoopIO()))
            text = "".join(getattr(event, "text", "") for event in events)
            assert text == expected or not isinstance(request.input, str)
            whole += 1
        cancelled += scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for n in range(512):
            asked = "The dog" if n % 4 == 0 else (Message("user", "dog " * rng.randrange(80)),)
            request = Request(model, asked, max_tokens=12 if n % 4 == 0 else 100)
            group.start_soon(one, rng.random() * 1.5, rng.random() ** 3 * 0.5, request)
    assert cancelled + whole == 512
    assert cancelled > 256
    if anyio_backend_name == "asyncio":
        assert asyncio.all_tasks() == tasks
    engine = provider._shelf.get(model)
    deadline = time.monotonic() + 30
    while (engine.load.running or engine.load.waiting) and time.monotonic() < deadline:  # noqa: ASYNC110
        await anyio.sleep(0.01)
    assert (engine.load.running, engine.load.waiting) == (0, 0)
    assert held(loaded[0]) == 0
    assert complete(provider, model, "The dog", max_tokens=12) == expected
    await provider.aclose()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("llmsdk"):
            thread.join(10)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("llmsdk")]


# --- many in a row ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process its memory")
def test_requests_in_a_row_leave_memory_flat() -> None:
    """The short form of ``scripts/soak/engine.py``, which runs 10,000."""
    pytest.importorskip("llguidance", reason="schemas need llguidance")
    file = Path(__file__).parents[3] / "scripts" / "soak" / "engine.py"
    spec = importlib.util.spec_from_file_location("soak", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.soak(105, lambda _: None) < 12, "allocators settle later than that"
