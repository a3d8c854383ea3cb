"""Many sequences in one model: each has the text that it has alone, whatever comes, goes, waits or starts anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from local_kit import ask, finish_of, load_reference, scores
from paged_kit import Harsh, check

from llmsdk.errors import LLMError, OutOfMemory
from llmsdk.types import Request
from llmsdk_providers.local import attention
from llmsdk_providers.local import loader as loader_module
from llmsdk_providers.local import scheduler as scheduler_module
from llmsdk_providers.local.arena import PAGE, Arenas, Copies, Layout, Memory
from llmsdk_providers.local.context import STRIDE, Context, Piece, common
from llmsdk_providers.local.lookup import Lookup
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.prefix import Prefixes
from llmsdk_providers.local.runner import cache_name
from llmsdk_providers.local.sampler import Sampler, Sampling
from llmsdk_providers.local.scheduler import Model, Scheduler

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)


class Reply:
    """A work that writes so many tokens greedily. An id of ``fails`` in its own text raises."""

    def __init__(self, prompt: Sequence[int], count: int, *, fails: bool = False, lookup: Lookup | None = None) -> None:
        self.cancelled = self.over = False
        self.lookup = lookup
        self.context: Context | None = None
        self.sampler: Sampler | None = None
        self.prompt, self.count, self.fails = list(prompt), count, fails
        self.text: list[int] = []
        self.error: LLMError | None = None

    def begin(self, model: Model) -> None:
        self.context, self.sampler = Context(list(self.prompt)), Sampler(Sampling(), self.prompt, model.vocabulary)

    def accept(self, logits: object, token: int | None) -> None:
        assert self.context is not None
        assert token is not None
        if self.fails:
            raise ValueError("of its own")
        self.text.append(token)
        self.context.ids.append(token)
        self.over = len(self.text) == self.count

    def branch(self, model: Model) -> None:
        raise AssertionError

    def fail(self, error: LLMError) -> None:
        self.error, self.over = error, True

    def drop(self) -> None:
        self.over = True

    def deliver(self) -> None:
        pass


def blueprint(folder: Path) -> Any:
    plan = draw_up(folder, torch.float32, torch.device("cpu"))
    assert isinstance(plan, Blueprint)
    return plan.build(torch.float32)


class Foresight(Lookup):
    """Knows what will be said, and is wrong now and then."""

    def __init__(self, whole: Sequence[int], seed: int) -> None:
        super().__init__(len(whole))
        self.whole, self.rng, self.judged = list(whole), random.Random(seed), [0, 0]  # noqa: S311

    def guess(self, ids: Sequence[int]) -> Sequence[int]:
        found = self.whole[len(ids) :][: self.rng.randrange(7)]
        if found and self.rng.random() < 0.5:
            found[self.rng.randrange(len(found))] = 3
        return found

    def judge(self, guesses: int, right: int) -> None:
        self.judged = [self.judged[0] + guesses, self.judged[1] + right]


build = lru_cache(blueprint)


def native(folder: Path, pages: int = 1000) -> Native:
    decoder = build(folder)
    size = Native(decoder, 1).arenas._layout.page_bytes
    return Native(decoder, pages * size)


def run(model: Native | Paged, works: Sequence[Reply], start: Sequence[int] = (), leave: Sequence[int] = ()) -> int:
    """Step until all are over; each joins at its step of ``start`` and is cancelled at its step of ``leave``."""
    scheduler, running, waiting, n = Scheduler(model), [], list(works), 0
    joins = dict(zip(works, start, strict=False))
    leaves = dict(zip(works, leave, strict=False))
    while running or waiting:
        running += [work for work in waiting if joins.get(work, 0) <= n]
        waiting = [work for work in waiting if joins.get(work, 0) > n]
        for work in running:
            if leaves.get(work, 10**6) <= n:
                work.drop()
        scheduler.step([work for work in running if not work.over])
        for work in running:
            if work.over:
                scheduler.release(work)
        running, n = [work for work in running if not work.over], n + 1
        check_memory(model, [work.context for work in running if work.context is not None])
        assert n < 10_000
    return n


def check_memory(model: Native | Paged, contexts: Sequence[Context]) -> None:
    """What is taken is what is in use, and nothing is lost."""
    if isinstance(model, Paged):
        return check(model, contexts)
    memory = model.arenas.memory
    assert memory.taken <= memory.limit
    assert memory.taken == len(model.prefixes) + sum(a.slots * a.capacity // PAGE for a in model.arenas)
    assert sum(len(arena.owners) for arena in model.arenas) == sum(context.home is not None for context in contexts)
    return None


TEXTS = ["dog " * 20, "dog " * 20 + "The weather is good", "dog " * 40, "Once upon", "x", "def add(a, b):\n" * 9]


@lru_cache
def alone(folder: Path, text: str) -> tuple[list[int], list[int]]:
    """The ids of a prompt, and the next 40 tokens by the module of transformers."""
    tokenizer, module = load_reference(folder)
    ids = tokenizer.encode(text)
    given, new = torch.tensor([ids]), []
    with torch.inference_mode():
        name = cache_name(module) or ""
        output = module(given, use_cache=True)
        for _ in range(40):
            new.append(int(output.logits[0, -1].argmax()))
            output = module(torch.tensor([new[-1:]]), use_cache=True, **{name: output[name]})
    return ids, new


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    plan=st.lists(
        st.tuples(
            st.sampled_from(TEXTS),
            st.integers(1, 40),
            st.integers(0, 30),
            st.one_of(st.just(10**6), st.integers(0, 50)),
        ),
        min_size=1,
        max_size=7,
    ),
    pages=st.sampled_from([6, 7, 9, 16, 500]),
    budget=st.sampled_from([5, 33, 512]),
    kind=st.sampled_from(["llama", "qwen3", "mistral"]),
    guess=st.sampled_from([None, "looks up", "foresees"]),
    spared=st.sampled_from([1, 40, 10**6]),
)
@pytest.mark.parametrize("memory", ["arenas", "pages"])
def test_any_schedule_leaves_every_text_as_it_is_alone(
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    plan: list[tuple[str, int, int, int]],
    pages: int,
    budget: int,
    kind: str,
    guess: str | None,
    spared: int,
    memory: str,
) -> None:
    """Arrivals, lengths, cancellations, chunks, hits of the prefix cache, beginnings that are attended to once, guesses
    right and wrong, and so little memory that some start anew."""
    monkeypatch.setattr(scheduler_module, "BUDGET", budget)
    monkeypatch.setattr(attention, "SPARED", spared)
    works = []
    for n, (text, count, _, _) in enumerate(plan):
        prompt, said = alone(tiny(kind), text)
        size = len(prompt) + count
        lookup = {None: None, "looks up": Lookup(size), "foresees": Foresight([*prompt, *said][:size], n)}[guess]
        works.append(Reply(prompt, count, lookup=lookup))
    model = native(tiny(kind), pages) if memory == "arenas" else Harsh(build(tiny(kind)), 2 * pages)
    run(model, works, [start for *_, start, _ in plan], [leave for *_, leave in plan])
    for work, (text, count, _, leave) in zip(works, plan, strict=True):
        assert work.error is None
        assert work.text == alone(tiny(kind), text)[1][: len(work.text)]
        assert len(work.text) == count or leave < 10**6


def test_short_memory_makes_the_latest_start_anew(tiny: Callable[[str], Path]) -> None:
    folder, released = tiny("llama"), []
    model = native(folder, 3)
    release = model.release
    model.release = lambda context: (released.append(context), release(context))[1]  # type: ignore[method-assign]
    works = [Reply(alone(folder, text)[0], 40) for text in ("Once upon", "x", "Once upon")]
    run(model, works)
    assert [work.text for work in works] == [alone(folder, text)[1] for text in ("Once upon", "x", "Once upon")]
    assert len(released) > 3, "more than at the end of each"


def test_a_storm_of_cancellations_leaves_nothing_behind(tiny: Callable[[str], Path]) -> None:
    model, rng = native(tiny("llama"), 40), random.Random(3)  # noqa: S311
    works = [Reply([rng.randrange(400) for _ in range(rng.randrange(1, 90))], 20) for _ in range(128)]
    starts = [rng.randrange(60) for _ in works]
    run(model, works, starts, [start + rng.randrange(8) for start in starts])
    model.arenas.trim()
    assert model.arenas.memory.taken == len(model.prefixes)


# --- guesses ------------------------------------------------------------------------------------------------------


def test_right_guesses_save_steps_and_wrong_ones_cost_no_text(tiny: Callable[[str], Path]) -> None:
    folder = tiny("llama")
    prompt, said = alone(folder, "x")
    foresees = Foresight([*prompt, *said], 1)
    guessed = Reply(prompt, 40, lookup=foresees)
    assert run(native(folder), [guessed]) < 30 < run(native(folder), [plain := Reply(prompt, 40)])
    assert guessed.text == plain.text == said
    guesses, right = foresees.judged
    assert 0 < right < guesses


def test_guesses_stay_within_the_tokens_of_a_step(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "BUDGET", 8)
    folder, model = tiny("llama"), Noted(tiny("llama"))
    known = [alone(folder, text) for text in ("x", "Once upon")]
    works = [Reply(prompt, 40, lookup=Foresight([*prompt, *said], 1)) for prompt, said in known]
    run(model, works)
    assert [work.text for work in works] == [said for _, said in known]
    assert max(sum(sizes.values()) for sizes in model.passes) <= 8
    assert max(max(sizes.values()) for sizes in model.passes[2:]) > 1


def test_what_was_guessed_wrong_leaves_nothing_behind(tiny: Callable[[str], Path]) -> None:
    folder, model = tiny("llama"), native(tiny("llama"))
    prompt, _ = alone(folder, "x")

    class Wrong(Lookup):
        def guess(self, ids: Sequence[int]) -> Sequence[int]:
            return [5, 6, 7]

    work = Reply(prompt, 10, lookup=Wrong(100))
    scheduler = Scheduler(model)
    for _ in range(6):
        scheduler.step([work])
        assert work.context is not None
        assert not any(layer[:, :, work.context.computed :].any() for layer in work.context.home.layers())


# --- the decision -------------------------------------------------------------------------------------------------


class Noted(Native):
    """Notes how many tokens of which context each pass computed."""

    def __init__(self, folder: Path, pages: int = 1000) -> None:
        super().__init__(build(folder), pages * Native(build(folder), 1).arenas._layout.page_bytes)
        self.passes: list[dict[Context, int]] = []

    def forward(self, pieces: Sequence[Piece]) -> Any:
        self.passes.append({piece.context: piece.size for piece in pieces})
        return super().forward(pieces)


def test_a_step_is_one_pass_of_a_bounded_number_of_tokens(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "BUDGET", 16)
    model = Noted(tiny("llama"))
    works = [Reply([n] * 40, 5) for n in range(1, 6)]
    assert run(model, works) == len(model.passes)
    assert all(sum(sizes.values()) <= 16 for sizes in model.passes)
    assert sum(sum(sizes.values()) for sizes in model.passes) == 5 * 40 + 5 * 4


def test_a_long_prompt_holds_up_neither_who_writes_nor_a_short_one(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "BUDGET", 16)
    model = Noted(tiny("llama"))
    writes, long, short = Reply([1] * 4, 30), Reply([2] * 200, 1), Reply([3] * 5, 1)
    run(model, [writes, long, short], [0, 2, 3])
    sizes = [len(group) for group in model.passes]
    assert sizes[3] == 3, "the short one joins at once"
    assert list(model.passes[3].values()) == [1, 8, 5]
    assert all(next(iter(group.values())) == 1 for group in model.passes[1:29]), "a token in every step"


def test_a_fault_ends_its_own_sequence_alone(tiny: Callable[[str], Path]) -> None:
    """Of a pass for all, and of what comes after it."""
    folder = tiny("llama")

    class Breaks(Noted):
        def forward(self, pieces: Sequence[Piece]) -> Any:
            if any(piece.context.ids[0] == 7 for piece in pieces):
                raise RuntimeError("bad 7")
            return super().forward(pieces)

    good = [Reply(alone(folder, text)[0], 20) for text in TEXTS[:3]]
    bad, fails = Reply([7, 8], 5), Reply([9, 9], 5, fails=True)
    run(Breaks(folder), [good[0], bad, good[1], fails, good[2]])
    assert [work.text for work in good] == [alone(folder, text)[1][:20] for text in TEXTS[:3]]
    assert "bad 7" in str(bad.error)
    assert "of its own" in str(fails.error)


def test_running_out_of_memory_for_keys_and_values_ends_one_request(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator's real error, in the midst of giving a sequence a slot: nothing is half given."""
    folder, model = tiny("llama"), native(tiny("llama"))
    empty, calls = Layout.empty, []

    def short(self: Layout, slots: int, capacity: int) -> Any:
        if capacity == 4 * PAGE and calls.append(capacity) is None and len(calls) % 4 == 0:  # after two, a layer each
            torch.empty(2**50)
        return empty(self, slots, capacity)

    monkeypatch.setattr(Layout, "empty", short)
    good, bad = Reply(alone(folder, "Once upon")[0], 30), Reply(list(range(100)), 5)
    run(model, [good, bad])
    assert good.text == alone(folder, "Once upon")[1][:30]
    assert isinstance(bad.error, OutOfMemory)
    run(model, [again := Reply(alone(folder, "x")[0], 30)])
    assert again.text == alone(folder, "x")[1][:30]


def test_a_draw_that_fails_ends_its_own_sequence_alone(tiny: Callable[[str], Path]) -> None:
    folder = tiny("llama")

    class Bad(Reply):
        def begin(self, model: Model) -> None:
            self.context = Context(list(self.prompt))
            self.sampler = Sampler(Sampling(repetition_penalty=2.0), self.prompt, 3)

    good, bad = Reply(alone(folder, "x")[0], 10), Bad([1, 2], 10)
    run(native(folder), [bad, good])
    assert good.text == alone(folder, "x")[1][:10]
    assert bad.error is not None


# --- prefixes -----------------------------------------------------------------------------------------------------


def computed(model: Noted) -> int:
    return sum(sum(sizes.values()) for sizes in model.passes)


def test_a_known_beginning_is_not_computed_again(tiny: Callable[[str], Path]) -> None:
    model, text = Noted(tiny("llama")), list(range(1, 101))
    run(model, [Reply(text, 1)])
    assert computed(model) == 100
    run(model, [again := Reply(text, 1)])
    assert computed(model) == 100 + 4, "three whole pages were kept"
    run(model, [Reply([*text[:50], 5, 5, 5], 1)])
    assert computed(model) == 104 + 3, "part of a page is of use as well"
    fresh = Reply(text, 1)
    run(native(tiny("llama")), [fresh])
    assert again.text == fresh.text


def test_a_reply_is_a_known_beginning_too(tiny: Callable[[str], Path]) -> None:
    model = Noted(tiny("llama"))
    run(model, [first := Reply([1, 2, 3], 70)])
    before = computed(model)
    run(model, [Reply([1, 2, 3, *first.text, 4], 1)])
    assert computed(model) - before == 74 - 64


def test_those_who_begin_alike_wait_for_the_first(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "BUDGET", 40)
    model, text = Noted(tiny("llama")), list(range(1, 97))
    works = [Reply([*text, 100 + n, 200], 3) for n in range(5)]
    run(model, works)
    assert computed(model) == 96 + 5 * 2 + 5 * 2
    one_by_one = [Reply([*text, 100 + n, 200], 3) for n in range(5)]
    for work in one_by_one:
        run(native(tiny("llama")), [work])
    assert [work.text for work in works] == [work.text for work in one_by_one]


def test_a_sequence_that_needs_the_memory_takes_it_from_the_tree(tiny: Callable[[str], Path]) -> None:
    model = native(tiny("llama"), 8)
    for n in range(1, 6):
        run(model, [Reply([n] * 100, 1)])
    assert len(model.prefixes) > 0
    run(model, [whole := Reply([9] * 200, 20)])
    assert whole.error is None
    assert len(whole.text) == 20


class PrefixMachine(RuleBasedStateMachine):
    """Tree and arenas against a plain model: what each slot holds is known from the ids alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layout = Layout(layers=2, kv_heads=1, head_dim=1, dtype=torch.float32)
        self.live: list[Context] = []

    @initialize(pages=st.integers(4, 24))
    def begin(self, pages: int) -> None:
        self.memory = Memory(pages)
        self.arenas, self.tree = Arenas(self.layout, self.memory), Prefixes(Copies(self.memory))

    texts = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=4).map(
        lambda blocks: [block * 1000 + n for block in blocks for n in range(PAGE // 2)]
    )

    def place(self, context: Context) -> bool:
        new = context.home is None
        while not self.arenas.place(context, len(context.ids)):
            if not self.tree.drop():
                return False
        if new:
            self.tree.lend(context)
        return True

    @rule(ids=texts)
    def arrive(self, ids: list[int]) -> None:
        context = Context(ids)
        if self.place(context):
            assert context.computed < len(ids)
            self.live.append(context)
        else:
            assert self.live, "whoever is alone has room"

    @rule(n=st.integers(0, 99), size=st.integers(1, 99))
    def compute(self, n: int, size: int) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            start, end = context.computed, min(len(context.ids), context.computed + size)
            for number, kv in enumerate(context.home.layers()):
                kv[:, 0, start:end, 0] = torch.tensor(context.ids[start:end]) + number * 10**6
            context.computed = end

    @rule(n=st.integers(0, 99), ids=texts)
    def write(self, n: int, ids: list[int]) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            context.ids.extend(ids)
            if len(context.ids) > self.arenas.longest or not self.place(context):
                del context.ids[-len(ids) :]

    @rule(n=st.integers(0, 99))
    def keep(self, n: int) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            self.tree.keep(context)
            assert self.tree.known(context.ids) <= len(context.ids)

    @rule(n=st.integers(0, 99))
    def leave(self, n: int) -> None:
        if self.live:
            self.arenas.release(self.live.pop(n % len(self.live)))

    @rule()
    def drop(self) -> None:
        self.tree.drop()

    @rule()
    def trim(self) -> None:
        self.arenas.trim()

    @invariant()
    def slots_hold_their_own_and_nothing_else(self) -> None:
        for context in self.live:
            assert context.home.arena.owners[context.home.index] is context
            for number, kv in enumerate(context.home.layers()):
                ids = torch.tensor(context.ids[: context.computed]) + number * 10**6
                assert torch.equal(kv[0, 0, : context.computed, 0], ids.float())
                assert not kv[:, :, context.computed :].any()

    @invariant()
    def every_page_is_counted_once(self) -> None:
        if hasattr(self, "memory"):
            slots = sum(arena.slots * arena.capacity // PAGE for arena in self.arenas)
            assert self.memory.taken == slots + len(self.tree) <= self.memory.limit
            assert sum(len(arena.owners) for arena in self.arenas) == len(self.live)

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            for context in self.live:
                self.arenas.release(context)
            self.arenas.trim()
            while self.tree.drop():
                pass
            assert self.memory.taken == 0


@given(
    same=st.lists(st.integers(0, 3), max_size=3 * STRIDE),
    one=st.lists(st.integers(0, 3), max_size=3),
    other=st.lists(st.integers(0, 3), max_size=3),
    kind=st.sampled_from([list, tuple]),
)
def test_what_two_texts_have_in_common(same: list[int], one: list[int], other: list[int], kind: type) -> None:
    left, right = [*same, *one], kind([*same, *other])
    size = common(left, right)
    assert left[:size] == list(right[:size])
    assert size == min(len(left), len(right)) or left[size] != right[size]


PrefixMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestPrefixes = PrefixMachine.TestCase


# --- admission ----------------------------------------------------------------------------------------------------


def test_a_request_beyond_all_memory_is_refused_before_anything_is_computed(
    fresh: Callable[..., Any], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pages = tiny("llama"), 3
    size = native(folder).arenas._layout.page_bytes
    monkeypatch.setattr(loader_module, "kv_bytes", lambda *given: pages * size)
    provider = fresh()
    tokens = pages * PAGE - provider.count(Request(str(folder), "dog")).value
    ends = [finish_of(ask(provider, Request(str(folder), "dog", max_tokens=tokens)))]
    steps = provider._shelf.get(str(folder)).load.steps
    with pytest.raises(OutOfMemory, match=f"there is memory for {pages * PAGE}") as caught:
        ask(provider, Request(str(folder), "dog", max_tokens=tokens + 1))
    assert "kv_memory" in caught.value.hint
    assert provider._shelf.get(str(folder)).load.steps == steps + 1
    with pytest.raises(OutOfMemory):
        scores(provider, Request(str(folder), "dog " * 200), ["good"])
    ends.append(finish_of(ask(provider, Request(str(folder), "dog", max_tokens=tokens))))
    assert [end.reason for end in ends] == ["length", "length"]
