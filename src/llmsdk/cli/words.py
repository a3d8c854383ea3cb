"""What the library says to a programmer, said to somebody at a shell: flags for arguments, commands for methods."""

from __future__ import annotations

import re

from llmsdk.errors import ConfigError, InputError, LLMError, Unsupported

FLAGS: dict[str, str] = {
    "deadline": "--timeout",
    "formality": "--formality",
    "glossary": "--glossary",
    "labels": "--labels",
    "max_tokens": "--max-tokens",
    "model": "--model",
    "multi": "--multi",
    "seed": "--seed",
    "source": "--from",
    "stop": "--stop",
    "suffix": "--suffix",
    "system": "--system",
    "temperature": "--temperature",
    "threshold": "--threshold",
    "to": "--to",
}
"""Arguments of the verbs, and the options of the commands that set them."""
PLAIN: dict[str, str] = {
    "messages": "the text",
    "prompt": "the text",
    "text": "the text",
    "question": "the question",
    "context": "file",
}
"""Arguments that have no option of their own."""

_ASSIGNED = re.compile(rf"(?<![\w.'\"])({'|'.join(FLAGS)}) ?= ?(True\b)?")
_PHRASES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"(?<![\w.'\"-])max_tokens\b(?! ?=)", "--max-tokens"),
        (r"^to and source\b", "--to and --from"),
        (r"\btimeout=\{'(\w+)': \.\.\.\}", r"\1 under [timeouts] in llmsdk.toml"),
        (r"\bretry_unknown=True", "LLMSDK_RETRY_UNKNOWN=true"),
        (r"\bretry attempts\b", "LLMSDK_RETRY_ATTEMPTS"),
        (r'on_unsupported="drop" leaves it out', "Leave it out"),
        (r"\bconfig=", "--config"),
        (r"\b(ca_bundle|client_cert)=", r"\1 under [providers.NAME]"),
        (r"\bclient\.models\(\)", "`llmsdk models PROVIDER`"),
        (r"\bclient\.models\(\"([\w-]+)\"\)", r"`llmsdk models \1`"),
        (r"\b(chat|complete)\(\)", r"`llmsdk \1`"),
        (r"\bis in \.partial\b", "stands above"),
    )
)


def in_shell(error: LLMError) -> tuple[str, str]:
    """Message and hint of an error, in the words of the command line."""
    if isinstance(error, ConfigError):  # its keys are those of the file
        return error.message, _phrased(error.hint)
    message = error.message
    if isinstance(error, InputError | Unsupported):
        message = _named(error, told(message))
    return message, told(error.hint)


def told(text: str) -> str:
    """A sentence of the library in the words of the command line."""
    return _phrased(_ASSIGNED.sub(lambda found: FLAGS[found[1]] + ("" if found[2] else " "), text))


def _phrased(text: str) -> str:
    for pattern, words in _PHRASES:
        text = pattern.sub(words, text)
    return text


def _named(error: InputError | Unsupported, message: str) -> str:
    """The message with the argument that it is about named as the user knows it."""
    if isinstance(error, Unsupported):
        name = error.capability
        return re.sub(rf"\b{re.escape(name)}$", FLAGS.get(name, name), message)
    name, _, index = (error.argument or "").partition("[")
    place = f" {int(index[:-1]) + 1}" if index[:-1].isdecimal() else ""
    begin = re.escape(error.argument or "")
    known = {**FLAGS, **PLAIN}
    return re.sub(rf"^{begin}(?= )", known[name] + place, message) if name in known else message
