"""Languages between the tags of callers and the codes of translators."""

from __future__ import annotations

import pytest

from llmsdk.tasks.languages import NAMES
from llmsdk.wire.languages import covers, is_language, match


@pytest.mark.parametrize(
    ("tag", "known", "found"),
    [
        ("de", ["eng_Latn", "deu_Latn"], "deu_Latn"),
        ("de-AT", ["de"], "de"),
        ("zh", ["zho_Hans", "zho_Hant"], "zho_Hans"),
        ("zh-TW", ["zho_Hans", "zho_Hant"], "zho_Hant"),
        ("zh-Hant-HK", ["zh_CN"], "zh_CN"),
        ("pt-BR", ["pt_PT", "pt_BR"], "pt_BR"),
        ("no", ["nno_Latn", "nob_Latn"], "nob_Latn"),
        ("fil", ["tgl_Latn"], "tgl_Latn"),
        ("en", ["de", "fr"], None),
        ("sr-Latn", ["srp_Cyrl"], None),
        ("haw", ["haw"], "haw"),
    ],
)
def test_languages_by_the_codes_of_models(tag: str, known: list[str], found: str | None) -> None:
    assert match(tag, known) == found


@pytest.mark.parametrize(
    ("code", "tag", "yes"),
    [
        ("deu_Latn", "de", True), ("deu_Latn", "de-AT", False), ("zho_Hant", "zh-TW", True), ("zh_CN", "zh-Hans", True),
        ("zh_CN", "zh-CN", True), ("zh_CN", "zh-Hant", False), ("zh", "zh-CN", False), ("pt_BR", "pt-BR", True),
        ("azj_Latn", "az-Latn", True), ("srp_Cyrl", "sr-Cyrl-RS", False),
    ],
)  # fmt: skip
def test_a_code_covers_a_tag_if_it_names_as_much(code: str, tag: str, yes: bool) -> None:
    assert covers(code, tag) is yes


def test_every_language_with_a_name_is_known_by_its_codes() -> None:
    assert [tag for tag in NAMES if not is_language(tag)] == []
    assert not is_language("ROMANCE")
