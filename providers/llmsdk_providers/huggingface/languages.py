"""What translators of the hub know: the codes of families, and how each model is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from llmsdk.errors import InputError
from llmsdk.wire.languages import covers, match

_NLLB = (
    "afr_Latn als_Latn amh_Ethi arb_Arab azj_Latn bel_Cyrl ben_Beng bos_Latn bul_Cyrl cat_Latn ces_Latn cym_Latn "
    "dan_Latn deu_Latn ell_Grek eng_Latn epo_Latn est_Latn eus_Latn fin_Latn fra_Latn gle_Latn glg_Latn guj_Gujr "
    "hau_Latn heb_Hebr hin_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan "
    "kan_Knda kat_Geor kaz_Cyrl khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kmr_Latn kor_Hang lao_Laoo lit_Latn ltz_Latn "
    "lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva pan_Guru "
    "pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn rus_Cyrl sin_Sinh slk_Latn slv_Latn som_Latn spa_Latn "
    "srp_Cyrl sun_Latn swe_Latn swh_Latn tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tuk_Latn "
    "tur_Latn uig_Arab ukr_Cyrl urd_Arab uzn_Latn vie_Latn wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans "
    "zho_Hant zsm_Latn zul_Latn"
)
_MBART50 = (
    "af_ZA ar_AR az_AZ bn_IN cs_CZ de_DE en_XX es_XX et_EE fa_IR fi_FI fr_XX gl_ES gu_IN he_IL hi_IN hr_HR id_ID "
    "it_IT ja_XX ka_GE kk_KZ km_KH ko_KR lt_LT lv_LV mk_MK ml_IN mn_MN mr_IN my_MM ne_NP nl_XX pl_PL ps_AF pt_XX "
    "ro_RO ru_RU si_LK sl_SI sv_SE sw_KE ta_IN te_IN th_TH tl_XX tr_TR uk_UA ur_PK vi_VN xh_ZA zh_CN"
)
_M2M100 = (
    "af am ar az be bg bn bs ca cs cy da de el en es et fa fi fr ga gl gu ha he hi hr hu hy id ig is it ja jv ka "
    "kk km kn ko lb lo lt lv mg mk ml mn mr ms my ne nl no pa pl ps pt ro ru si sk sl so sq sr su sv sw ta th tl "
    "tr uk ur uz vi wo xh yi yo zh zu"
)
NLLB, MBART50, M2M100 = (codes.split() for codes in (_NLLB, _MBART50, _M2M100))
"""The codes that each family has for its languages."""


@dataclass(frozen=True, slots=True)
class Languages:
    """What one translator knows: to and from which languages, and what it calls them."""

    model: str
    to: Mapping[str, str]
    """Codes or tags, and what the model calls them."""
    source: Mapping[str, str]
    is_coded: bool
    """It is told the languages of each text; otherwise it knows one pair."""

    @classmethod
    def pair(cls, model: str, source: str, to: str) -> Self:
        return cls(model, {to: to}, {source: source}, is_coded=False)

    @classmethod
    def coded(cls, model: str, codes: Mapping[str, str] | Iterable[str]) -> Self:
        known = codes if isinstance(codes, Mapping) else {code: code for code in codes}
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
        found = _found(tag, known)
        if found is None:
            where = "to" if argument == "to" else "from"
            hint = f"It knows {', '.join(sorted(known))}."
            raise InputError(f"{self.model} does not translate {where} {tag!r}", argument=argument, hint=hint)
        return known[found]

    def doubt(self, to: str) -> str | None:
        """A warning, where the model knows the language but not the variety that is asked for."""
        found = _found(to, self.to)
        if found is None or covers(found, to):
            return None
        return f"{self.model} does not tell {to} from other varieties of the language"


def _found(tag: str, known: Iterable[str]) -> str | None:
    """What a tag is among what a model knows: in another script rather than not at all."""
    return match(tag, known) or match(tag.partition("-")[0], known)
