"""Languages by BCP-47 tag: checked, named in English for a prompt, and with a good answer to a near miss."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmsdk.errors import InputError, brief

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "fa": "Persian", "fi": "Finnish", "fil": "Filipino", "fr": "French", "ga": "Irish", "gl": "Galician",
    "gu": "Gujarati", "ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "ig": "Igbo", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "jv": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean",
    "ku": "Kurdish", "ky": "Kyrgyz", "la": "Latin", "lb": "Luxembourgish", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mg": "Malagasy", "mi": "Maori", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian",
    "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese", "nb": "Norwegian Bokmål", "ne": "Nepali",
    "nl": "Dutch", "nn": "Norwegian Nynorsk", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "rw": "Kinyarwanda", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sr": "Serbian", "su": "Sundanese", "sv": "Swedish",
    "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "tg": "Tajik", "th": "Thai", "ti": "Tigrinya", "tk": "Turkmen",
    "tl": "Tagalog", "tr": "Turkish", "tt": "Tatar", "ug": "Uyghur", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "wo": "Wolof", "xh": "Xhosa", "yi": "Yiddish", "yo": "Yoruba", "yue": "Cantonese",
    "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
VARIANTS = {
    "zh-hans": "Simplified Chinese", "zh-cn": "Simplified Chinese", "zh-sg": "Simplified Chinese",
    "zh-hant": "Traditional Chinese", "zh-tw": "Traditional Chinese", "zh-hk": "Traditional Chinese (Hong Kong)",
    "en-gb": "British English", "en-us": "American English", "pt-br": "Brazilian Portuguese",
    "pt-pt": "European Portuguese", "es-419": "Latin American Spanish", "fr-ca": "Canadian French",
    "sr-latn": "Serbian (Latin script)", "sr-cyrl": "Serbian (Cyrillic script)",
}  # fmt: skip
MEANT = {
    "jp": "ja", "cn": "zh", "kr": "ko", "gr": "el", "cz": "cs", "ua": "uk", "dk": "da", "se": "sv", "us": "en-US",
    "uk-en": "en-GB", "gb": "en-GB", "br": "pt-BR", "tw": "zh-TW", "hk": "zh-HK", "vn": "vi", "mandarin": "zh",
    "eng": "en", "chi": "zh", "zho": "zh", "jpn": "ja", "kor": "ko", "fra": "fr", "fre": "fr", "deu": "de",
    "ger": "de", "spa": "es", "ita": "it", "por": "pt", "rus": "ru", "ara": "ar", "iw": "he", "in": "id",
    "deutsch": "de", "español": "es", "français": "fr", "italiano": "it", "português": "pt", "русский": "ru",
    "中文": "zh", "汉语": "zh", "日本語": "ja", "한국어": "ko", "العربية": "ar",
}  # fmt: skip
"""What people type and what they mean. Some are tags of rare languages (``cn``, ``br``): the common error wins."""

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|\d{3}))?(-([a-z0-9]{5,8}|\d[a-z0-9]{3}))*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Language:
    """A checked tag in its usual spelling (``zh-Hant-TW``) and its English name."""

    tag: str
    name: str


def language(tag: str, argument: str) -> Language:
    """Check a BCP-47 tag.

    Raises:
        InputError: not a tag, or a language nobody knows; the hint says what was probably meant.
    """
    if not isinstance(tag, str):
        raise InputError(
            f"{argument}={brief(tag)} is not a language tag", argument=argument, hint='Pass a str like "zh".'
        )
    match = _TAG.fullmatch(tag.strip())
    code = match["language"].lower() if match else ""
    if match is None or tag != tag.strip() or tag.lower() in MEANT or (len(code) == 2 and code not in NAMES):
        raise InputError(
            f"{argument}={brief(tag)} is not a language we know", argument=argument, hint=_hint(tag, argument)
        )
    if code in MEANT and code not in NAMES:
        raise InputError(
            f"{argument}={brief(tag)} is not a language we know", argument=argument, hint=_hint(tag, argument)
        )
    return Language(_spell(match), _name(match))


def _spell(match: re.Match[str]) -> str:
    head = [match["language"].lower()]
    if match["script"]:
        head.append(match["script"].title())
    if match["region"]:
        head.append(match["region"].upper())
    rest = match.string.strip()[len("-".join(head)) :]
    return "-".join(head) + rest.lower()


def _name(match: re.Match[str]) -> str:
    """The most particular name we have; a language without one is named by its tag."""
    code, script, region = (match[group].lower() if match[group] else "" for group in ("language", "script", "region"))
    for subtag in (script, region):
        if subtag and (name := VARIANTS.get(f"{code}-{subtag}")):
            return name
    name = NAMES.get(code, f"the language with the tag {code}")
    return f"{name} ({_spell(match)})" if script or region else name


def _hint(tag: str, argument: str) -> str:
    """Say what was probably meant: a tag spelt with ``_``, a country for a language, a name for a tag."""
    text = tag.strip().replace("_", "-")
    if argument == "source" and text.lower() in ("auto", "detect"):
        return "Leave source out: the model finds out."
    if meant := MEANT.get(text.lower()):
        return f'Did you mean "{meant}"?'
    by_name = {name.lower(): code for code, name in NAMES.items()} | {
        name.lower(): tag for tag, name in reversed(VARIANTS.items())
    }
    from difflib import get_close_matches

    if close := get_close_matches(text.lower(), by_name, n=1, cutoff=0.8):
        found = _TAG.fullmatch(by_name[close[0]])
        assert found
        return f'Did you mean "{_spell(found)}" ({close[0].title()})?'
    match = _TAG.fullmatch(text)
    if match and match["language"].lower() in NAMES:
        return f'Did you mean "{_spell(match)}"?'
    if match and (meant := MEANT.get(match["language"].lower())):
        return f'Did you mean "{meant}"?'
    return 'Pass a BCP-47 tag such as "en", "zh", "zh-Hant" or "pt-BR".'
