"""What a cassette holds, and how it is written down: JSON that a person can read and a diff can show."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from llmsdk.errors import ConfigError
from llmsdk.io import HTTPRequest
from llmsdk.testing.scrub import Scrubber

VERSION = 1
KEPT = ("content-type", "retry-after", "x-request-id", "request-id", "x-should-retry")
"""Headers of a reply that are kept, and all that say what is left of a limit."""


@dataclass(frozen=True)
class Asked:
    """A request, without its headers and its secrets."""

    method: str
    url: str
    body: Any
    """A JSON value, or the text of a body that is none."""

    @classmethod
    def of(cls, request: HTTPRequest, scrub: Scrubber) -> Self:
        """What of a request is kept."""
        mask = scrub.knowing(request)
        text = mask(request.body.decode("utf-8", "backslashreplace"))
        return cls(request.method, mask(request.url), _value(text))

    @cached_property
    def path(self) -> str:
        """The path with its query, the parameters in order."""
        parts = urlsplit(self.url)
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        return f"{parts.path}?{urlencode(query, safe='*')}" if query else parts.path

    @cached_property
    def key(self) -> str:
        """What tells requests apart."""
        return f"{self.method} {self.path}\n{json.dumps(self.body, sort_keys=True, ensure_ascii=False)}"

    @property
    def shown(self) -> list[str]:
        """The lines of a comparison."""
        body = json.dumps(self.body, sort_keys=True, ensure_ascii=False, indent=1)
        return [f"{self.method} {self.path}", *body.splitlines()]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply."""

    asked: Asked
    status: int
    headers: Mapping[str, str]
    pieces: tuple[bytes, ...]
    """The body, decompressed, as it came."""
    whole: bool = True
    """It was read to its end."""

    @classmethod
    def of(
        cls, asked: Asked, status: int, headers: Mapping[str, str], pieces: Sequence[bytes], *, whole: bool
    ) -> Exchange:
        """What of a reply is kept."""
        kept = {name: value for name, value in headers.items() if name in KEPT or "ratelimit" in name}
        return cls(asked, status, kept, tuple(piece for piece in pieces if piece), whole)

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Exchange:
        """From its form in the file."""
        asked, reply = row["request"], row["reply"]
        pieces = [json.dumps(reply["json"], ensure_ascii=False)] if "json" in reply else reply["pieces"]
        return cls(
            Asked(asked["method"], asked["url"], asked["body"]),
            reply["status"],
            reply["headers"],
            tuple(_packed(piece) for piece in pieces),
            reply.get("whole", True),
        )

    @property
    def row(self) -> dict[str, Any]:
        """Its form in the file: a body that came in one as JSON, a stream piece by piece."""
        reply: dict[str, Any] = {"status": self.status, "headers": dict(self.headers)}
        if not self.whole:
            reply["whole"] = False
        value = _value(self.pieces[0].decode("utf-8", "replace")) if len(self.pieces) == 1 else None
        if isinstance(value, dict | list):
            reply["json"] = value
        else:
            reply["pieces"] = [_readable(piece) for piece in self.pieces]
        asked = {"method": self.asked.method, "url": self.asked.url, "body": self.asked.body}
        return {"request": asked, "reply": reply}


def dumped(exchanges: Sequence[Exchange]) -> str:
    """The text of a file."""
    rows = [exchange.row for exchange in exchanges]
    return json.dumps({"llmsdk_cassette": VERSION, "exchanges": rows}, ensure_ascii=False, indent=1) + "\n"


def parsed(path: Path) -> list[Exchange]:
    """The exchanges of a file.

    Raises:
        ConfigError: it is no cassette, or one of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version, rows = document["llmsdk_cassette"], document["exchanges"]
        if version != VERSION:
            raise ConfigError(f"{path} is a cassette of version {version}, not {VERSION}", hint="Record it anew.")
        return [Exchange.parse(row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        hint = "Delete it, and record it anew."
        raise ConfigError(f"{path} is no cassette: {type(error).__name__}: {error}", hint=hint) from None


def _value(text: str) -> Any:
    """JSON as a value, anything else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _readable(piece: bytes) -> str | dict[str, str]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}


def _packed(piece: str | Mapping[str, str]) -> bytes:
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"])


__all__ = ["KEPT", "Asked", "Exchange", "dumped", "parsed"]
