"""Languages between the tags of callers (BCP-47) and the codes of translators, of which every family has its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SAME = (
    "af afr|am amh|ar ara arb|az aze azj|be bel|bg bul|bn ben|bs bos|ca cat|cs ces cze|cy cym wel|da dan|de deu ger|"
    "el ell gre|en eng|eo epo|es spa|et est ekk|eu eus baq|fa fas per pes|fi fin|fil tl tgl|fr fra fre|ga gle|gl glg|"
    "gu guj|ha hau|he iw heb|hi hin|hr hrv|hu hun|hy hye arm|id ind|ig ibo|is isl ice|it ita|ja jpn jap|jv jav|"
    "ka kat geo|kk kaz|km khm|kn kan|ko kor|ku kur kmr|ky kir|la lat|lb ltz|lo lao|lt lit|lv lav lvs|mg mlg plt|"
    "mi mri|mk mkd|ml mal|mn mon khk|mr mar|ms msa zsm|mt mlt|my mya|ne nep npi|nl nld dut|nn nno|no nb nor nob|"
    "pa pan|pl pol|ps pus pbt|pt por|ro ron rum|ru rus|rw kin|si sin|sk slk|sl slv|so som|sq sqi als|sr srp|su sun|"
    "sv swe|sw swa swh|ta tam|te tel|tg tgk|th tha|ti tir|tk tuk|tr tur|tt tat|ug uig|uk ukr|ur urd|uz uzb uzn|"
    "vi vie|wo wol|xh xho|yi yid ydd|yo yor|yue|zh zho cmn|zu zul"
)
_GROUP = {code: group for group in map(str.split, _SAME.split("|")) for code in group}
"""The codes of ISO 639 for the same language, the one of BCP-47 first."""
_SCRIPTS = {"zh-cn": "hans", "zh-sg": "hans", "zh-tw": "hant", "zh-hk": "hant", "zh-mo": "hant"}
"""Regions that mean a script."""


def match(tag: str, known: Iterable[str]) -> str | None:
    """Which of the codes that a model knows means the language of a BCP-47 tag.

    A script that the tag names must be the model's, where its codes have any; a region is a preference.
    """
    language, *rest = tag.lower().split("-")
    script = _script(tag)
    group = _GROUP.get(language, [language])
    fits = [(code, parts) for code in sorted(known) if (parts := re.split("[-_]", code.lower()))[0] in group]
    if script is not None:
        fits = [(code, parts) for code, parts in fits if script in parts or not any(len(part) == 4 for part in parts)]
    # Its own code before another of the same language, its own region before another.
    fits.sort(key=lambda found: (found[1][0] != language, not set(rest) & set(found[1][1:])))
    return fits[0][0] if fits else None


def covers(code: str, tag: str) -> bool:
    """Whether a code names the script and the region that a tag does, so that the model tells them from others."""
    _, *rest = tag.lower().split("-")
    wanted = {_SCRIPTS[tag.lower()]} if tag.lower() in _SCRIPTS else set(rest)
    return wanted <= {*re.split("[-_]", code.lower())[1:], _script(code)}


def is_language(code: str) -> bool:
    """Whether a code is one of a language that is known, and not of a group of them."""
    return re.split("[-_]", code.lower())[0] in _GROUP


def _script(code: str) -> str | None:
    """The script that a tag or a code names, or that its region means."""
    name = code.lower().replace("_", "-")
    return next((part for part in name.split("-")[1:] if len(part) == 4), _SCRIPTS.get(name))
