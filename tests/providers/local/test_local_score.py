"""Label scores: those of one forward pass a candidate, in one pass for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from local_kit import SPECIAL, load_reference, scores

from llmsdk.errors import ContextTooLong, InputError
from llmsdk.io.drive import iterate
from llmsdk.io.sync import SyncIO
from llmsdk.types import Info, Message, Output, Request, Usage
from llmsdk_providers.local import Local
from llmsdk_providers.local.native import Native

torch = pytest.importorskip("torch", reason="the local runtime needs torch")

LABELS = ["good", "bad", "very good and happy", "今天", "x" * 30]
CONVERSATION = (Message("system", "Which label fits? Reply with one label only."), Message("user", "great dog"))


def naive(folder: Path, prompt: Sequence[int], row: Sequence[int]) -> float:
    """log P of a row, by a forward pass over prompt and row together."""
    _, model = load_reference(folder)
    with torch.inference_mode():
        chances = model(torch.tensor([[*prompt, *row]])).logits[0].float().log_softmax(-1)
    return sum(float(chances[len(prompt) - 1 + n, token]) for n, token in enumerate(row))


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "mistral", "mamba2", "rwkv"])
def test_scores_of_a_conversation_are_those_of_one_pass_each(
    local: Local, tiny: Callable[[str], Path], kind: str
) -> None:
    folder = tiny(kind)
    tokenizer, _ = load_reference(folder)
    turns = [{"role": message.role, "content": message.text} for message in CONVERSATION]
    prompt = tokenizer.encode(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    found = scores(local, Request(str(folder), CONVERSATION), LABELS)
    for label, score in zip(LABELS, found, strict=True):
        row = [*tokenizer.encode(label), tokenizer.convert_tokens_to_ids(SPECIAL[1])]
        assert score.tokens == len(row)
        assert score.logprob == pytest.approx(naive(folder, prompt, row), abs=1e-4)


def test_scores_of_a_raw_prompt_have_no_end(local: Local, stories: Path) -> None:
    tokenizer, _ = load_reference(stories)
    prompt = "Once upon a"
    found = scores(local, Request(str(stories), prompt), [" time", " big dog", "n"])
    for label, score in zip([" time", " big dog", "n"], found, strict=True):
        ids = tokenizer.encode(prompt)
        row = tokenizer.encode(prompt + label)[len(ids) :]
        assert score.tokens == len(row)
        assert score.logprob == pytest.approx(naive(stories, ids, row), abs=1e-4)
    assert found[0] == max(found, key=lambda score: score.logprob)


def test_the_probabilities_of_all_next_tokens_add_up_to_one(local: Local, tiny: Callable[[str], Path]) -> None:
    """A candidate of one token has exactly that token's probability."""
    tokenizer, _ = load_reference(tiny("llama"))
    ids = tokenizer.encode("dog")
    words = {word: found for word in LABELS if len(found := tokenizer.encode(word)) == 1}
    words |= {letter: tokenizer.encode(letter) for letter in "ABCxyz!?"}
    found = scores(local, Request(str(tiny("llama")), "dog"), list(words))
    _, model = load_reference(tiny("llama"))
    with torch.inference_mode():
        chances = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    for row, score in zip(words.values(), found, strict=True):
        assert math.exp(score.logprob) == pytest.approx(float(chances[row[0]]), rel=1e-3)


def test_the_prompt_is_computed_once_and_candidates_together(
    fresh: Callable[..., Local], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    forward, branches = Native.forward, Native.branches
    monkeypatch.setattr(
        Native, "forward", lambda self, pieces: calls.append(("prompt", len(pieces))) or forward(self, pieces)
    )
    monkeypatch.setattr(
        Native,
        "branches",
        lambda self, context, rows: calls.append(("rows", len(rows))) or branches(self, context, rows),
    )
    labels = [f"label {n}" for n in range(10)]
    few = scores(fresh(max_batch=4), Request(str(tiny("llama")), "dog"), labels)
    assert [call for call, _ in calls].count("prompt") == 1
    assert [count for call, count in calls if call == "rows"] == [4, 4, 2]
    monkeypatch.setattr("llmsdk_providers.local.score.TOKENS", 2 * few[0].tokens + 1)
    calls.clear()
    assert scores(fresh(max_batch=4), Request(str(tiny("llama")), "dog"), labels)
    assert {count for call, count in calls if call == "rows"} <= {1, 2}
    monkeypatch.setattr("llmsdk_providers.local.score.TOKENS", 10**6)
    many = scores(fresh(max_batch=16), Request(str(tiny("llama")), "dog"), labels)
    assert calls[-1] == ("rows", 10)
    assert [score.logprob for score in few] == pytest.approx([score.logprob for score in many], abs=1e-4)


def test_order_and_duplicates_change_nothing(local: Local, tiny: Callable[[str], Path]) -> None:
    request = Request(str(tiny("llama")), CONVERSATION)
    there = scores(local, request, LABELS)
    back = scores(local, request, [*reversed(LABELS), LABELS[0]])
    assert [score.logprob for score in back] == pytest.approx(
        [score.logprob for score in (*reversed(there), there[0])], abs=1e-4
    )


def test_the_events_of_a_scoring(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    request = Request(str(tiny("llama")), CONVERSATION)
    provider = fresh()
    with closing(iterate(provider.score(request, ["good"], SyncIO()))) as events:
        usage, output, info = list(events)
    assert isinstance(output, Output)
    tokens = provider.count(request).value + output.value[0].tokens
    assert usage == Usage(input_tokens=tokens, output_tokens=0, cached_input_tokens=0, source="local")
    assert info == Info(model=str(tiny("llama")))


def test_a_candidate_cannot_end_the_reply_by_spelling_its_end(local: Local, tiny: Callable[[str], Path]) -> None:
    plain, spelt = scores(local, Request(str(tiny("llama")), CONVERSATION), ["a", f"a{SPECIAL[1]}"])
    assert spelt.tokens > plain.tokens + 1


@pytest.mark.parametrize("candidates", [[], [""], ["good", ""]])
def test_candidates_that_mean_nothing(local: Local, tiny: Callable[[str], Path], candidates: list[str]) -> None:
    with pytest.raises(InputError):
        scores(local, Request(str(tiny("llama")), "dog"), candidates)


def test_candidates_that_do_not_fit(local: Local, tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ContextTooLong) as caught:
        scores(local, Request(str(tiny("llama")), "dog"), ["good", "q" * 300])
    assert caught.value.limit == 256


def test_leaving_a_scoring(fresh: Callable[..., Local], tiny: Callable[[str], Path]) -> None:
    """The engine has let go of it when the next request has been served."""
    provider: Any = fresh(max_batch=1)
    events = iterate(provider.score(Request(str(tiny("llama")), "dog"), ["good"] * 5, SyncIO()))
    next(events)
    events.close()
    scores(provider, Request(str(tiny("llama")), "dog"), ["good"])
    assert provider._shelf.get(str(tiny("llama"))).load.running == 0
