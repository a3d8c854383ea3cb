"""The circuit of an account: opened by faults in a row, tried by one request at a time, closed by an answer."""

from __future__ import annotations

import contextlib
import itertools
import socket
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scripted import Scripted, says

from llmsdk import Budget, Client
from llmsdk.core import Core
from llmsdk.errors import (
    BadResponse,
    BudgetExceeded,
    CircuitOpen,
    ConnectFailed,
    DeadlineExceeded,
    Disconnected,
    InvalidRequest,
    LLMError,
    Overloaded,
    RateLimited,
    ServerFault,
    StreamInterrupted,
    TimedOut,
    Unauthorized,
)
from llmsdk.health import Circuit, CircuitPolicy, is_alive
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.tasks import complete
from llmsdk.types import TextDelta

FAULTS = [Overloaded("busy"), ServerFault("500"), ConnectFailed("down"), Disconnected("gone"), TimedOut("late")]
ALIVE = [RateLimited("slow"), InvalidRequest("no"), Unauthorized("who?")]
NEITHER = [BadResponse("html"), DeadlineExceeded("late"), Disconnected("idle", stale=True), KeyboardInterrupt()]
_numbers = itertools.count()


class Hosted(Scripted):
    """A scripted provider that says whom it asks."""

    contract: ClassVar[int] = 1

    def __init__(self, *scripts: Any, account: str = "", **options: Any) -> None:
        super().__init__(*scripts, **options)
        self.account = account or f"host#{next(_numbers)}"


def core(provider: Any, *others: Any, model: str = "scripted:m", **config: Any) -> Core:
    given = {"circuit": {"failures": 3, "cooldown": 10.0}, **config}
    return Core.build(model, given, [provider, *others], {"retry": 1})


def ask(core: Core, io: FakeIO, **options: Any) -> Any:
    return drive(core.run("complete", complete.check("x"), options, io))


def fails(core: Core, io: FakeIO, kind: type[BaseException] = LLMError, **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        ask(core, io, **options)
    return caught.value


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_faults_in_a_row_open_it_and_nothing_is_sent(fault: LLMError) -> None:
    provider, io = Hosted(*([fault] for _ in range(9))), FakeIO()
    c = core(provider)
    for _ in range(3):
        fails(c, io, type(fault))
    rows = len(c.shared.ledger.rows)
    io.advance(4)
    error = fails(c, io, CircuitOpen)
    assert error.retry_after == pytest.approx(6)
    assert "in 6 s" in error.hint
    assert "scripted" in error.message
    assert len(provider.requests) == len(c.shared.ledger.rows) == rows == 3
    assert c.shared.ledger.open == ()


@pytest.mark.parametrize("answer", [*ALIVE, None], ids=lambda error: type(error).__name__)
def test_any_answer_between_keeps_it_closed(answer: LLMError | None) -> None:
    between = says("ok") if answer is None else [answer]
    scripts = [[FAULTS[0]], [FAULTS[0]], between] * 4
    provider, io = Hosted(*scripts), FakeIO()
    c = core(provider)
    for _ in range(3 * 4):
        with contextlib.suppress(*{type(error) for error in (*FAULTS, *ALIVE)}):
            ask(c, io)
    assert len(provider.requests) == 12


def test_what_shows_neither_does_not_count() -> None:
    assert [is_alive(error) for error in NEITHER] == [None] * 4
    assert is_alive(StreamInterrupted("cut")) is None


def test_a_stream_that_breaks_off_came_from_a_living_host() -> None:
    provider, io = Hosted(*([TextDelta("a"), Disconnected("gone")] for _ in range(9))), FakeIO()
    c = core(provider)
    for _ in range(9):
        fails(c, io, StreamInterrupted)
    assert len(provider.requests) == 9


def test_one_request_tries_and_its_fate_decides() -> None:
    provider, io = Hosted(*([ServerFault("500")] for _ in range(4)), says("back"), says("all")), FakeIO()
    c = core(provider)
    for _ in range(3):
        fails(c, io, ServerFault)
    io.advance(10)
    fails(c, io, ServerFault)  # the one that tries
    fails(c, io, CircuitOpen)
    io.advance(10)
    assert ask(c, io).text == "back"
    assert ask(c, io).text == "all"
    assert len(provider.requests) == 6


def test_a_try_that_is_cancelled_keeps_nobody_out_for_longer() -> None:
    provider, io = Hosted(*([ServerFault("500")] for _ in range(3)), [KeyboardInterrupt()], says("back")), FakeIO()
    c = core(provider)
    for _ in range(3):
        fails(c, io, ServerFault)
    io.advance(10)
    fails(c, io, KeyboardInterrupt)
    fails(c, io, CircuitOpen)
    io.advance(10)
    assert ask(c, io).text == "back"


def test_a_try_that_a_budget_refuses_is_left_to_the_next() -> None:
    provider, io = Hosted(*([ServerFault("500")] for _ in range(3)), says("back")), FakeIO()
    c = core(provider)
    for _ in range(3):
        fails(c, io, ServerFault)
    io.advance(10)
    fails(c, io, BudgetExceeded, budget=Budget(requests=0))
    assert ask(c, io).text == "back"


def test_a_retry_that_would_meet_it_open_raises_the_fault_itself() -> None:
    provider, io = Hosted(*([Overloaded("busy")] for _ in range(9))), FakeIO()
    error = fails(core(provider), io, Overloaded, retry={"attempts": 9, "base": 0})
    assert len(provider.requests) == len(error.attempts) == 3
    assert "failed in a row" in error.hint


def test_an_open_one_falls_to_the_next_model_at_once() -> None:
    dead, alive = Hosted(*([Overloaded("busy")] for _ in range(3)), name="dead"), Hosted(name="alive")
    alive.replies = [says(f"reply {number}") for number in range(5)]
    io = FakeIO()
    c = core(dead, alive, model="smart", models={"smart": ["dead:m", "alive:m"]})
    assert [ask(c, io).text for _ in range(5)] == [f"reply {number}" for number in range(5)]
    assert len(dead.requests) == 3
    assert io.slept == []


def test_it_can_be_turned_off() -> None:
    provider, io = Hosted(*([Overloaded("busy")] for _ in range(30))), FakeIO()
    c = core(provider, circuit={"failures": 0})
    for _ in range(30):
        fails(c, io, Overloaded)
    assert len(provider.requests) == 30


def test_clients_of_one_account_share_it_and_others_do_not() -> None:
    io = FakeIO()
    account = f"host#{next(_numbers)}"
    first = core(Hosted(*([Overloaded("busy")] for _ in range(3)), account=account))
    second, other = core(Hosted(says("never"), account=account)), core(Hosted(says("ok")))
    for _ in range(3):
        fails(first, io, Overloaded)
    fails(second, io, CircuitOpen)
    assert ask(other, io).text == "ok"


def test_whoever_has_turned_it_off_opens_it_for_nobody() -> None:
    circuit = Circuit()
    circuit.failed(CircuitPolicy(failures=0), 0.0)
    assert circuit.until is None


def test_who_asks_no_host_has_none() -> None:
    provider, io = Scripted(*([Overloaded("busy")] for _ in range(30))), FakeIO()
    c = core(provider)
    for _ in range(30):
        fails(c, io, Overloaded)


class Model(RuleBasedStateMachine):
    """Against the plain description: closed, open until a time, and one try each cooldown from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 0.0
        self.row = 0
        self.under_way = 0
        self.opened: float | None = None
        """Of the model: since when, or since the latest try."""

    @initialize(failures=st.integers(1, 4), cooldown=st.floats(0.5, 20))
    def begin(self, failures: int, cooldown: float) -> None:
        self.policy = CircuitPolicy(failures, cooldown)

    @rule(seconds=st.floats(0.1, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def enter(self) -> None:
        may = self.opened is None or self.now >= self.opened + self.policy.cooldown
        if not may:
            with pytest.raises(CircuitOpen) as caught:
                self.circuit.enter("host", self.policy, self.now)
            assert self.opened is not None
            assert caught.value.retry_after == pytest.approx(self.opened + self.policy.cooldown - self.now)
            return
        self.circuit.enter("host", self.policy, self.now)
        self.under_way += 1
        if self.opened is not None:
            self.opened = self.now

    @precondition(lambda self: self.opened is None or self.now >= self.opened + self.policy.cooldown)
    @rule()
    def enter_and_send_nothing(self) -> None:
        due = self.circuit.enter("host", self.policy, self.now)
        assert (due is None) == (self.opened is None)
        if due is not None:
            self.circuit.leave(due)

    @precondition(lambda self: self.under_way)
    @rule(alive=st.sampled_from([True, False, None]))
    def settle(self, alive: bool | None) -> None:
        self.under_way -= 1
        if alive:
            self.circuit.answered()
            self.row, self.opened = 0, None
        elif alive is False:
            self.circuit.failed(self.policy, self.now)
            self.row += 1
            if self.row >= self.policy.failures and self.opened is None:
                self.opened = self.now

    @invariant()
    def agrees(self) -> None:
        assert (self.circuit.until is None) == (self.opened is None)
        assert self.circuit.failures == self.row


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_dead_host_on_a_socket(dead_port: int) -> None:
    config = {"circuit": {"failures": 2}, "retry": {"base": 0.0}}
    url = f"http://127.0.0.1:{dead_port}/v1"
    with Client("openai:m", base_url=url, api_key="sk-circuit", config=config) as client:
        with pytest.raises(ConnectFailed) as caught:
            client.chat("Hi!")
        assert len(caught.value.attempts) == 2
        with pytest.raises(CircuitOpen) as refused:
            client.chat("Hi!")
        assert refused.value.attempts == ()
        assert "sk-circuit" not in str(refused.value)
