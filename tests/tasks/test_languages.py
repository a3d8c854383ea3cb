"""Language tags: what is accepted, and what is answered to a near miss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsdk.errors import InputError
from llmsdk.tasks.languages import NAMES, language


@pytest.mark.parametrize(
    ("tag", "spelt", "name"),
    [
        ("zh", "zh", "Chinese"),
        ("EN", "en", "English"),
        ("zh-hant", "zh-Hant", "Traditional Chinese"),
        ("zh-Hant-TW", "zh-Hant-TW", "Traditional Chinese"),
        ("pt-br", "pt-BR", "Brazilian Portuguese"),
        ("es-419", "es-419", "Latin American Spanish"),
        ("de-CH", "de-CH", "German (de-CH)"),
        ("yue", "yue", "Cantonese"),
        ("ast", "ast", "the language with the tag ast"),
        ("sl-rozaj", "sl-rozaj", "Slovenian"),
    ],
)
def test_accepts_tags_in_their_usual_spelling(tag: str, spelt: str, name: str) -> None:
    found = language(tag, "to")
    assert (found.tag, found.name) == (spelt, name)


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        ("zh_cn", '"zh-CN"'),
        ("jp", '"ja"'),
        ("Chinese", '"zh"'),
        ("german", '"de"'),
        ("Deutsch", '"de"'),
        ("中文", '"zh"'),
        ("eng", '"en"'),
        ("kr", '"ko"'),
        ("pt_BR", '"pt-BR"'),
        (" zh", '"zh"'),
        ("Traditional Chinese", '"zh-Hant"'),
    ],
)
def test_says_what_was_probably_meant(tag: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        language(tag, "to")
    assert meant in caught.value.hint
    assert caught.value.argument == "to"


@pytest.mark.parametrize("tag", ["", "xx", "zz", "klingon!", "123", "a", "en-", "-en", "e n"])
def test_refuses_what_is_no_language(tag: str) -> None:
    with pytest.raises(InputError) as caught:
        language(tag, "source")
    assert caught.value.hint


@pytest.mark.parametrize(("argument", "hint"), [("source", "Leave source out"), ("to", "Pass a BCP-47 tag")])
def test_a_source_that_is_to_be_found_out_is_left_out(argument: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        language("auto", argument)
    assert hint in caught.value.hint


@given(st.sampled_from(sorted(NAMES)))
def test_every_known_language_is_accepted_as_it_is(code: str) -> None:
    assert language(code, "to").name == NAMES[code]


@given(st.text(max_size=30))
def test_never_fails_in_another_way(tag: str) -> None:
    try:
        found = language(tag, "to")
    except InputError:
        return
    assert language(found.tag, "to") == found
