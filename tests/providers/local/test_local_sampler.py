"""From logits to a token: values checked, filters as transformers has them, seeds that hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import InputError
from llmsdk.types import Request
from llmsdk_providers.local.choosing import NONE, choose
from llmsdk_providers.local.sampler import Sampler, Sampling, logprobs, pick

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
torch.set_num_threads(1)


def sampling(**fields: Any) -> Sampling:
    return Sampling.of(Request("m", "p", **fields))


def draws(rule: Sampling, logits: Any, count: int = 400, prompt: tuple[int, ...] = ()) -> list[int]:
    """Tokens drawn from ever the same logits."""
    sampler = Sampler(rule, prompt, len(logits))
    return [token for _ in range(count) for token in pick([sampler], logits[None]) if token is not None]


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "1"},
        {"temperature": True},
        {"top_k": 0},
        {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.5},
        {"repetition_penalty": 0.0},
        {"presence_penalty": math.nan},
        {"frequency_penalty": math.inf},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {1: math.nan}},
        {"seed": 1.0},
        {"seed": 2**64},
    ],
)
def test_values_that_mean_nothing(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        sampling(**fields)
    assert caught.value.argument in fields


def test_without_a_temperature_the_most_probable_token_is_taken() -> None:
    assert sampling() == Sampling(temperature=0.0)
    assert set(draws(sampling(), LOGITS, 5)) == {0}


@pytest.mark.parametrize("fields", [{"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.1}])
def test_asking_for_a_filter_is_asking_to_draw(fields: dict[str, Any]) -> None:
    assert sampling(**fields).temperature == 1.0
    assert sampling(**fields, temperature=0).temperature == 0


# --- filters ------------------------------------------------------------------------------------------------------


def allowed(rule: dict[str, Any]) -> set[int]:
    """The tokens that transformers leaves under the same rule."""
    from transformers import generation

    logits = LOGITS[None].clone()
    kinds = {"temperature": "Temperature", "top_k": "TopK", "top_p": "TopP", "min_p": "MinP"}
    for name, kind in kinds.items():
        if name in rule:
            logits = getattr(generation, f"{kind}LogitsWarper")(rule[name])(torch.zeros(1, 1, dtype=torch.long), logits)
    return {token for token in range(len(LOGITS)) if logits[0, token] > -math.inf}


@pytest.mark.parametrize(
    "rule",
    [
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 99},
        {"top_p": 0.05},
        {"top_p": 0.5},
        {"top_p": 0.9},
        {"top_p": 1.0},
        {"min_p": 0.1},
        {"min_p": 1.0},
        {"temperature": 2.0, "top_k": 4, "top_p": 0.8, "min_p": 0.2},
        {"temperature": 0.3, "top_p": 0.95},
    ],
)
def test_filters_leave_what_transformers_leaves(rule: dict[str, Any]) -> None:
    drawn = draws(sampling(**{"temperature": 1.0, **rule}, seed=1), LOGITS, 1000)
    assert set(drawn) == allowed(rule)


def test_draws_have_the_chances_of_the_softmax() -> None:
    drawn = draws(sampling(temperature=1.5, seed=7), LOGITS, 3_000)
    for token, chance in enumerate((LOGITS / 1.5).softmax(-1).tolist()):
        assert drawn.count(token) / 3_000 == pytest.approx(chance, abs=0.03)


def test_the_smallest_temperature_is_still_a_number() -> None:
    assert set(draws(sampling(temperature=1e-45), LOGITS, 20)) == {0}


# --- penalties ----------------------------------------------------------------------------------------------------


def test_repetition_penalty_counts_the_prompt_and_is_that_of_transformers() -> None:
    from transformers.generation import RepetitionPenaltyLogitsProcessor

    prompt = (0, 5)
    theirs = RepetitionPenaltyLogitsProcessor(3.0)(torch.tensor([prompt]), LOGITS[None].clone())
    ours = Sampler(sampling(repetition_penalty=3.0), prompt, len(LOGITS)).adjusted(LOGITS)
    assert torch.equal(ours, theirs[0])


def test_presence_is_paid_once_and_frequency_each_time() -> None:
    assert draws(sampling(presence_penalty=1.2), LOGITS, 4) == [0, 1, 0, 0]
    assert draws(sampling(frequency_penalty=0.6), LOGITS, 6) == [0, 0, 1, 0, 2, 1]


def test_the_prompt_costs_neither_presence_nor_frequency() -> None:
    assert draws(sampling(presence_penalty=5.0, frequency_penalty=5.0), LOGITS, 1, prompt=(0, 0)) == [0]


def test_bias_is_added() -> None:
    assert draws(sampling(logit_bias={5: 5.5}), LOGITS, 1) == [5]
    assert draws(sampling(logit_bias={0: -100.0}), LOGITS, 1) == [1]


# --- seeds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, -1, 2**64 - 1, -(2**63)])
def test_a_seed_gives_the_same_tokens_whatever_else_is_drawn(seed: int) -> None:
    rule = sampling(temperature=1.0, seed=seed)
    alone = draws(rule, LOGITS, 50)
    one, other = Sampler(rule, (), len(LOGITS)), Sampler(sampling(temperature=1.0), (), len(LOGITS))
    between = []
    for _ in range(50):
        torch.rand(3)
        between.append(pick([other, one], torch.stack([LOGITS, LOGITS]))[1])
    assert between == alone


def test_without_a_seed_draws_differ() -> None:
    rule = sampling(temperature=1.0)
    assert draws(rule, LOGITS, 60) != draws(rule, LOGITS, 60)


# --- many at once -------------------------------------------------------------------------------------------------


@given(
    rules=st.lists(
        st.fixed_dictionaries(
            {"temperature": st.sampled_from([0.0, 0.5, 1.0, 3.0])},
            optional={
                "top_k": st.integers(1, 9),
                "top_p": st.floats(0.05, 1.0),
                "min_p": st.floats(0.0, 1.0),
                "repetition_penalty": st.sampled_from([0.5, 2.0]),
                "presence_penalty": st.sampled_from([-1.0, 1.0]),
                "logit_bias": st.just({2: 4.0}),
                "seed": st.integers(0, 9),
            },
        ),
        min_size=1,
        max_size=6,
    ),
    broken=st.sets(st.integers(0, 5)),
)
def test_company_leaves_the_tokens_of_a_sequence_as_they_are(rules: list[dict[str, Any]], broken: set[int]) -> None:
    def samplers() -> list[Sampler]:
        return [Sampler(sampling(**{"seed": 1, **rule}), (0, 3), len(LOGITS)) for rule in rules]

    rows = torch.stack([LOGITS.roll(n) for n in range(len(rules))])
    for n in broken.intersection(range(len(rules))):
        rows[n, 1] = math.nan
    together, alone = samplers(), samplers()
    for _ in range(5):
        expected = [pick([sampler], row[None])[0] for sampler, row in zip(alone, rows, strict=True)]
        assert pick(together, rows) == expected
        assert [n for n, token in enumerate(expected) if token is None] == sorted(broken & set(range(len(rules))))


@pytest.mark.parametrize("rows", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_what_is_no_number_is_no_token(rows: list[float]) -> None:
    for rule in (sampling(), sampling(temperature=1.0)):
        assert pick([Sampler(rule, (), 2)] * 2, torch.tensor([rows, [1.0, 0.0]]))[0] is None


# --- grammars -----------------------------------------------------------------------------------------------------


class Held:
    """A place in a grammar that allows some of eight tokens, and the token 5 as an end of what is whole."""

    end, stop_ids, ended = 8, (5,), False

    def __init__(self, *tokens: int, whole: bool = False) -> None:
        self.bits = bytes([sum(1 << token for token in tokens), int(whole), 0, 0])
        self.whole = whole


def held(rule: Sampling, *tokens: int, whole: bool = False) -> Sampler:
    return Sampler(rule, (), len(LOGITS), Held(*tokens, whole=whole))  # type: ignore[arg-type]


RULES = st.fixed_dictionaries(
    {"seed": st.integers(0, 9)},
    optional={
        "temperature": st.sampled_from([0.0, 0.3, 1.0, 20.0]),
        "top_k": st.integers(1, 8),
        "top_p": st.sampled_from([0.1, 0.5, 0.9, 1.0]),
        "min_p": st.sampled_from([0.05, 0.5, 1.0]),
        "repetition_penalty": st.sampled_from([0.5, 1.7]),
        "presence_penalty": st.sampled_from([-1.0, 1.0]),
        "frequency_penalty": st.sampled_from([-1.0, 1.0]),
        "logit_bias": st.just({2: 4.0}),
    },
)


@given(
    rules=st.lists(st.tuples(RULES, st.sampled_from([None, (1,), (0, 3, 4)])), min_size=1, max_size=6),
    broken=st.sets(st.integers(0, 5)),
)
def test_what_is_chosen_on_a_device_is_what_is_picked_on_the_cpu(
    rules: list[tuple[dict[str, Any], tuple[int, ...] | None]], broken: set[int]
) -> None:
    def samplers() -> list[Sampler]:
        made = [(sampling(**rule), tokens) for rule, tokens in rules]
        return [Sampler(r, (0, 3), len(LOGITS)) if tokens is None else held(r, *tokens) for r, tokens in made]

    rows = torch.stack([LOGITS.roll(n) for n in range(len(rules))])
    for n in broken.intersection(range(len(rules))):
        rows[n, 1] = math.nan
    ours, plain = samplers(), samplers()
    for _ in range(5):
        tokens = choose(ours, rows).tolist()
        assert [None if token == NONE else token for token in tokens] == pick(plain, rows)
        for sampler, token in zip(ours, tokens, strict=True):
            if token != NONE:
                sampler.saw(token)


@pytest.mark.parametrize("fields", [{}, {"temperature": 1.0}, {"temperature": 9.0, "top_k": 2}, {"min_p": 0.2}])
def test_only_what_a_grammar_allows_is_drawn(fields: dict[str, Any]) -> None:
    for tokens in ({3, 4}, {1}, {2, 3, 4}):
        sampler = held(sampling(**fields), *tokens)
        assert {pick([sampler], LOGITS[None])[0] for _ in range(50)} <= tokens


def test_filters_count_what_is_allowed_and_bias_and_penalties_change_nothing_of_it() -> None:
    sampler = held(sampling(temperature=50.0, top_k=2, seed=1), 2, 3, 4)
    assert {pick([sampler], LOGITS[None])[0] for _ in range(100)} == {2, 3}
    biased = held(sampling(logit_bias={0: 100.0, 4: 9.0}, repetition_penalty=9.0), 3, 4)
    assert [pick([biased], LOGITS[None])[0] for _ in range(3)] == [4, 4, 4]


def test_the_end_is_allowed_where_the_reply_is_whole_and_only_there() -> None:
    ending = LOGITS.clone()
    ending[5] = 50.0
    for tokens in ((1, 5), (1,)):
        assert pick([held(sampling(), *tokens), held(sampling(), *tokens, whole=True)], ending.repeat(2, 1)) == [1, 5]


def test_rows_with_and_without_a_grammar() -> None:
    rows = LOGITS.repeat(4, 1)
    samplers = [held(sampling(), 3), Sampler(sampling(), (), 6), held(sampling(), 1, 4), Sampler(sampling(), (), 6)]
    assert pick(samplers, rows) == [3, 0, 1, 0]
    assert torch.equal(rows, LOGITS.repeat(4, 1)), "the logits stay the model's"


@pytest.mark.parametrize("fields", [{}, {"temperature": 1.0, "frequency_penalty": 1.0}])
def test_nothing_that_is_allowed_has_a_number(fields: dict[str, Any]) -> None:
    gone = torch.tensor([0.0, -math.inf, -math.inf, 1.0, 0.0, 0.0])
    samplers = [held(sampling(**fields), 1, 2), held(sampling(**fields), 1, 3), held(sampling(**fields))]
    assert pick(samplers, gone.repeat(3, 1)) == [None, 3, None]
    assert choose(samplers, gone.repeat(3, 1)).tolist() == [NONE, 3, NONE]


# --- logprobs -----------------------------------------------------------------------------------------------------


def test_logprobs_are_the_models_own() -> None:
    chances = LOGITS.log_softmax(-1).tolist()
    chosen, best = logprobs(LOGITS, 3, 2)
    assert chosen == pytest.approx(chances[3])
    assert [token for token, _ in best] == [0, 1]
    assert [chance for _, chance in best] == pytest.approx(chances[:2])


@pytest.mark.parametrize(("top", "count"), [(0, 0), (99, 6)])
def test_as_many_alternatives_as_there_are(top: int, count: int) -> None:
    assert len(logprobs(LOGITS, 0, top)[1]) == count
