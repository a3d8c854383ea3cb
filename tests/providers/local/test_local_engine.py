"""The engine's thread with works that compute nothing: turns, faults, cancelling, closing, dying, forking."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsdk.errors import ClientClosed, EngineDead, InputError, LLMError, OutOfMemory, RuntimeFault
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.engine import Engine
from llmsdk_providers.local.scheduler import Scheduler

torch = pytest.importorskip("torch", reason="the local runtime needs torch")

PATIENCE = 30.0


class Nothing:
    """A model that computes nothing, at once."""

    together, whole_prompts, budget = True, False, None
    embeddings = vocabulary = 1
    longest = 1

    def place(self, context: Context) -> bool:
        context.home = self
        return True

    def soon(self, context: Context, others: object) -> bool:
        return False

    def keep(self, context: Context) -> None: ...

    def release(self, context: Context) -> None:
        context.home, context.computed = None, 0

    def forward(self, pieces: Sequence[Piece]) -> Any:
        for piece in pieces:
            piece.context.computed = piece.end
        return torch.zeros(len(pieces), 1)

    def branches(self, context: Context, rows: object) -> Any:
        raise AssertionError(rows)


RUNNER: Any = Nothing()


class Steps:
    """A work of so many steps, which notes when each ran and how it all ended."""

    def __init__(self, count: int, *, log: list[tuple[str, int]] | None = None, name: str = "") -> None:
        self.cancelled = self.over = False
        self.context: Context | None = None
        self.sampler = self.lookup = None
        self.left = count
        self.name = name
        self.log = [] if log is None else log
        self.ends: list[str | LLMError] = []
        self.told = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        self.entered = threading.Event()

    def begin(self, model: object) -> None:
        self.context = Context([0])

    def accept(self, logits: object, token: object) -> None:
        assert self.context is not None
        self.entered.set()
        assert self.hold.wait(PATIENCE)
        self.left -= 1
        self.log.append((self.name, self.left))
        self.context.ids.append(0)
        if self.left == 0:
            self._end("done")

    def branch(self, model: object) -> None:
        raise AssertionError("it has always something to compute")

    def fail(self, error: LLMError) -> None:
        self._end(error)

    def drop(self) -> None:
        self._end("dropped")

    def deliver(self) -> None:
        if self.ends:
            self.told.set()

    def _end(self, how: str | LLMError) -> None:
        self.over = True
        self.ends.append(how)

    def end(self) -> str | LLMError:
        """How it ended; exactly once."""
        assert self.told.wait(PATIENCE)
        (how,) = self.ends
        return how


class Fails(Steps):
    def __init__(self, error: BaseException) -> None:
        super().__init__(1)
        self.error = error

    def accept(self, logits: object, token: object) -> None:
        raise self.error


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    """Starts engines and closes them; no thread may stay."""
    before = set(threading.enumerate())
    made: list[Engine] = []

    def make(*, max_batch: int = 4, load: Callable[[], Any] = lambda: RUNNER) -> Engine:
        made.append(Engine("test", lambda: Scheduler(load()), max_batch=max_batch))
        return made[-1]

    yield make
    for engine in made:
        assert engine.close(timeout=PATIENCE)
    assert set(threading.enumerate()) == before


def idle(engine: Engine) -> bool:
    load = engine.load
    return load.running == load.waiting == 0


# --- turns --------------------------------------------------------------------------------------------------------


def test_running_works_take_turns(start: Callable[..., Engine]) -> None:
    engine, log = start(), []
    engine.submit([Steps(3, log=log, name="a"), last := Steps(3, log=log, name="b")])
    assert last.end() == "done"
    assert log == [("a", 2), ("b", 2), ("a", 1), ("b", 1), ("a", 0), ("b", 0)]


def test_who_sees_the_end_of_a_work_no_longer_finds_it_running(start: Callable[..., Engine]) -> None:
    engine = start()
    for _ in range(50):
        engine.submit([work := Steps(1)])
        work.end()
        assert idle(engine)


def test_a_new_work_joins_between_two_steps(start: Callable[..., Engine]) -> None:
    engine = start()
    engine.submit([long := Steps(10_000_000)])
    assert long.entered.wait(PATIENCE)
    engine.submit([short := Steps(1)])
    assert short.end() == "done"
    assert not long.told.is_set()
    long.cancelled = True


def test_works_beyond_the_batch_wait_in_order(start: Callable[..., Engine]) -> None:
    engine, log = start(max_batch=2), []
    works = [Steps(2, log=log, name=name) for name in "abc"]
    works[0].hold.clear()
    engine.submit(works)
    assert works[0].entered.wait(PATIENCE)
    assert (engine.load.running, engine.load.waiting) == (2, 1)
    works[0].hold.set()
    assert [work.end() for work in works] == ["done"] * 3
    assert log.index(("c", 1)) > log.index(("a", 0))


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    cancelled=st.sets(st.integers(0, 11)),
    faulty=st.sets(st.integers(0, 11)),
    max_batch=st.integers(1, 4),
)
def test_every_work_ends_exactly_once(sizes: list[int], cancelled: set[int], faulty: set[int], max_batch: int) -> None:
    engine = Engine("test", lambda: Scheduler(RUNNER), max_batch=max_batch)
    works: list[Steps] = [Fails(ValueError("x")) if n in faulty else Steps(size) for n, size in enumerate(sizes)]
    for n, work in enumerate(works):
        work.cancelled = n in cancelled
        engine.submit([work])
    for n, work in enumerate(works):
        how = work.end()
        assert how == "dropped" if n in cancelled else isinstance(how, LLMError) if n in faulty else how == "done"
    assert engine.close(drain=True, timeout=PATIENCE)
    assert idle(engine)


# --- cancelling ---------------------------------------------------------------------------------------------------


def test_a_cancelled_work_takes_no_further_step(start: Callable[..., Engine]) -> None:
    engine = start()
    work = Steps(1_000_000)
    work.hold.clear()
    engine.submit([work])
    assert work.entered.wait(PATIENCE)
    work.cancelled = True
    work.hold.set()
    assert work.end() == "dropped"
    assert len(work.log) == 1, "the step under way, and no other"
    engine.submit([after := Steps(1)])
    assert after.end() == "done"


def test_a_work_cancelled_while_it_waits_never_runs(start: Callable[..., Engine]) -> None:
    engine = start(max_batch=1)
    first, second = Steps(1), Steps(1)
    first.hold.clear()
    engine.submit([first, second])
    assert first.entered.wait(PATIENCE)
    second.cancelled = True
    first.hold.set()
    assert second.end() == "dropped"
    assert second.log == []


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("bad"), InputError),
        (MemoryError(), OutOfMemory),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 1 bytes"),
            OutOfMemory,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemory),
        (IndexError("index out of range in self"), RuntimeFault),
    ],
)
def test_a_fault_ends_its_own_work_alone(start: Callable[..., Engine], error: Exception, kind: type) -> None:
    engine = start()
    works = [Steps(3), Fails(error), Steps(3)]
    engine.submit(works)
    how = works[1].end()
    assert type(how) is kind
    assert [works[0].end(), works[2].end()] == ["done", "done"]
    assert engine.alive


def test_a_fault_does_not_hold_the_tensors_of_its_step(start: Callable[..., Engine]) -> None:
    class Tensor:
        alive = 0

        def __init__(self) -> None:
            Tensor.alive += 1

        def __del__(self) -> None:
            Tensor.alive -= 1

    class Computes(Steps):
        def accept(self, logits: object, token: object) -> None:
            held = Tensor()
            raise ValueError(f"with {id(held)} in its frame")

    engine = start()
    engine.submit([work := Computes(1)])
    assert isinstance(work.end(), RuntimeFault)
    engine.submit([after := Steps(1)])
    assert after.end() == "done"
    assert Tensor.alive == 0


def test_death_of_the_thread_ends_everything(start: Callable[..., Engine]) -> None:
    engine = start(max_batch=2)
    first, waiting = Steps(5), Steps(5)
    first.hold.clear()
    engine.submit([first])
    assert first.entered.wait(PATIENCE)
    engine.submit([Fails(SystemExit(3)), waiting])
    first.hold.set()
    for how in (first.end(), waiting.end()):
        assert isinstance(how, EngineDead)
        assert "SystemExit" in str(how)
    assert first.end() is not waiting.end()
    assert not engine.alive
    with pytest.raises(EngineDead):
        engine.submit([Steps(1)])
    assert idle(engine)


# --- loading ------------------------------------------------------------------------------------------------------


def test_who_waits_for_the_model_gets_a_future_of_his_own(start: Callable[..., Engine]) -> None:
    go = threading.Event()
    engine = start(load=lambda: go.wait(PATIENCE) and RUNNER)
    one, other = engine.ready(), engine.ready()
    assert one.cancel()
    go.set()
    assert other.result(PATIENCE) is None
    assert engine.ready().result(0) is None


def test_an_error_of_loading_reaches_everyone_as_a_copy(start: Callable[..., Engine]) -> None:
    def load() -> Any:
        raise InputError("no such model", argument="model") from OSError("disk")

    engine = start(load=load)
    errors = [engine.ready().exception(PATIENCE) for _ in range(2)]
    assert [str(error) for error in errors] == ["no such model"] * 2
    assert errors[0] is not errors[1]
    assert all(isinstance(error and error.__cause__, OSError) for error in errors)
    assert not engine.alive


def test_loading_that_ends_the_thread(start: Callable[..., Engine]) -> None:
    def load() -> Any:
        raise SystemExit

    with pytest.raises(EngineDead):
        start(load=load).ready().result(PATIENCE)


# --- closing ------------------------------------------------------------------------------------------------------


def test_closing_ends_what_runs_and_what_waits(start: Callable[..., Engine]) -> None:
    engine = start(max_batch=1)
    works = [Steps(1_000_000), Steps(1)]
    engine.submit(works)
    assert works[0].entered.wait(PATIENCE)
    assert engine.close(timeout=PATIENCE)
    assert all(isinstance(work.end(), ClientClosed) for work in works)
    with pytest.raises(ClientClosed):
        engine.submit([Steps(1)])


def test_draining_finishes_everything_first(start: Callable[..., Engine]) -> None:
    engine = start(max_batch=1)
    works = [Steps(50), Steps(50)]
    engine.submit(works)
    assert engine.close(drain=True, timeout=PATIENCE)
    assert [work.end() for work in works] == ["done", "done"]


def test_closing_twice_and_from_its_own_thread(start: Callable[..., Engine]) -> None:
    engine = start()

    class Closes(Steps):
        def accept(self, logits: object, token: object) -> None:
            engine.close()
            super().accept(logits, token)

    engine.submit([Closes(2)])
    assert engine.close(timeout=PATIENCE)
    assert engine.close()


def test_an_idle_engine_does_not_hold_up_the_exit_of_the_interpreter() -> None:
    import subprocess
    import sys

    code = (
        "from llmsdk_providers.local.context import Context\n"
        "from llmsdk_providers.local.engine import Engine\n"
        "from llmsdk_providers.local.scheduler import Scheduler\n"
        "import threading, time, torch\n"
        "class Nothing:\n"
        "    together, budget = True, None\n"
        "    whole_prompts = False\n"
        "    def soon(self, context, others): return False\n"
        "    def place(self, context): context.home = 1\n"
        "    def forward(self, pieces): time.sleep(0.01); return torch.zeros(1, 1)\n"
        "class Endless:\n"
        "    cancelled = over = False\n"
        "    context = sampler = lookup = None\n"
        "    def begin(self, model): self.context = Context([0])\n"
        "    def accept(self, logits, token): pass\n"
        "    def fail(self, error): print(type(error).__name__)\n"
        "    def drop(self): print('dropped')\n"
        "    def deliver(self): pass\n"
        "engine = Engine('x', lambda: Scheduler(Nothing()), max_batch=1)\n"
        "engine.ready().result()\n"
        "engine.submit([Endless()])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "ClientClosed", "")


# --- forking ------------------------------------------------------------------------------------------------------


def in_child(engine: Engine, answers: Any) -> None:
    found = []
    for call in (lambda: engine.submit([Steps(1)]), engine.ready):
        try:
            call()
        except EngineDead as error:
            found.append(error.hint)
    engine.close()
    answers.send(found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_and_never_hangs(start: Callable[..., Engine]) -> None:
    engine = start()
    engine.submit([busy := Steps(1_000_000)])
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=in_child, args=(engine, theirs))
    child.start()
    answered = ours.poll(PATIENCE)
    if not answered:
        child.kill()
    child.join()
    assert answered
    hints = ours.recv()
    for end in (ours, theirs):
        end.close()
    assert len(hints) == 2
    assert all("spawn" in hint for hint in hints)
    assert child.exitcode == 0
    assert engine.alive
    busy.cancelled = True
