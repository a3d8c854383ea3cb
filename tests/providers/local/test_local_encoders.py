"""Holds classifiers, extractive readers and sentence vectors to what the module of transformers says of the same."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_kit import CORPUS, poison
from task_kit import events_of, make_encoder, make_sentences, output_of

from llmsdk import AsyncClient, Client
from llmsdk.errors import ContextTooLong, InputError, LLMError, ModelFileError, NumericalFault, Unsupported
from llmsdk.io.drive import drive
from llmsdk.io.sync import SyncIO
from llmsdk.types import Request, Span
from llmsdk_providers.local import Local
from llmsdk_providers.local.encoders import Row
from llmsdk_providers.local.folder import open_folder
from llmsdk_providers.local.purpose import purpose, supposed
from llmsdk_providers.local.spans import LONGEST

torch = pytest.importorskip("torch", reason="the local runtime needs torch")
transformers = pytest.importorskip("transformers", reason="the local runtime needs transformers")

LABELS = {"id2label": {0: "good", 1: "bad", 2: "so so"}, "label2id": {"good": 0, "bad": 1, "so so": 2}}
NLI = {
    "id2label": {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"},
    "label2id": {"CONTRADICTION": 0, "NEUTRAL": 1, "ENTAILMENT": 2},
}
CONFIG = {"providers": {"local": {"threads": 1}}}
DOCUMENT = " ".join(CORPUS) * 3
"""Longer than a window."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("encoders")
    makers: dict[str, Callable[[Path], Path]] = {
        "labels": lambda path: make_encoder(path, "ForSequenceClassification", **LABELS),
        "multi": lambda path: make_encoder(
            path, "ForSequenceClassification", problem_type="multi_label_classification", **LABELS
        ),
        "nli": lambda path: make_encoder(path, "ForSequenceClassification", **NLI),
        "spans": lambda path: make_encoder(path, "ForQuestionAnswering"),
        "bare": lambda path: make_encoder(path, "Model"),
        "mean": lambda path: make_sentences(path, modules=["Normalize"], pooling_mode_mean_tokens=True),
        "cls": lambda path: make_sentences(path, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False),
        "last": lambda path: make_sentences(path, pooling_mode="lasttoken"),
        "max": lambda path: make_sentences(path, pooling_mode_max_tokens=True),
    }
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = makers[kind](root / kind)
        return made[kind]

    return get


@lru_cache
def reference(folder: Path, auto: str) -> tuple[Any, Any]:
    return (
        transformers.AutoTokenizer.from_pretrained(folder),
        getattr(transformers, auto).from_pretrained(folder, dtype=torch.float32).eval(),
    )


def outputs(folder: Path, auto: str, *texts: str) -> Any:
    """What the module says of a text, or two, alone."""
    tokenizer, model = reference(folder, auto)
    with torch.inference_mode():
        return model(**tokenizer(*texts, return_tensors="pt"))


def classify(provider: Local, folder: Path, text: str, labels: Sequence[str] = (), multi: bool = False) -> Any:
    return output_of(events_of(provider.classify(Request(str(folder), text), labels, multi, SyncIO())))


def answer(provider: Local, folder: Path, question: str, documents: Sequence[str]) -> tuple[Span, ...]:
    found: tuple[Span, ...] = output_of(events_of(provider.answer(Request(str(folder), question), documents, SyncIO())))
    return found


def embed(provider: Local, folder: Path, texts: Sequence[str]) -> Any:
    return output_of(events_of(provider.embed(str(folder), texts, SyncIO())))


# --- classes ------------------------------------------------------------------------------------------------------


def test_a_head_gives_its_own_labels(local: Local, models: Callable[[str], Path]) -> None:
    folder = models("labels")
    for text in CORPUS:
        shares = outputs(folder, "AutoModelForSequenceClassification", text).logits[0].softmax(-1).tolist()
        found = classify(local, folder, text)
        assert list(found) == ["good", "bad", "so so"]
        assert list(found.values()) == pytest.approx(shares, abs=1e-5)


def test_a_head_that_judges_each_label_by_itself(local: Local, models: Callable[[str], Path]) -> None:
    folder = models("multi")
    logits = outputs(folder, "AutoModelForSequenceClassification", "a dog").logits[0]
    assert list(classify(local, folder, "a dog", (), True).values()) == pytest.approx(
        logits.sigmoid().tolist(), abs=1e-5
    )
    assert sum(classify(local, folder, "a dog").values()) == pytest.approx(1)


def test_labels_that_follow_from_the_text(local: Local, models: Callable[[str], Path]) -> None:
    folder, labels = models("nli"), ["weather", "animals", "a very long label about something else"]
    each = [
        outputs(folder, "AutoModelForSequenceClassification", CORPUS[1], f"This example is {label}.").logits[0]
        for label in labels
    ]
    alone = [float(logits[[0, 2]].softmax(-1)[1]) for logits in each]
    chosen = torch.stack([logits[2] for logits in each]).softmax(-1).tolist()
    assert list(classify(local, folder, CORPUS[1], labels, True).values()) == pytest.approx(alone, abs=1e-5)
    assert list(classify(local, folder, CORPUS[1], labels).values()) == pytest.approx(chosen, abs=1e-5)


def test_classify_through_the_client(models: Callable[[str], Path]) -> None:
    with Client(f"local:{models('labels')}", config=CONFIG) as client:
        found = client.classify([*CORPUS, "dog"], ["Bad", "good", "so so"])
        assert {item.route for item in found} == {"native"}
        assert found[0].probability == "exact"
        assert sum(found[0].scores.values()) == pytest.approx(1)
        assert found[0].usage.source == "local"
        with pytest.raises(InputError, match="labels") as caught:
            client.classify("dog", ["yes", "no"])
        assert "'so so'" in caught.value.hint
        with pytest.raises(Unsupported, match=r"chat.*classify"):
            client.chat("Hello")
    with Client(f"local:{models('nli')}", config=CONFIG) as client:
        assert client.classify("dog", ["yes", "no"]).route == "native"


def test_one_who_chooses_says_so_when_asked_for_several(models: Callable[[str], Path]) -> None:
    with Client(f"local:{models('labels')}", config=CONFIG) as client:
        found = client.classify("dog", ["good", "bad"], multi=True)
        assert found.scores.keys() == {"good", "bad"}
        assert "choose one label" in found.warnings[0]
    with Client(f"local:{models('multi')}", config=CONFIG) as client:
        assert not client.classify("dog", ["good", "bad"], multi=True).warnings


def test_a_head_for_figures_is_none_for_labels(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "model", "ForSequenceClassification", num_labels=1, problem_type="regression")
    with pytest.raises(Unsupported, match="regression"):
        classify(fresh(), folder, "dog")


# --- answers ------------------------------------------------------------------------------------------------------


def searched(folder: Path, question: str, document: str) -> tuple[float, float, int, int, float]:
    """The best span by looking at each one: its score, that of no answer, its characters and its probability."""
    tokenizer, model = reference(folder, "AutoModelForQuestionAnswering")
    limit = 128
    asked = len(tokenizer(question)["input_ids"])
    room = limit - asked - 1
    rows = tokenizer(
        question, document, truncation="only_second", max_length=limit, stride=min(128, room // 2),
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    spans: dict[tuple[int, int], float] = {}
    nothing = math.inf
    for n, ids in enumerate(rows["input_ids"]):
        kinds = torch.tensor([rows["token_type_ids"][n]])
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([ids]), token_type_ids=kinds)
        starts, ends = found.start_logits[0].tolist(), found.end_logits[0].tolist()
        nothing = min(nothing, starts[0] + ends[0])
        places = [at for at, side in enumerate(rows.sequence_ids(n)) if side == 1]
        for first in places:
            for last in places[places.index(first) :][:LONGEST]:
                key = (rows["offset_mapping"][n][first][0], rows["offset_mapping"][n][last][1])
                spans[key] = max(spans.get(key, -math.inf), starts[first] + ends[last])
    (start, end), score = max(spans.items(), key=lambda item: item[1])
    total = math.log(sum(math.exp(value - score) for value in [*spans.values(), nothing])) + score
    return score, nothing, start, end, math.exp(score - total)


@pytest.mark.parametrize("question", ["Who liked to play?", "weather", "Is it good or bad?", "dog"])
@pytest.mark.parametrize("document", [CORPUS[0], DOCUMENT], ids=["short", "long"])
def test_the_best_span_of_a_document(local: Local, models: Callable[[str], Path], question: str, document: str) -> None:
    folder = models("spans")
    score, nothing, start, end, share = searched(folder, question, document)
    found = answer(local, folder, question, [document])
    if score <= nothing:
        assert found == ()
        return
    assert [(span.source, span.start, span.end) for span in found] == [(0, start, end)]
    assert found[0].score == pytest.approx(share, rel=1e-3)
    assert document[start:end].strip() == document[start:end]


def test_no_answer_is_one(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "model", "ForQuestionAnswering")

    def silence(weights: dict[str, Any]) -> None:
        """Let the first token of each row win, wherever the question ends."""
        weights["bert.embeddings.word_embeddings.weight"][2] = 40.0
        weights["qa_outputs.weight"].fill_(0)
        weights["bert.encoder.layer.1.output.LayerNorm.weight"].fill_(0)

    poison(folder, silence)
    # All tokens are alike now: no span is better than none.
    assert answer(fresh(), folder, "Who?", [CORPUS[0], CORPUS[1]]) == ()


def test_several_documents_through_the_client(models: Callable[[str], Path]) -> None:
    documents = [CORPUS[2], DOCUMENT, CORPUS[0], " \n "]
    with Client(f"local:{models('spans')}", config=CONFIG) as client:
        found = client.answer("Who liked to play in the garden?", context=documents)
        assert (found.route, found.usage.source) == ("native", "local")
        for item in found.evidence:
            assert documents[item.source][item.start : item.end] == item.quote
        best = answer(Local("local", Local.Settings(threads=1)), models("spans"), "Who liked to play?", documents)
        assert [span.score for span in best] == sorted((span.score for span in best), reverse=True)  # type: ignore[type-var]
        with pytest.raises(Unsupported):
            client.answer("Who?")


def test_a_question_that_leaves_no_room(local: Local, models: Callable[[str], Path]) -> None:
    with pytest.raises(ContextTooLong, match="question"):
        answer(local, models("spans"), "dog " * 110, ["It is good."])


# --- vectors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mean", "cls", "last", "max", "bare"])
def test_vectors_are_pooled_as_the_folder_says(local: Local, models: Callable[[str], Path], kind: str) -> None:
    folder = models(kind)
    texts = [*CORPUS, "dog", "It is good"]
    found = embed(local, folder, texts)
    for text, vector in zip(texts, found, strict=True):
        hidden = outputs(folder, "AutoModel", text).last_hidden_state[0]
        wanted = {"cls": hidden[0], "last": hidden[-1], "max": hidden.amax(0)}.get(kind, hidden.mean(0))
        wanted = wanted / wanted.norm() if kind == "mean" else wanted
        assert vector == pytest.approx(wanted.tolist(), abs=1e-4)


def test_embed_through_both_clients(models: Callable[[str], Path]) -> None:
    model = f"local:{models('mean')}"
    with Client(model, config=CONFIG) as client:
        found = client.embed(["dog", "It is good"])
        assert (len(found.vectors), found.usage.source, found.usage.output_tokens) == (2, "local", 0)
        with pytest.raises(Unsupported, match=r"chat.*embed"):
            client.chat("Hello")

    async def main() -> Any:
        async with AsyncClient(model, config=CONFIG) as client:
            return (await client.embed(["dog", "It is good"])).vectors

    assert asyncio.run(main()) == found.vectors


def test_a_folder_that_names_no_pooling_is_warned_of(models: Callable[[str], Path]) -> None:
    with Client(f"local:{models('bare')}", config=CONFIG) as client:
        assert "the mean over all tokens" in client.embed(["dog"]).warnings[0]


def test_steps_that_cannot_be_done_are_refused(fresh: Callable[..., Local], tmp_path: Path) -> None:
    for name, modules, pooled in (("dense", ["Dense"], {"pooling_mode_mean_tokens": True}), ("both", [], {
        "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True})):  # fmt: skip
        folder = make_sentences(tmp_path / name, modules=modules, **pooled)
        with pytest.raises(Unsupported, match=r"Dense|pools"):
            embed(fresh(), folder, ["dog"])
    (folder / "modules.json").write_text('{"no": "list"}', "utf-8")
    with pytest.raises(ModelFileError, match="modules"):
        embed(fresh(), folder, ["dog"])


def test_a_prompt_of_the_folder_stands_before_each_text(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_sentences(tmp_path / "model", pooling_mode_mean_tokens=True)
    plain = embed(fresh(), folder, ["passage: dog"])
    table = {"prompts": {"passage": "passage: "}, "default_prompt_name": "passage"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(table), "utf-8")
    assert embed(fresh(), folder, ["dog"]) == plain


# --- batches ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_rows_of_a_bucket_have_about_the_same_length(one: int, other: int) -> None:
    a, b = Row((0,) * one), Row((0,) * other)
    if a.bucket == b.bucket:
        assert max(one, other) <= 8 or max(one, other) <= 1.5 * min(one, other)
    if one <= other:
        assert a.bucket <= b.bucket


@settings(max_examples=8)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_texts_of_all_lengths_come_back_in_order(local: Local, models: Callable[[str], Path], sizes: list[int]) -> None:
    folder = models("mean")
    texts = [f"{n} " + "dog " * size for n, size in enumerate(sizes)]
    together = embed(local, folder, texts)
    assert [embed(local, folder, [text])[0] for text in texts] == [
        pytest.approx(vector, abs=1e-5) for vector in together
    ]


def test_a_text_with_a_fault_ends_alone(fresh: Callable[..., Local], tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "model", "ForSequenceClassification", **LABELS)
    whole = classify(fresh(), folder, "dog")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    bad = tokenizer.encode("weather", add_special_tokens=False)[0]
    poison(folder, lambda weights: weights["bert.embeddings.word_embeddings.weight"][bad].fill_(math.nan))
    provider = fresh()

    def job(text: str) -> Callable[[], Any]:
        async def run() -> Any:
            try:
                events = provider.classify(Request(str(folder), text), (), False, SyncIO())
                return output_of([event async for event in events])
            except LLMError as error:
                return error

        return run

    found = drive(SyncIO().gather([job(text) for text in ("dog", "weather", "dog")], 3))
    assert isinstance(found[1], NumericalFault)
    assert found[0] == pytest.approx(whole, abs=1e-5)
    assert found[2] == pytest.approx(whole, abs=1e-5)


def test_a_request_that_is_left_ends_with_its_batch(fresh: Callable[..., Local], models: Callable[[str], Path]) -> None:
    provider, folder = fresh(), models("mean")
    texts = ["dog " * 100] * 400

    async def main() -> None:
        async with AsyncClient(f"local:{folder}", config=CONFIG) as client:
            await client.embed(["dog"])
            with pytest.raises(LLMError):
                await client.embed(texts, deadline=0.05)

    asyncio.run(main())
    embed(provider, folder, ["dog"])
    load = provider._shelf.get(str(folder)).load
    assert (load.running, load.waiting) == (0, 0)


def test_a_text_that_does_not_fit_is_refused(local: Local, models: Callable[[str], Path]) -> None:
    for ask in (
        lambda: embed(local, models("mean"), ["dog", "dog " * 400]),
        lambda: classify(local, models("labels"), "dog " * 400),
    ):
        with pytest.raises(ContextTooLong) as caught:
            ask()
        assert caught.value.limit == 128


def test_control_tokens_in_a_text_are_text(local: Local, models: Callable[[str], Path]) -> None:
    row = local._shelf.get(str(models("mean"))).reader().row("a [SEP] b [CLS] c [PAD]")
    assert (row.ids.count(3), row.ids.count(2), row.ids.count(0)) == (1, 1, 0)


# --- what a folder is for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "causal"),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, "causal"),
        ({"architectures": ["MarianMTModel"], "model_type": "marian", "is_encoder_decoder": True}, "seq2seq"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "seq2seq"),
        ({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}, "causal"),
        ({"architectures": ["MarianForCausalLM"], "model_type": "marian"}, "causal"),
        ({"architectures": ["BertForSequenceClassification"], "model_type": "bert"}, "labels"),
        (
            {
                "architectures": ["DebertaV2ForSequenceClassification"],
                "model_type": "deberta-v2",
                "id2label": {"0": "entailment", "1": "not_entailment"},
            },
            "entailment",
        ),
        ({"architectures": ["BertForQuestionAnswering"], "model_type": "bert"}, "spans"),
        ({"architectures": ["MPNetModel"], "model_type": "mpnet"}, "vectors"),
    ],
    ids=str,
)
def test_what_a_folder_is_for(models: Callable[[str], Path], tmp_path: Path, keys: dict[str, Any], kind: str) -> None:
    import shutil

    folder = shutil.copytree(models("bare"), tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(keys), "utf-8")
    assert purpose(open_folder(folder, "x")).kind == kind


def test_what_a_name_on_the_hub_promises() -> None:
    assert supposed("Helsinki-NLP/opus-mt-en-de").native == {"translate"}
    assert supposed("deepset/roberta-base-squad2").native == {"answer"}
    assert supposed("facebook/bart-large-mnli").native == {"classify"}
    assert supposed("sentence-transformers/all-MiniLM-L6-v2").verbs == ("embed",)
    assert supposed("Qwen/Qwen3-0.6B").chats


def test_what_is_said_of_how_it_runs(local: Local, models: Callable[[str], Path]) -> None:
    told = local.describe(str(models("labels")))
    assert told == "the module of transformers, in float32 on cpu: it was made to classify"


def test_quantize_is_not_for_them(fresh: Callable[..., Local], models: Callable[[str], Path]) -> None:
    with pytest.raises(Unsupported, match="classify"):
        classify(fresh(quantize="int8"), models("labels"), "dog")
