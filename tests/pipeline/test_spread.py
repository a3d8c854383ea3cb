"""Several keys or hosts for the same: who is asked, when another one is, and what is known of each afterwards."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from scripted import FULL, Scripted, says

from llmsdk import Client
from llmsdk.core import Core
from llmsdk.errors import (
    CircuitOpen,
    ConfigError,
    ConnectFailed,
    Disconnected,
    InvalidRequest,
    LLMError,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    StreamInterrupted,
    Unauthorized,
    Unsupported,
)
from llmsdk.health import CircuitPolicy, Flight, Health, Load
from llmsdk.io.drive import drive
from llmsdk.io.fake import FakeIO
from llmsdk.pipeline.members import Choice, Member, Members
from llmsdk.provider import Capabilities
from llmsdk.tasks import classify, complete
from llmsdk.types import TextDelta, ToolCall

KEYED = [Unauthorized, PermissionDenied, QuotaExhausted]
_numbers = itertools.count()


class Hosted(Scripted):
    """A scripted provider that says whom it asks."""

    contract: ClassVar[int] = 1

    def __init__(self, name: str, *scripts: Any, **options: Any) -> None:
        super().__init__(*scripts, name=name, **options)
        self.account = f"spread#{next(_numbers)}"


def hosts(*scripts: Any, **options: Any) -> list[Hosted]:
    """Hosts ``h1``, ``h2`` and so on, each with a script, which say their names when it has ended."""
    return [
        Hosted(f"h{number}", *script, **{"default": says(f"h{number}"), **options})
        for number, script in enumerate(scripts, start=1)
    ]


def core(members: list[Any], *models: str, **config: Any) -> Core:
    named = list(models) or [f"{member.name}:m" for member in members]
    given = {"models": {"fast": {"spread": named}}, "retry": {"base": 0.0}, **config}
    return Core.build("fast", given, members, {})


def ask(core: Core, io: FakeIO, **options: Any) -> Any:
    return drive(core.run("complete", complete.check("x"), options, io))


def fails(core: Core, io: FakeIO, kind: type[BaseException] = LLMError, **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        ask(core, io, **options)
    return caught.value


def asked(core: Core) -> list[str]:
    return [row.provider for row in core.shared.ledger.rows]


def loads(core: Core) -> list[int]:
    return [member.load.under_way for members in core.shared.sharing.values() for member in members]


# --- who is asked -----------------------------------------------------------------------------------------------


def test_one_after_the_other_as_long_as_nobody_is_busy() -> None:
    c, io = core(hosts([], [], [])), FakeIO()
    texts = [ask(c, io).text for _ in range(9)]
    assert texts == ["h1", "h2", "h3"] * 3
    assert asked(c) == texts
    assert loads(c) == [0, 0, 0]


def test_a_stream_counts_until_it_is_closed() -> None:
    c, io = core(hosts([], [])), FakeIO()
    stream = c.flow("complete", complete.check("x"), {}, io).events()
    assert drive(anext(stream))  # type: ignore[arg-type]
    assert loads(c) == [1, 0]
    assert [ask(c, io).provider for _ in range(3)] == ["h2"] * 3
    drive(stream.aclose())  # type: ignore[attr-defined]
    assert loads(c) == [0, 0]
    assert ask(c, io).provider == "h1"


def test_nobody_is_chosen_before_it_begins() -> None:
    c, io = core(hosts([], [])), FakeIO()
    later = c.run("complete", complete.check("x"), {}, io)
    assert ask(c, io).provider == "h1"
    assert ask(c, io).provider == "h2"
    assert drive(later).provider == "h1"


def test_the_model_of_each_host_is_its_own() -> None:
    members = hosts([], [])
    c, io = core(members, "h1:small", "h2:small-2026"), FakeIO()
    results = [ask(c, io) for _ in range(2)]
    assert [(result.provider, result.model) for result in results] == [("h1", "small"), ("h2", "small-2026")]
    assert [(row.provider, row.model) for row in c.shared.ledger.rows] == [("h1", "small"), ("h2", "small-2026")]
    assert [member.requests[0].model for member in members] == ["small", "small-2026"]


def test_clients_of_one_process_count_together() -> None:
    members, io = hosts([], []), FakeIO()
    first, second = core(members), core(members)
    stream = first.flow("complete", complete.check("x"), {}, io).events()
    drive(anext(stream))  # type: ignore[arg-type]
    assert [ask(second, io).provider for _ in range(2)] == ["h2", "h2"]
    drive(stream.aclose())  # type: ignore[attr-defined]


# --- when another one is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", KEYED)
def test_a_refused_key_is_left_alone_and_tried_again_by_one(refusal: type[LLMError]) -> None:
    c, io = core(hosts([[refusal("no")], [refusal("no")]], [])), FakeIO()
    result = ask(c, io)
    assert result.text == "h2"
    assert [(row.provider, row.error) for row in result.attempts] == [("h1", refusal.__name__), ("h2", None)]
    assert result.warnings == (f"h1 was refused ({refusal.__name__}), and another one was asked",)
    assert [ask(c, io).provider for _ in range(3)] == ["h2"] * 3
    io.advance(60)
    assert len(ask(c, io).attempts) == 2  # it tries, in vain
    assert [len(ask(c, io).attempts) for _ in range(3)] == [1] * 3
    io.advance(60)
    assert [ask(c, io).provider for _ in range(4)] == ["h1", "h2", "h1", "h2"]
    assert io.slept == []


def test_the_cooldown_is_set() -> None:
    c, io = core(hosts([[Unauthorized("who?")]], []), circuit={"key_cooldown": 5}), FakeIO()
    assert [ask(c, io).provider for _ in range(2)] == ["h2", "h2"]
    io.advance(5)
    assert ask(c, io).provider == "h1"


def test_a_limited_key_is_left_alone_as_long_as_it_says() -> None:
    c, io = core(hosts([[RateLimited("slow", retry_after=7.0)]], [])), FakeIO()
    assert [ask(c, io).provider for _ in range(3)] == ["h2"] * 3
    io.advance(7)
    assert ask(c, io).provider == "h1"
    assert io.slept == []


def test_where_all_are_limited_the_first_that_is_back_is_waited_for() -> None:
    slow, soon = RateLimited("slow", retry_after=50.0), RateLimited("slow", retry_after=3.0)
    c, io = core(hosts([[soon]], [[slow]])), FakeIO()
    result = ask(c, io)
    assert [row.provider for row in result.attempts] == ["h1", "h2", "h1"]
    assert sum(io.slept) == pytest.approx(3.0)


def test_a_wait_that_all_ask_for_is_bounded_as_ever() -> None:
    slow = RateLimited("slow", retry_after=1000.0)
    c, io = core(hosts([[slow]], [[slow]])), FakeIO()
    error = fails(c, io, RateLimited)
    assert "1,000 s" in error.hint
    assert "the patience is 300 s" in error.hint
    assert "2 of 2 keys or hosts were tried" in error.hint
    assert io.slept == []


def test_the_error_of_the_last_says_how_many_were_tried() -> None:
    c, io = core(hosts(*[[[error("no")]] for error in KEYED])), FakeIO()
    error = fails(c, io, QuotaExhausted)
    assert "3 of 3 keys or hosts were tried." in error.hint
    assert (error.provider, error.model) == ("h3", "m")
    assert [row.error for row in error.attempts] == ["Unauthorized", "PermissionDenied", "QuotaExhausted"]
    assert loads(c) == [0, 0, 0]


def test_where_all_are_left_alone_one_is_asked_all_the_same() -> None:
    c, io = core(hosts([[Unauthorized("who?")]] * 1, [[Unauthorized("who?")]] * 2)), FakeIO()
    fails(c, io, Unauthorized)
    result = ask(c, io)
    assert result.provider == "h1"  # the first to be back, and it is well again
    assert len(result.attempts) == 1


@pytest.mark.parametrize(
    "error", [InvalidRequest("no"), StreamInterrupted("cut")], ids=lambda error: type(error).__name__
)
def test_what_is_the_question_s_own_goes_nowhere_else(error: LLMError) -> None:
    c, io = core(hosts([[error]], [])), FakeIO()
    assert fails(c, io, type(error)).provider == "h1"
    assert asked(c) == ["h1"]


def test_nothing_goes_on_after_the_first_words() -> None:
    c, io = core(hosts([[TextDelta("a"), Unauthorized("expired")]], [])), FakeIO()
    fails(c, io, Unauthorized)
    assert asked(c) == ["h1"]


def test_a_retry_goes_to_another_host_and_does_not_wait_for_it() -> None:
    c, io = core(hosts([[Overloaded("busy", retry_after=30.0)]], []), retry={"base": 100.0}), FakeIO()
    assert [row.provider for row in ask(c, io).attempts] == ["h1", "h2"]
    assert sum(io.slept) == 0


def test_retries_are_as_many_as_ever_and_wait_after_a_round() -> None:
    dead = [[ConnectFailed("down")] for _ in range(9)]
    c, io = core(hosts(dead, dead), retry={"attempts": 5, "base": 0.5}), FakeIO()
    error = fails(c, io, ConnectFailed)
    assert [row.provider for row in error.attempts] == ["h1", "h2", "h1", "h2", "h1"]
    assert len(io.slept) == 4
    assert [seconds == 0.0 for seconds in io.slept] == [True, False, True, False]


def test_what_may_have_run_is_asked_again_only_of_the_same() -> None:
    members = hosts([[Disconnected("gone", sent=True)]], [])
    for member in members:
        member.idempotent = True  # type: ignore[attr-defined]
    c, io = core(members), FakeIO()
    assert [row.provider for row in ask(c, io).attempts] == ["h1", "h1"]
    members = hosts([[Disconnected("gone", sent=True)]], [])
    c = core(members)
    assert [row.provider for row in fails(c, io, Disconnected).attempts] == ["h1"]
    members = hosts([[Disconnected("gone", sent=True)]], [])
    c = core(members)
    assert [row.provider for row in ask(c, io, retry_unknown=True).attempts] == ["h1", "h2"]


def test_an_open_circuit_is_gone_around_until_it_is_time_to_try() -> None:
    dead = [[ServerFault("500")] for _ in range(3)]
    c, io = core(hosts(dead, []), circuit={"failures": 3, "cooldown": 30}, retry={"attempts": 2, "base": 0}), FakeIO()
    for _ in range(3):
        io.advance(2)
        assert ask(c, io).provider == "h2"
    io.advance(2)
    assert [len(ask(c, io).attempts) for _ in range(4)] == [1] * 4
    assert [row.provider for row in c.shared.ledger.rows if row.error] == ["h1"] * 3
    io.advance(30)
    assert {ask(c, io).provider for _ in range(2)} == {"h1", "h2"}


def test_a_host_that_stays_dead_costs_no_question() -> None:
    dead = Hosted("h1", default=lambda request: ConnectFailed("down"))
    c, io = core([dead, Hosted("h2", default=says("h2"))]), FakeIO()
    for _ in range(300):  # its quota of retries would be long spent
        io.advance(6)
        assert ask(c, io).provider == "h2"
    assert len(dead.requests) > 100


def test_where_all_are_dead_the_outage_is_not_multiplied() -> None:
    c, io = core(hosts([], [], default=lambda request: ConnectFailed("down")), circuit={"failures": 0}), FakeIO()
    for _ in range(1000):
        fails(c, io, ConnectFailed)
    assert len(asked(c)) < 1000 * 1.2


def test_where_all_circuits_are_open_nothing_is_sent() -> None:
    dead = [[ServerFault("500")] for _ in range(9)]
    c, io = core(hosts(dead, dead), circuit={"failures": 1}, retry={"attempts": 2, "base": 0}), FakeIO()
    fails(c, io, ServerFault)
    rows = len(asked(c))
    error = fails(c, io, CircuitOpen)
    assert len(asked(c)) == rows == 2
    assert "All 2 keys or hosts are left alone for now." in error.hint


def test_then_the_next_model_of_an_alias_is_asked() -> None:
    members = [*hosts([[QuotaExhausted("no credit")]], [[QuotaExhausted("no credit")]]), Hosted("last", says("last"))]
    models = {"fast": {"spread": ["h1:m", "h2:m"]}, "smart": ["fast", "last:m"]}
    c, io = Core.build("smart", {"models": models}, members, {}), FakeIO()
    result = ask(c, io)
    assert result.text == "last"
    assert [row.provider for row in result.attempts] == ["h1", "h2", "last"]


def test_functions_do_not_run_twice_where_a_later_turn_goes_to_another_host() -> None:
    runs: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        runs.append(city)
        return "sunny"

    members = hosts([[ToolCall("1", "weather", '{"city": "Oslo"}')]], [[Unauthorized("expired")]])
    with Client("fast", config={"models": {"fast": {"spread": ["h1:m", "h2:m"]}}}, provider=members) as client:
        result = client.chat("How is it?", tools=[weather], steps=3)
    assert result.text == "h1"
    assert runs == ["Oslo"]
    assert [row.provider for row in result.attempts] == ["h1", "h2", "h1"]


# --- what stays right for each ----------------------------------------------------------------------------------


def test_limits_are_those_of_each_host() -> None:
    members = hosts([], [])
    c, io = core(members, limits={"h1": {"rpm": 1}, "h2": {"rpm": 2}}), FakeIO()
    results = [ask(c, io) for _ in range(4)]
    assert [result.provider for result in results] == ["h1", "h2", "h2", "h1"]  # who has room before who has to wait
    assert [result.timing.queued for result in results] == [0, 0, 0, 60.25]


def test_nobody_waits_for_a_host_that_is_slowed_down_while_another_is_free() -> None:
    """Without ``Retry-After`` only the rate of who refused is halved; it is asked again, at that rate."""
    c, io = core(hosts([*[says("h1")] * 5, RateLimited("slow down")], [])), FakeIO()
    results = []
    for _ in range(100):
        results.append(ask(c, io))
        io.advance(0.05)
    assert [result.timing.queued for result in results] == [0] * 100
    assert {result.provider for result in results[-40:]} == {"h1", "h2"}
    first, second = next(iter(c.shared.sharing.values()))
    assert first.limiter is not second.limiter


def test_what_the_alias_can_is_what_all_of_them_can() -> None:
    less = Capabilities(complete=True, options=frozenset({"max_tokens", "temperature"}), logprobs=5, context=8000)
    members = [Hosted("h1", default=says("h1")), Hosted("h2", default=says("h2"), can=less)]
    c, io = core(members), FakeIO()
    error = fails(c, io, Unsupported, seed=1)
    assert "h1:m + h2:m does not support seed" in error.message
    assert asked(c) == []
    both = FULL & less
    assert (both.schema, both.tools, both.logprobs, both.context) == ("none", False, 0, 8000)
    assert both.options == {"max_tokens", "temperature"}
    assert FULL & FULL == FULL


def test_a_protocol_counts_only_where_all_have_it() -> None:
    from scripted import Scoring

    class Scores(Scoring):
        account = "spread#scores"

    probable = {"good": 0.9, "bad": 0.1}
    members = [Scores(lambda request, candidate: 0.0, name="h1", default=probable), Hosted("h2", default=probable)]
    c, io = core(members), FakeIO()
    task = classify.check("fine", ["good", "bad"])
    assert [drive(c.run("classify", task, {}, io)).route for _ in range(2)] == ["chat+stated"] * 2


def test_a_budget_and_the_sums_hold_for_all_of_them() -> None:
    c, io = core(hosts([], []), budget={"requests": 3}), FakeIO()
    for _ in range(3):
        ask(c, io)
    with pytest.raises(LLMError, match="requests"):
        ask(c, io)
    assert [(sums.key, sums.requests) for sums in c.shared.ledger.by("provider")] == [(("h1",), 2), (("h2",), 1)]


# --- the configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"spread": []}, "names no models"),
        ({"spread": "h1:m"}, "names no models"),
        ({"spread": ["h1:m", "other"]}, "'other' is no model of a provider"),
        ({"spread": ["h1:m", 7]}, "7 is no model"),
        ({"spread": ["h1:m", "h1:m"]}, "'h1:m' stands there twice"),
        ({"spread": ["h1:m"], "model": "h1:m"}, "has both model and spread"),
        ({"spread": ["h1:m", "nobody:m"]}, "no provider 'nobody'"),
        ({"spread": ["h1:m", "h2:"]}, "names a provider but no model"),
        ({"spred": ["h1:m"]}, "names no model"),
    ],
)
def test_a_mistake_in_the_alias_is_told(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Core.build("fast", {"models": {"fast": table}}, hosts([], []), {})
    assert caught.value.hint


def test_two_names_of_one_account_are_told() -> None:
    members = hosts([], [])
    members[1].account = members[0].account
    with pytest.raises(ConfigError, match="h1 and h2 are one host with one key"):
        ask(core(members), FakeIO())


# --- the choice -------------------------------------------------------------------------------------------------

POLICY = CircuitPolicy()
ERRORS = [
    Unauthorized("no"),
    QuotaExhausted("no"),
    RateLimited("slow", retry_after=9.0),
    RateLimited("slow"),
    ServerFault("500"),
    InvalidRequest("no"),
]


class Choosing(RuleBasedStateMachine):
    """Questions come, are answered, fail, are lost; the freest is chosen, and none is counted for ever."""

    flights = Bundle("flights")

    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.now = 0.0
        self.all = [Member(f"m{n}", Hosted(f"m{n}"), "m", Health(), Load(), None) for n in range(count)]
        self.members = Members(tuple(self.all))
        self.open: dict[int, tuple[Choice, Member, Flight]] = {}
        self.numbers = itertools.count()

    @rule(seconds=st.floats(0.1, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=flights)
    def ask(self) -> int:
        return self.put(Choice(self.members, POLICY))

    def put(self, choice: Choice) -> int:
        vain = choice._tried | choice._busy
        free = [member for member in self.all if not member.back(POLICY, self.now) and member not in vain]
        fewest = min((member.load.under_way for member in free), default=0)
        back = min(member.back(POLICY, self.now) for member in self.all)
        backs = {member: member.back(POLICY, self.now) for member in self.all}
        chosen, flight = choice.make(self.now)
        if free:
            assert chosen in free
            assert chosen.load.under_way == fewest + 1
        else:
            assert backs[chosen] == back
        number = next(self.numbers)
        self.open[number] = choice, chosen, flight
        return number

    @rule(number=consumes(flights))
    def answered(self, number: int) -> None:
        choice, member, flight = self.open.pop(number)
        tries = flight._tries
        flight.answered()
        assert not tries or member.load.until is None
        choice.end(member, flight)

    @rule(target=flights, number=flights)
    def ask_twice_at_once(self, number: int) -> int:
        return self.put(self.open[number][0])

    @rule(target=flights, number=consumes(flights), error=st.sampled_from(ERRORS))
    def goes_on(self, number: int, error: LLMError) -> int:
        choice, member, flight = self.open.pop(number)
        choice.failed(member, error, self.now, twice=False)
        choice.end(member, flight)
        if not isinstance(error, InvalidRequest):
            assert member.back(POLICY, self.now) > self.now
        return self.put(choice)

    @rule(number=consumes(flights))
    def dropped(self, number: int) -> None:
        del self.open[number]  # as a stream that nobody closes

    @invariant()
    def counts(self) -> None:
        for member in getattr(self, "all", ()):
            assert member.load.under_way == sum(other is member for _, other, _ in self.open.values())


TestChoosing = Choosing.TestCase
TestChoosing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
