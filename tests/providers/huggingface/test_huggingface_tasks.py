"""Bodies of tasks, byte for byte, and what is made of the replies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import ConfigError, InputError, InvalidBody
from llmsdk.provider import Answers, Classifies, Embeds, Translates
from llmsdk.types import Request, Span
from llmsdk.wire.languages import match
from llmsdk_providers.huggingface import HuggingFace, Settings, languages, models, tasks

PLAIN = Settings(api_key="k")
REQUEST = Request("m", "x")


# --- what a model is for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("Helsinki-NLP/opus-mt-en-zh", "translation"),
        ("facebook/nllb-200-distilled-600M", "translation"),
        ("facebook/m2m100_418M", "translation"),
        ("facebook/mbart-large-50-many-to-many-mmt", "translation"),
        ("deepset/roberta-base-squad2", "question-answering"),
        ("distilbert/distilbert-base-cased-distilled-squad", "question-answering"),
        ("facebook/bart-large-mnli", "zero-shot-classification"),
        ("MoritzLaurer/ModernBERT-large-zeroshot-v2.0", "zero-shot-classification"),
        ("joeddav/xlm-roberta-large-xnli", "zero-shot-classification"),
        ("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "text-classification"),
        ("cardiffnlp/twitter-roberta-base-sentiment-latest", "text-classification"),
        ("sentence-transformers/all-MiniLM-L6-v2", "feature-extraction"),
        ("BAAI/bge-small-en-v1.5", "feature-extraction"),
        ("BAAI/bge-reranker-base", "chat"),
        ("meta-llama/Llama-3.1-8B-Instruct", "chat"),
        ("Qwen/Qwen3-32B:together", "chat"),
        ("deepset/roberta-base-squad2:together", "chat"),
        ("../squad", "chat"),
        ("a/b/squad", "chat"),
    ],
)
def test_families_are_known_by_their_names(model: str, task: str) -> None:
    assert models.task(model, PLAIN) == task


def test_the_settings_know_better() -> None:
    said = Settings(
        api_key="k",
        tasks={"acme/squad-talker": "chat", "acme/t5": {"task": "translation", "pair": ["en", "de"]}, "gpt2": "chat"},
    )
    assert models.task("acme/squad-talker", said) == "chat"
    assert models.task("acme/t5", said) == "translation"
    assert models.languages("acme/t5", said).parameters("de", "en") == {}


@pytest.mark.parametrize(
    "tasks",
    [
        {"acme/x": "summarization"},
        {"acme/../x": "translation"},
        {"acme/x?y": "translation"},
        {"acme/x": {"task": "chat", "pair": ["en", "de"]}},
        {"acme/x": {"task": "translation", "pair": ["en"]}},
        {"acme/x": {"task": "translation", "languages": ["en"]}},
    ],
)
def test_settings_that_cannot_work(tasks: Any) -> None:
    with pytest.raises(ConfigError, match="tasks"):
        Settings(api_key="k", tasks=tasks)


def test_a_model_offers_what_it_is_made_for_and_nothing_else() -> None:
    provider = HuggingFace("huggingface", Settings(api_key="k", context=512))
    for protocol in (Translates, Answers, Classifies, Embeds):
        assert isinstance(provider, protocol)
    for model, native in [("a/squad", {"answer"}), ("a/mnli", {"classify"}), ("BAAI/bge-small", set())]:
        can = provider.capabilities(model)
        assert (can.chat, can.complete, can.native, can.context) == (False, False, native, 512)
        assert can.options == frozenset()
    chats = provider.capabilities("Qwen/Qwen3-32B")
    assert (chats.chat, chats.schema, chats.native) == (True, "strict", frozenset())


# --- languages ----------------------------------------------------------------------------------------------------


def test_one_pair_is_all_that_most_know() -> None:
    opus = models.languages("Helsinki-NLP/opus-mt-en-zh", PLAIN)
    assert opus.parameters("zh", None) == opus.parameters("zh-CN", "en-GB") == {}
    assert opus.doubt("zh") is None
    assert "zh-Hant" in (opus.doubt("zh-Hant") or "")
    for to, source, argument in [("de", "en", "to"), ("zh", "de", "source"), ("en", "zh", "to")]:
        with pytest.raises(InputError, match="does not translate") as wrong:
            opus.parameters(to, source)
        assert wrong.value.argument == argument
    assert models.languages("Helsinki-NLP/opus-mt-en-jap", PLAIN).parameters("ja", "en") == {}


@pytest.mark.parametrize(
    ("model", "to", "source", "codes"),
    [
        ("facebook/nllb-200-distilled-600M", "zh", "en", ("eng_Latn", "zho_Hans")),
        ("facebook/nllb-200-distilled-600M", "zh-TW", "pt-BR", ("por_Latn", "zho_Hant")),
        ("facebook/nllb-200-distilled-600M", "sr-Cyrl-RS", "nb", ("nob_Latn", "srp_Cyrl")),
        ("facebook/mbart-large-50-many-to-many-mmt", "fr", "en", ("en_XX", "fr_XX")),
        ("facebook/m2m100_418M", "nb", "zh-Hans", ("zh", "no")),
    ],
)
def test_models_of_many_languages_are_told_which(model: str, to: str, source: str, codes: tuple[str, str]) -> None:
    known = models.languages(model, PLAIN)
    assert known.parameters(to, source) == {"src_lang": codes[0], "tgt_lang": codes[1]}
    with pytest.raises(InputError, match="language of the text") as missing:
        known.parameters(to, None)
    assert missing.value.argument == "source"
    with pytest.raises(InputError, match="does not translate to 'la'"):
        known.parameters("la", source)


def test_codes_of_ones_own() -> None:
    said = Settings(api_key="k", tasks={"acme/m": {"task": "translation", "codes": {"EN": "<en>", "de": "<de>"}}})
    assert models.languages("acme/m", said).parameters("de-AT", "en") == {"src_lang": "<en>", "tgt_lang": "<de>"}
    assert "de-AT" in (models.languages("acme/m", said).doubt("de-AT") or "")


@pytest.mark.parametrize("model", ["acme/t5", "Helsinki-NLP/opus-mt-en-ROMANCE", "Helsinki-NLP/opus-mt-tc-big-zle-en",
                                   "facebook/mbart-large-50-one-to-many-mmt"])  # fmt: skip
def test_languages_are_not_guessed(model: str) -> None:
    with pytest.raises(ConfigError, match="not known which languages") as unknown:
        models.languages(model, PLAIN)
    assert model in unknown.value.hint


@pytest.mark.parametrize("table", [languages.NLLB, languages.MBART50, languages.M2M100])
def test_every_code_of_a_family_is_reached_by_a_tag_that_people_pass(table: list[str]) -> None:
    from llmsdk.tasks.languages import NAMES, VARIANTS

    assert {match(tag, table) for tag in (*NAMES, *VARIANTS)} - {None} == {*table}


# --- golden -------------------------------------------------------------------------------------------------------


def test_bodies() -> None:
    assert tasks.body("Hi!", {}, REQUEST) == {"inputs": "Hi!"}
    coded = {"src_lang": "en_XX", "tgt_lang": "fr_XX"}
    assert tasks.body("Hi!", coded, REQUEST) == {"inputs": "Hi!", "parameters": coded}
    assert tasks.question("Who?", "Anna.", REQUEST) == {
        "inputs": {"question": "Who?", "context": "Anna."},
        "parameters": {"handle_impossible_answer": True, "max_answer_len": 30},
    }
    assert tasks.zero_shot("x", ("a", "b"), True, REQUEST) == {
        "inputs": "x", "parameters": {"candidate_labels": ["a", "b"], "multi_label": True},
    }  # fmt: skip
    assert tasks.head("x", True, REQUEST) == {"inputs": "x", "parameters": {"top_k": 1000}}
    assert tasks.head("x", False, REQUEST)["parameters"] == {"top_k": 1000, "function_to_apply": "softmax"}


def test_what_the_caller_adds_is_added() -> None:
    extra = Request("m", "x", extra_body={"parameters": {"hypothesis_template": "Es geht um {}."}, "options": {"a": 1}})
    sent = tasks.zero_shot("x", ("a", "b"), False, extra)
    assert sent["parameters"] == {
        "candidate_labels": ["a", "b"], "multi_label": False, "hypothesis_template": "Es geht um {}.",
    }  # fmt: skip
    assert sent["options"] == {"a": 1}


def parsed(text: str) -> Any:
    return json.loads(text)


def test_replies() -> None:
    assert tasks.translation(parsed('[{"translation_text":"Hallo Welt"}]')) == "Hallo Welt"
    assert tasks.translation(parsed('{"translation_text":""}')) == ""
    head = '[[{"label":"POSITIVE","score":0.75},{"label":"NEGATIVE","score":0.25}]]'
    assert tasks.shares(parsed(head)) == tasks.shares(parsed(head)[0]) == {"POSITIVE": 0.75, "NEGATIVE": 0.25}
    assert tasks.shares(parsed('{"sequence":"x","labels":["b","a"],"scores":[1.0000001,0]}')) == {"b": 1.0, "a": 0.0}
    assert tasks.vectors(parsed("[[1,0.5],[2,0]]"), 2) == ((1.0, 0.5), (2.0, 0.0))


@pytest.mark.parametrize(
    ("read", "reply"),
    [
        (tasks.translation, "[]"), (tasks.translation, '[{"generated_text":"x"}]'), (tasks.translation, "[1]"),
        (tasks.translation, '{"translation_text":null}'),
        (tasks.shares, "[]"), (tasks.shares, "[[]]"), (tasks.shares, '{"labels":["a"]}'), (tasks.shares, "{}"),
        (tasks.shares, '[{"label":1,"score":0.5}]'), (tasks.shares, '[{"label":"a","score":"x"}]'),
        (tasks.shares, '[{"label":"a","score":1.5}]'), (tasks.shares, '[{"label":"a","score":true}]'),
        (tasks.shares, "1"),
    ],
)  # fmt: skip
def test_replies_that_are_none(read: Any, reply: str) -> None:
    with pytest.raises(InvalidBody):
        read(parsed(reply))


@pytest.mark.parametrize("reply", ["{}", "[[1]]", '[["x"],[1]]', "[[[1,2]],[[3,4]]]", "[[1],2]", '{"a":1}'])
def test_vectors_that_are_none(reply: str) -> None:
    with pytest.raises(InvalidBody) as none:
        tasks.vectors(parsed(reply), 2)
    assert ("sentence" in none.value.hint) == ("[[[" in reply)


# --- spans --------------------------------------------------------------------------------------------------------

PAGE = "My name is Clara and I live in Berkeley."


def test_a_span_is_where_it_says() -> None:
    reply = {"score": 0.93, "start": 11, "end": 16, "answer": "Clara"}
    assert list(tasks.spans(reply, 3, PAGE)) == list(tasks.spans([reply], 3, PAGE)) == [Span(3, 11, 16, 0.93)]


@pytest.mark.parametrize("start", [0, -5, 12, 999, None, "11", 11.0])
def test_a_span_that_is_elsewhere_is_looked_up(start: Any) -> None:
    assert list(tasks.spans({"answer": "Clara", "start": start, "score": 0.5}, 0, PAGE)) == [Span(0, 11, 16, 0.5)]


def test_none_and_nonsense() -> None:
    assert list(tasks.spans({"answer": "", "start": 0, "end": 0, "score": 0.99}, 0, PAGE)) == []
    for reply in ([], {}, {"answer": None}, {"answer": "Bob", "start": 0, "score": 0.1}, [1], "x",
                  {"answer": "Clara", "start": 11, "score": "high"}):  # fmt: skip
        with pytest.raises(InvalidBody):
            list(tasks.spans(reply, 0, PAGE))


@given(st.text(min_size=1), st.data())
def test_any_passage_of_any_document_is_found(page: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(page) - 1))
    end = data.draw(st.integers(start + 1, len(page)))
    wrong = data.draw(st.sampled_from([start, start + 1, -1, None]))
    found = list(tasks.spans({"answer": page[start:end], "start": wrong, "score": 0.5}, 0, page))
    assert [page[span.start : span.end] for span in found] == ([page[start:end]] if page[start:end].strip() else [])
    if wrong == start and found:
        assert found[0].start == start
