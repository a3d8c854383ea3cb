"""Counting input tokens with tiktoken, where it is installed and its ranks are on this machine already.

tiktoken downloads what it lacks. Here it is only called for ranks that are in its cache, so counting never touches
the network.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from llmsdk.types import Media, Message, Request, TokenCount, ToolCall, ToolResult
from llmsdk_providers.openai.capabilities import is_reasoning

PER_MESSAGE = 3
PER_NAME = 1
PRIMER, REASONING_PRIMER = 3, 2
"""Tokens around each message, for a name, and before the reply. They add up to what OpenAI bills."""
PER_ASSISTANT = 2
"""Tokens more around what gpt-5 said before: its messages name their channel."""
MARGIN = 0.25
"""How far a count may be off where the host's rendering (tools, a schema) or its tokenizer is not known."""
OTHER = "o200k_base"
_ODD = re.compile(r"o1-mini|o1-preview|-search|-audio|-realtime")
"""Models around whose messages stands more than can be known."""
_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_ENCODINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(ft:)?(o\d|gpt-5|gpt-4\.[15]|gpt-4o|chatgpt-4o)"), "o200k_base"),
    (re.compile(r"(ft:)?(gpt-4|gpt-3\.5|gpt-35|davinci-002|babbage-002)|text-embedding-"), "cl100k_base"),
)


def encoding_name(model: str) -> str | None:
    """The encoding of a model of OpenAI's, by its name; ``None`` for others."""
    return next((name for pattern, name in _ENCODINGS if pattern.match(model)), None)


def count(request: Request, *, openai: bool, raw: bool) -> TokenCount | None:
    """Count a request; ``None`` where there is no tokenizer to count with.

    ``openai`` says that the host is OpenAI's own, so that the model's name tells its tokenizer; ``raw`` that the
    prompt goes out as it is, without the form of a chat.
    """
    known = encoding_name(request.model) if openai else None
    encoding = _encoding(known or OTHER)
    if encoding is None:
        return None
    value = _length(encoding, str(request.input)) if raw else _chat(encoding, request)
    extra = sum(_length(encoding, text) for text in _rendered(request))
    plain = known is not None and not extra and not _has_more_than_text(request) and not _ODD.search(request.model)
    return TokenCount(value + extra, "local") if plain else TokenCount(value + extra, "estimate", MARGIN)


def _chat(encoding: Any, request: Request) -> int:
    channels = is_reasoning(request.model) and "gpt-5" in request.model
    own = {"assistant": PER_ASSISTANT} if channels else {}
    turns = (_message(encoding, message) + own.get(message.role, 0) for message in request.messages)
    return sum(turns, start=REASONING_PRIMER if is_reasoning(request.model) else PRIMER)


def _message(encoding: Any, message: Message) -> int:
    tokens = PER_MESSAGE + _length(encoding, message.role) + _length(encoding, message.text)
    for part in message.parts:
        if isinstance(part, ToolCall):
            tokens += PER_NAME + _length(encoding, part.name) + _length(encoding, part.arguments_json)
        elif isinstance(part, ToolResult):
            tokens += _length(encoding, part.content)
    return tokens


def _has_more_than_text(request: Request) -> bool:
    more = ToolCall | ToolResult | Media
    return any(isinstance(part, more) for message in request.messages for part in message.parts)


def _rendered(request: Request) -> Iterator[str]:
    """What the host puts into the prompt besides the messages, in a form that it does not tell."""
    for tool in request.tools:
        yield f"{tool.name} {tool.description} {to_json(dict(tool.parameters)).decode()}"
    if request.schema is not None:
        yield to_json(dict(request.schema)).decode()
    if request.suffix:
        yield request.suffix


def _length(encoding: Any, text: str) -> int:
    return len(encoding.encode_ordinary(text))


@lru_cache(maxsize=8)
def _load(name: str, path: Path) -> Any:
    """The encoding, whose ranks are at ``path``. Half a second the first time."""
    import tiktoken

    return tiktoken.get_encoding(name)


def _encoding(name: str) -> Any:
    """The encoding, or ``None`` where tiktoken or its ranks are missing."""
    path = _ranks(name)
    if path is None:
        return None
    try:
        return _load(name, path)
    except ImportError:
        return None


def _ranks(name: str) -> Path | None:
    """Where tiktoken would look for an encoding's ranks, if they are there and not damaged.

    A damaged file would make tiktoken delete it and download another.
    """
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return None  # tiktoken takes that for "no cache"
    from tempfile import gettempdir

    base = Path(folder) if folder is not None else Path(gettempdir()) / "data-gym-cache"
    path = base / hashlib.sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest()
    return path if _is_whole(path, name) else None


_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


@lru_cache(maxsize=8)
def _has_hash(path: Path, size: int, changed: int, expected: str) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == expected


def _is_whole(path: Path, name: str) -> bool:
    try:
        stat = path.stat()
        return _has_hash(path, stat.st_size, stat.st_mtime_ns, _SHA256[name])
    except OSError:
        return False
