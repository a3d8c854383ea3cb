"""Languages by the names that translators have for them. Keys are BCP-47 tags in lower case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from llmsdk.errors import InputError

NLLB: Mapping[str, str] = {
    "af": "afr_Latn", "am": "amh_Ethi", "ar": "arb_Arab", "az": "azj_Latn", "be": "bel_Cyrl", "bg": "bul_Cyrl",
    "bn": "ben_Beng", "bs": "bos_Latn", "ca": "cat_Latn", "cs": "ces_Latn", "cy": "cym_Latn", "da": "dan_Latn",
    "de": "deu_Latn", "el": "ell_Grek", "en": "eng_Latn", "eo": "epo_Latn", "es": "spa_Latn", "et": "est_Latn",
    "eu": "eus_Latn", "fa": "pes_Arab", "fi": "fin_Latn", "fil": "tgl_Latn", "fr": "fra_Latn", "ga": "gle_Latn",
    "gl": "glg_Latn", "gu": "guj_Gujr", "ha": "hau_Latn", "he": "heb_Hebr", "hi": "hin_Deva", "hr": "hrv_Latn",
    "hu": "hun_Latn", "hy": "hye_Armn", "id": "ind_Latn", "ig": "ibo_Latn", "is": "isl_Latn", "it": "ita_Latn",
    "ja": "jpn_Jpan", "jv": "jav_Latn", "ka": "kat_Geor", "kk": "kaz_Cyrl", "km": "khm_Khmr", "kn": "kan_Knda",
    "ko": "kor_Hang", "ku": "kmr_Latn", "ky": "kir_Cyrl", "lb": "ltz_Latn", "lo": "lao_Laoo", "lt": "lit_Latn",
    "lv": "lvs_Latn", "mg": "plt_Latn", "mi": "mri_Latn", "mk": "mkd_Cyrl", "ml": "mal_Mlym", "mn": "khk_Cyrl",
    "mr": "mar_Deva", "ms": "zsm_Latn", "mt": "mlt_Latn", "my": "mya_Mymr", "nb": "nob_Latn", "ne": "npi_Deva",
    "nl": "nld_Latn", "nn": "nno_Latn", "no": "nob_Latn", "pa": "pan_Guru", "pl": "pol_Latn", "ps": "pbt_Arab",
    "pt": "por_Latn", "ro": "ron_Latn", "ru": "rus_Cyrl", "rw": "kin_Latn", "si": "sin_Sinh", "sk": "slk_Latn",
    "sl": "slv_Latn", "so": "som_Latn", "sq": "als_Latn", "sr": "srp_Cyrl", "sr-cyrl": "srp_Cyrl", "su": "sun_Latn",
    "sv": "swe_Latn", "sw": "swh_Latn", "ta": "tam_Taml", "te": "tel_Telu", "tg": "tgk_Cyrl", "th": "tha_Thai",
    "ti": "tir_Ethi", "tk": "tuk_Latn", "tl": "tgl_Latn", "tr": "tur_Latn", "tt": "tat_Cyrl", "ug": "uig_Arab",
    "uk": "ukr_Cyrl", "ur": "urd_Arab", "uz": "uzn_Latn", "vi": "vie_Latn", "wo": "wol_Latn", "xh": "xho_Latn",
    "yi": "ydd_Hebr", "yo": "yor_Latn", "yue": "yue_Hant", "zh": "zho_Hans", "zh-hans": "zho_Hans",
    "zh-hant": "zho_Hant", "zu": "zul_Latn",
}  # fmt: skip
MBART50: Mapping[str, str] = {
    "af": "af_ZA", "ar": "ar_AR", "az": "az_AZ", "bn": "bn_IN", "cs": "cs_CZ", "de": "de_DE", "en": "en_XX",
    "es": "es_XX", "et": "et_EE", "fa": "fa_IR", "fi": "fi_FI", "fil": "tl_XX", "fr": "fr_XX", "gl": "gl_ES",
    "gu": "gu_IN", "he": "he_IL", "hi": "hi_IN", "hr": "hr_HR", "id": "id_ID", "it": "it_IT", "ja": "ja_XX",
    "ka": "ka_GE", "kk": "kk_KZ", "km": "km_KH", "ko": "ko_KR", "lt": "lt_LT", "lv": "lv_LV", "mk": "mk_MK",
    "ml": "ml_IN", "mn": "mn_MN", "mr": "mr_IN", "my": "my_MM", "ne": "ne_NP", "nl": "nl_XX", "pl": "pl_PL",
    "ps": "ps_AF", "pt": "pt_XX", "ro": "ro_RO", "ru": "ru_RU", "si": "si_LK", "sl": "sl_SI", "sv": "sv_SE",
    "sw": "sw_KE", "ta": "ta_IN", "te": "te_IN", "th": "th_TH", "tl": "tl_XX", "tr": "tr_TR", "uk": "uk_UA",
    "ur": "ur_PK", "vi": "vi_VN", "xh": "xh_ZA", "zh": "zh_CN", "zh-hans": "zh_CN",
}  # fmt: skip
_M2M100 = (
    "af am ar az be bg bn bs ca cs cy da de el en es et fa fi fr ga gl gu ha he hi hr hu hy id ig is it ja jv ka kk km "
    "kn ko lb lo lt lv mg mk ml mn mr ms my ne nl no pa pl ps pt ro ru si sk sl so sq sr su sv sw ta th tl tr uk ur uz "
    "vi wo xh yi yo zh zu"
)
M2M100: Mapping[str, str] = {code: code for code in _M2M100.split()} | {"fil": "tl", "nb": "no"}

_SCRIPTS = {
    "zh-cn": "zh-hans", "zh-sg": "zh-hans", "zh-tw": "zh-hant", "zh-hk": "zh-hant", "zh-mo": "zh-hant",
}  # fmt: skip
"""Regions that mean a script."""


@dataclass(frozen=True, slots=True)
class Languages:
    """What one translator knows: to and from which languages, and what it calls them."""

    model: str
    to: Mapping[str, str]
    source: Mapping[str, str]
    is_coded: bool
    """It is told the languages of each text; otherwise it knows one pair."""

    @classmethod
    def pair(cls, model: str, source: str, to: str) -> Self:
        return cls(model, {to.lower(): to}, {source.lower(): source}, is_coded=False)

    @classmethod
    def coded(cls, model: str, codes: Mapping[str, str]) -> Self:
        known = {tag.lower(): code for tag, code in codes.items()}
        return cls(model, known, known, is_coded=True)

    def parameters(self, to: str, source: str | None) -> dict[str, str]:
        """How the model is told what to translate to and from.

        Raises:
            InputError: a language that it does not know, or ``source`` missing where it has to be told.
        """
        into = self._code("to", to, self.to)
        if source is None and self.is_coded:
            hint = f'Pass source="en", or what it is; {self.model} does not find out.'
            raise InputError("the language of the text is not given", argument="source", hint=hint)
        out_of = None if source is None else self._code("source", source, self.source)
        return {"src_lang": out_of, "tgt_lang": into} if self.is_coded and out_of else {}

    def _code(self, argument: str, tag: str, known: Mapping[str, str]) -> str:
        found = next((known[name] for name in _names(tag) if name in known), None)
        if found is None:
            where = "to" if argument == "to" else "from"
            hint = f"It knows {', '.join(sorted(known))}."
            raise InputError(f"{self.model} does not translate {where} {tag!r}", argument=argument, hint=hint)
        return found

    def doubt(self, to: str) -> str | None:
        """A warning, where the model knows the language but not the variety that is asked for."""
        if next(_names(to)) in self.to:
            return None
        return f"{self.model} does not tell {to} from other varieties of the language"


def _names(tag: str) -> Iterator[str]:
    """The names to look a tag up by, the most particular first."""
    name = _SCRIPTS.get(tag.lower(), tag.lower())
    while name:
        yield name
        name = name.rpartition("-")[0]
