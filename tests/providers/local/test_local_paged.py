"""Memory in pages, and passes that are graphs: each against the plain way of doing the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from local_kit import ask, load_reference, scores
from paged_kit import Harsh, check, taped

from llmsdk.types import Request, TextDelta
from llmsdk_providers.local import Local, loader
from llmsdk_providers.local.context import Context, Piece
from llmsdk_providers.local.graphs import again
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.paged import ROWS, SHORT, Paged, batch
from llmsdk_providers.local.passes import Gathered, Run, Told, Varlen, best
from llmsdk_providers.local.sampler import Sampler, Sampling
from llmsdk_providers.local.scheduler import Scheduler

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
pytest.importorskip("transformers", reason="the local runtime needs transformers")
torch.set_num_threads(1)
CPU = torch.device("cpu")


@lru_cache
def decoder(folder: Path) -> Any:
    plan = draw_up(folder, torch.float32, CPU)
    assert isinstance(plan, Blueprint), plan
    return plan.build(torch.float32)


def made(folder: Path, **options: Any) -> Harsh:
    return Harsh(decoder(folder), **options)


def ids(folder: Path, text: str) -> list[int]:
    found: list[int] = load_reference(folder)[0].encode(text)
    return found


def said(model: Paged, prompts: Sequence[list[int]], count: int) -> list[list[int]]:
    """Greedy replies, all prompts and then all tokens together."""
    contexts = [Context(list(prompt)) for prompt in prompts]
    for _ in range(count):
        assert all(model.place(context) for context in contexts)
        logits = model.forward([Piece(context, context.todo) for context in contexts])
        for context, row in zip(contexts, logits, strict=True):
            context.ids.append(int(row.argmax()))
    for context in contexts:
        model.release(context)
    return [context.ids[len(prompt) :] for context, prompt in zip(contexts, prompts, strict=True)]


# --- what a pass is told ------------------------------------------------------------------------------------------


def test_a_pass_is_told_where_everything_goes() -> None:
    runs = [Run([7, 8, 9], 3, [5, 2]), Run([6], 0, [4])]
    told = Told.blank([3, 1, 1], 2, CPU)
    told.numbers.fill_(99)
    told.tell(runs, page=4)
    assert told.ids.tolist() == [7, 8, 9, 6, 0]
    assert told.positions.tolist() == [3, 4, 5, 0, 0]
    assert told.slots.tolist() == [23, 8, 9, 16, 0], "pages 5 and 2, then 4, then that of nobody"
    assert told.ends.tolist() == [6, 1, 1]
    assert told.borders.tolist() == [0, 3, 4, 5]
    assert told.tables.tolist() == [[5, 2], [4, 0], [0, 0]]
    assert told.longest == 3


@given(rows=st.integers(1, ROWS))
def test_batches_have_few_sizes_and_little_to_spare(rows: int) -> None:
    assert rows <= batch(rows) <= min(ROWS, max(rows, rows * 3 // 2))
    assert batch(batch(rows)) == batch(rows)


def test_batches_of_all_sizes() -> None:
    assert sorted({batch(rows) for rows in range(1, 65)}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


@given(pages=st.integers(1, 5000))
def test_tables_have_few_widths(pages: int) -> None:
    assert pages <= Gathered().width(pages) < 2 * pages
    assert pages <= Varlen().width(pages) <= max(16, 4 * pages)
    assert (Varlen().width(pages).bit_length() - 1) % 2 == 0


# --- attention ----------------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=4),
    window=st.one_of(st.none(), st.integers(1, 12)),
    page=st.sampled_from([1, 4, 8]),
    seed=st.integers(0, 9),
)
@settings(deadline=None)
def test_pages_hold_what_a_plain_cache_holds(
    sizes: list[tuple[int, int]], window: int | None, page: int, seed: int
) -> None:
    """Each row against attention written out, over keys and values that were never in pages; a run at a time and a row
    at a time."""
    torch.manual_seed(seed)
    kv_heads, group, size = 2, 3, 4
    pages = sum(-(-(past + rows) // page) for past, rows in sizes) + 1
    cache = torch.full((pages, page, 2, kv_heads, size), torch.nan)
    numbers = iter((torch.randperm(pages - 1) + 1).tolist())
    runs, wanted, queries = [], [], []
    for past, rows in sizes:
        end = past + rows
        table = [next(numbers) for _ in range(-(-end // page))]
        kv, query = torch.randn(end, 2, kv_heads, size), torch.randn(rows, kv_heads, group, size)
        for place in range(end):
            cache[table[place // page], place % page] = kv[place]
        runs.append(Run([0] * rows, past, table))
        queries.append(query)
        for n in range(rows):
            first = 0 if window is None else max(0, past + n + 1 - window)
            seen = kv[first : past + n + 1]
            scores = torch.einsum("hgd,thd->hgt", query[n], seen[:, 0]) / size**0.5
            wanted.append(torch.einsum("hgt,thd->hgd", scores.softmax(-1), seen[:, 1]))
    attention = Gathered(page)
    for told_runs in (runs, [row for run in runs for row in run.rows()]):
        told = Told.blank([len(run.ids) for run in told_runs], attention.width(max(len(r.table) for r in runs)), CPU)
        told.tell(told_runs, page)
        torch.testing.assert_close(attention(torch.cat(queries), cache, told, window), torch.stack(wanted))


def test_without_a_gpu_the_plain_way_is_best() -> None:
    assert isinstance(best(64, torch.bfloat16, CPU), Gathered)


# --- graphs -------------------------------------------------------------------------------------------------------


def test_a_graph_that_is_repeated_says_what_a_pass_says(tiny: Callable[[str], Path]) -> None:
    """With nothing of Python in it but what was there when it was made, and garbage in its memory in between."""
    folder = tiny("mistral")
    prompts = [ids(folder, text) for text in ("Once upon", "x", "dog " * 12)]
    model = made(folder)
    assert said(model, prompts, 40) == said(made(folder, capture=again), prompts, 40)
    assert len(model._passes) > 2, "of several widths"
    before = dict(model._passes)
    said(model, prompts[::-1], 40)
    assert model._passes == before, "made once"


def test_a_result_is_where_the_last_one_was() -> None:
    """The plain way forgets as a graph does, so that who keeps a result too long is found without a GPU."""
    x = torch.zeros(3)
    for capture in (again, taped):
        work = capture(lambda: x + 1)
        first = work()
        x.fill_(4)
        assert work() is first
        assert first.tolist() == [5, 5, 5]
        x.zero_()


def test_the_tape_has_teeth() -> None:
    """What a graph of CUDA would do wrong, or refuse, this one does wrong or refuses."""
    state, x = [1.0], torch.zeros(1)
    work = taped(lambda: x + state[0])
    state[0] = 2.0
    assert work().item() == 1.0
    for wrong in (lambda: x * torch.tensor([1.0]), lambda: x + float(x), lambda: x[x > 0], lambda: x[x.nonzero()]):
        for inference in (False, True):
            with pytest.raises(AssertionError, match="from Python"), torch.inference_mode(inference):
                taped(wrong)


def test_short_pieces_are_graphs_and_long_ones_are_not(tiny: Callable[[str], Path]) -> None:
    model = made(tiny("llama"))
    short, long = Context([3] * SHORT), Context([3] * (SHORT + 1))
    assert model.place(short)
    assert model.place(long)
    model.forward([Piece(short, SHORT)])
    assert [rows for rows, _ in model._passes] == [batch(SHORT)]
    model.forward([Piece(long, SHORT + 1)])
    assert len(model._passes) == 1


def test_more_rows_than_the_largest_graph(tiny: Callable[[str], Path]) -> None:
    model, prompts = made(tiny("llama")), [[1 + n % 300, 5] for n in range(ROWS)]
    together = said(model, prompts, 2)
    assert [said(model, [prompt], 2)[0] for prompt in prompts[:3]] == together[:3]


# --- what runs ahead ----------------------------------------------------------------------------------------------


class Counted(Harsh):
    """Counts passes that somebody had to wait for, and rows that were computed ahead."""

    waited = ahead = 0

    def _computed(self, pieces: Sequence[Piece]) -> Any:
        self.waited += 1
        return super()._computed(pieces)

    def _go_ahead(self, contexts: Sequence[Context], ids: Any) -> Any:
        self.ahead += len(contexts)
        return super()._go_ahead(contexts, ids)


def counted(folder: Path, **options: Any) -> Counted:
    return Counted(decoder(folder), **options)


RULES = [
    Sampling(),
    Sampling(temperature=1.0, seed=1),
    Sampling(temperature=0.7, top_p=0.9, seed=2),
    Sampling(temperature=2.0, top_k=5, seed=3, repetition_penalty=1.3),
    Sampling(frequency_penalty=0.5, logit_bias={5: 2.0}),
]


def written(model: Any, plan: Sequence[tuple[list[int], Sampling, int, int]]) -> list[list[int]]:
    """What works say that come and end at their steps, through the scheduler. Each has a sampler of its own."""
    works = [Written(prompt, rule, count) for prompt, rule, count, _ in plan]
    scheduler, n = Scheduler(model), 0
    while not all(work.over for work in works):
        running = [work for work, (*_, start) in zip(works, plan, strict=True) if start <= n and not work.over]
        scheduler.step(running)
        for work in running:
            if work.over:
                scheduler.release(work)
        n += 1
    return [work.text for work in works]


class Written:
    """A work that writes so many tokens by its rule."""

    def __init__(self, prompt: list[int], rule: Sampling, count: int) -> None:
        self.cancelled = self.over = False
        self.context: Context | None = None
        self.sampler: Sampler | None = None
        self.lookup = None
        self.prompt, self.rule, self.count = prompt, rule, count
        self.text: list[int] = []

    def begin(self, model: Any) -> None:
        self.context, self.sampler = Context(list(self.prompt)), Sampler(self.rule, self.prompt, model.vocabulary)

    def accept(self, logits: Any, token: int | None) -> None:
        assert self.context is not None
        assert token is not None
        assert bool(torch.isfinite(logits).all()), "what a token was chosen from is still there"
        self.text.append(token)
        self.context.ids.append(token)
        self.over = len(self.text) == self.count

    def branch(self, model: Any) -> None:
        raise AssertionError

    def fail(self, error: Exception) -> None:
        raise error

    def drop(self) -> None:
        self.over = True

    def deliver(self) -> None: ...


@given(
    plan=st.lists(
        st.tuples(
            st.lists(st.integers(0, 300), min_size=1, max_size=60),
            st.sampled_from(RULES),
            st.integers(1, 25),
            st.integers(0, 12),
        ),
        min_size=1,
        max_size=5,
    ),
    pages=st.sampled_from([8, 12, 300]),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_running_ahead_changes_no_text(
    tiny: Callable[[str], Path], plan: list[tuple[list[int], Sampling, int, int]], pages: int
) -> None:
    """Nor do pages: in a plain order, over arenas, with tokens picked on the CPU, all say the same."""
    folder = tiny("qwen3")
    ahead, plain = counted(folder, pages=pages), made(folder, pages=pages, overlap=False)
    assert written(ahead, plan) == written(plain, plan) == written(Native(decoder(folder), 2**24), plan)
    check(ahead, [])
    check(plain, [])


def test_only_prompts_are_waited_for(tiny: Callable[[str], Path]) -> None:
    model = counted(tiny("llama"))
    written(model, [([1, 2, 3], rule, 20, 0) for rule in RULES])
    assert model.waited == 1
    assert model.ahead == 20 * len(RULES)
    written(model, [([n, 2, 3], RULES[0], 20, 3 * n) for n in range(1, 4)])
    assert model.waited == 1 + 3, "who comes later is computed beside what was computed ahead"


def test_what_fails_ahead_fails_nobody(tiny: Callable[[str], Path]) -> None:
    class Fails(Counted):
        def _go_ahead(self, contexts: Sequence[Context], ids: Any) -> Any:
            raise RuntimeError("out of memory")

    plan, folder = [([1, 2, 3], rule, 10, 0) for rule in RULES], tiny("llama")
    assert written(Fails(decoder(folder)), plan) == written(made(folder), plan)


def test_an_id_that_was_not_foreseen_is_computed(tiny: Callable[[str], Path]) -> None:
    model, alone = counted(tiny("llama")), made(tiny("llama"))
    context, twin = Context([1, 2, 3]), Context([1, 2, 3])
    for each, one in ((model, context), (alone, twin)):
        assert each.place(one)
        each.forward([Piece(one, 3)])
    (token,) = model.pick([context], [Sampler(Sampling(), (), 405)], torch.eye(405)[7:8])
    assert (token, model.ahead) == (7, 1)
    for each, one in ((model, context), (alone, twin)):
        one.ids.append(9)
        assert each.place(one)
    torch.testing.assert_close(model.forward([Piece(context, 1)]), alone.forward([Piece(twin, 1)]))
    assert model.waited == 2


def test_who_starts_anew_has_nothing_ahead(tiny: Callable[[str], Path]) -> None:
    """Though all of it is known: what was computed ahead wrote into a page that is another's now."""
    model, alone = counted(tiny("llama")), made(tiny("llama"))
    context, twin = Context([1, 2, 3]), Context([1, 2, 3])
    for each, one in ((model, context), (alone, twin)):
        assert each.place(one)
        each.forward([Piece(one, 3)])
    model.keep(context)
    model.pick([context], [Sampler(Sampling(), (), 405)], torch.eye(405)[7:8])
    model.release(context)
    for each, one in ((model, context), (alone, twin)):
        one.ids.append(7)
        assert each.place(one)
    assert context.computed == 3
    torch.testing.assert_close(model.forward([Piece(context, 1)]), alone.forward([Piece(twin, 1)]))
    assert model.waited == 2


# --- through the provider -----------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
ASKED: list[dict[str, Any]] = [
    {},
    {"stop": ("o",)},
    {"n": 3, "temperature": 1.0, "seed": 5},
    {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "seed": 1},
    {"repetition_penalty": 1.5, "presence_penalty": 0.5, "logit_bias": {9: 3.0}},
    {"logprobs": 3, "temperature": 1.0, "seed": 2},
    {"schema": SCHEMA, "temperature": 1.0, "seed": 3},
    {"input": "dog " * 30},
    {"input": "dog " * 30 + "ball"},
]


def told(events: Sequence[Any]) -> tuple[list[str], list[str], list[float]]:
    """Texts, and tokens and log-probabilities where they were asked for."""
    texts = [(event.index, event.text) for event in events if isinstance(event, TextDelta)]
    chances = [item for event in events if isinstance(event, TextDelta) for item in event.logprobs]
    numbers = [number for item in chances for number in (item.logprob, *(chance for _, chance in item.top))]
    words = ["".join(text for index, text in texts if index == n) for n in range(3)]
    return words, [item.token for item in chances], numbers


def test_a_provider_says_the_same_over_pages(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other over arenas, and all at once over pages: as it would be on a GPU, but for the GPU."""
    made_of: list[Paged] = []

    def with_pages(decoder: Any, kv_bytes: int) -> Paged:
        made_of.append(Harsh(decoder))
        return made_of[0]

    requests = [Request(str(tiny("qwen3")), **{"input": "Once upon", "max_tokens": 20, **more}) for more in ASKED]
    plain = fresh()
    expected = [told(ask(plain, request)) for request in requests]
    labels = [score.logprob for score in scores(plain, requests[0], ["dog", "ball", "a garden"])]
    monkeypatch.setattr(loader, "with_memory", with_pages)
    paged = fresh()
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda request: told(ask(paged, request)), requests))
    assert [texts for *texts, _ in found] == [texts for *texts, _ in expected]
    for (*_, ours), (*_, theirs) in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert [score.logprob for score in scores(paged, requests[0], ["dog", "ball", "a garden"])] == pytest.approx(
        labels, abs=1e-4
    )
    check(made_of[0], [])


# --- pages that are shared ----------------------------------------------------------------------------------------


def test_full_pages_are_shared_and_the_rest_is_copied(tiny: Callable[[str], Path]) -> None:
    model, text = made(tiny("llama"), page=16), list(range(1, 41))
    first = Context([*text, 7])
    assert model.place(first)
    model.forward([Piece(first, first.todo)])
    model.keep(first)
    second = Context([*text, 8, 9])
    assert model.place(second)
    assert second.computed == second.lent == 40
    assert second.home[:2] == first.home[:2]
    assert second.home[2] != first.home[2]
    check(model, [first, second])
    alone = made(tiny("llama"))
    twin = Context([*text, 8, 9])
    assert alone.place(twin)
    ours, theirs = model.forward([Piece(second, 2)]), alone.forward([Piece(twin, 42)])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_last_id_is_computed_in_a_page_of_its_own(tiny: Callable[[str], Path]) -> None:
    """Else one sequence would write into what another reads."""
    model, text = made(tiny("llama"), page=16), list(range(1, 33))
    first, second = Context(list(text)), Context(list(text))
    assert model.place(first)
    model.forward([Piece(first, 32)])
    model.keep(first)
    assert model.place(second)
    assert second.computed == 31
    assert second.home[0] == first.home[0]
    assert second.home[1] != first.home[1]


def test_a_beginning_that_fills_no_page_is_known_too(tiny: Callable[[str], Path]) -> None:
    model, text = made(tiny("llama"), page=256), list(range(1, 101))
    first = Context(list(text))
    assert model.place(first)
    model.forward([Piece(first, 60)])
    model.keep(first)
    model.forward([Piece(first, 40)])
    model.keep(first)
    model.release(first)
    assert len(model.prefixes) == 1, "the longer says what the shorter said"
    second = Context([*text[:80], 3, 3])
    assert model.place(second)
    assert second.computed == 80


def test_those_who_begin_alike_wait_for_the_first(tiny: Callable[[str], Path]) -> None:
    model, text = made(tiny("llama"), page=256), list(range(1, 101))
    first, second, other = Context([*text, 1]), Context([*text, 2, 3]), Context([9, 9, 9])
    assert model.place(first)
    assert model.soon(second, [first])
    assert not model.soon(other, [first])
    model.forward([Piece(first, 101)])
    model.keep(first)
    assert not model.soon(second, [first])


class PagesMachine(RuleBasedStateMachine):
    """Pages and tree against a plain model: what a sequence has is known from its ids alone."""

    contexts = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=4).map(
        lambda blocks: [block * 1000 + n for block in blocks for n in range(6)]
    )

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Context] = []

    @initialize(pages=st.integers(4, 20))
    def begin(self, pages: int) -> None:
        shape = SimpleNamespace(windows=(None, None), kv_heads=1, head_dim=1, numbers_per_token=4, vocabulary=1)
        self.model = Harsh(SimpleNamespace(shape=shape, dtype=torch.float32, device=CPU), pages, page=8)

    @rule(ids=contexts)
    def arrive(self, ids: list[int]) -> None:
        context = Context(ids)
        if self.model.place(context):
            assert context.computed < len(ids)
            self.live.append(context)
        else:
            assert self.live, "whoever is alone has room"

    @rule(n=st.integers(0, 99), size=st.integers(1, 30))
    def compute(self, n: int, size: int) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            for place in range(context.computed, min(len(context.ids), context.computed + size)):
                for number, kv in enumerate(self.model.pool.kv):
                    kv[context.home[place // 8], place % 8] = float(context.ids[place] + number * 10**6)
                context.computed = place + 1

    @rule(n=st.integers(0, 99), ids=contexts)
    def write(self, n: int, ids: list[int]) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            context.ids.extend(ids)
            if len(context.ids) > self.model.longest or not self.model.place(context):
                del context.ids[-len(ids) :]

    @rule(n=st.integers(0, 99))
    def keep(self, n: int) -> None:
        if self.live:
            context = self.live[n % len(self.live)]
            self.model.keep(context)
            assert self.model.prefixes.known(context.ids[: context.computed]) == context.computed

    @rule(n=st.integers(0, 99))
    def leave(self, n: int) -> None:
        if self.live:
            self.model.release(self.live.pop(n % len(self.live)))

    @rule()
    def drop(self) -> None:
        self.model.prefixes.drop()

    @invariant()
    def each_has_its_own_text(self) -> None:
        for context in self.live:
            assert len(context.home) * 8 >= context.computed
            for number, kv in enumerate(self.model.pool.kv):
                ids = torch.tensor(context.ids[: context.computed]) + number * 10**6
                found = kv[context.home].flatten(0, 1)[: context.computed].flatten(1)
                assert torch.equal(found, ids[:, None].expand(-1, 2).float())

    @invariant()
    def the_tree_says_what_its_pages_hold(self) -> None:
        for page in self.model.prefixes._order if hasattr(self, "model") else ():
            found = self.model.pool.kv[0][page.kept, : len(page.ids), 0, 0, 0]
            assert found.tolist() == list(page.ids)

    @invariant()
    def every_use_is_counted(self) -> None:
        if hasattr(self, "model"):
            check(self.model, self.live)

    def teardown(self) -> None:
        if hasattr(self, "model"):
            for context in self.live:
                self.model.release(context)
            while self.model.prefixes.drop():
                pass
            assert self.model.pool.free == self.model.pool.limit


PagesMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestPages = PagesMachine.TestCase
