"""Masking secrets in what a cassette keeps: the keys of a request wherever they stand, and whatever looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmsdk.io import HTTPRequest
from llmsdk.io.redact import found
from llmsdk.secret import MASK, is_secret

SHORTEST = 4
"""Characters of a secret that is looked for; shorter ones would be found in ordinary words."""
_NAMES = (
    r"(?:x-)?api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|client[-_]?secret|private[-_]?key|password"
    r"|assertion|authorization|x-amz-(?:signature|credential|security-token)|sig|signature|key|token"
)
_FIELD = re.compile(rf'("(?:{_NAMES})"\s*:\s*")([^"\\]{{4,}})(?=")', re.IGNORECASE)
_PARAMETER = re.compile(rf"((?:^|[?&\s])(?:{_NAMES})=)([^&\s\"]{{4,}})", re.IGNORECASE)
_USER = re.compile(r"(://)([^/@\s\"]+)(?=@)")
_SHAPE = re.compile(
    r"()(\b(?:sk|pk|rk|gsk|xai|pplx|nvapi|r8|hf|ghp)[-_][A-Za-z0-9_\-]{16,}|\bAIza[\w\-]{30,}|\bya29\.[\w\-]{20,}"
    r"|\beyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{10,}|\bAKIA[A-Z0-9]{12,}\b)"
)


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Masks ``secrets`` and whatever looks like a secret; then ``more`` has its turn."""

    secrets: tuple[str, ...] = ()
    more: Callable[[str], str] | None = None

    def knowing(self, request: HTTPRequest) -> Scrubber:
        """The same, with the secrets of a request: what its provider says is one, and what its headers hold."""
        return replace(self, secrets=(*self.secrets, *request.secrets, *_of_headers(request)))

    def __call__(self, text: str) -> str:
        text = self._masked(text, lambda secret: MASK)
        return self.more(text) if self.more else text

    def pieces(self, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
        """The pieces of a body, cut where they were. A secret may lie across a cut, so a mask is as long as it."""
        whole = b"".join(pieces).decode("utf-8", "surrogateescape")
        masked = self._masked(whole, lambda secret: "*" * len(secret.encode("utf-8", "surrogateescape")))
        data, at, cut = masked.encode("utf-8", "surrogateescape"), 0, []
        for piece in pieces:
            cut.append(self._again(data[at : at + len(piece)]))
            at += len(piece)
        return tuple(cut)

    def _again(self, piece: bytes) -> bytes:
        if self.more is None:
            return piece
        return self.more(piece.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _masked(self, text: str, mask: Callable[[str], str]) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= SHORTEST:
                text = text.replace(secret, mask(secret))
        for start, end in reversed(found(text, self.secrets)):  # pieces of one, or what encodes it
            text = text[:start] + mask(text[start:end]) + text[end:]
        for pattern in (_FIELD, _PARAMETER, _USER, _SHAPE):
            text = pattern.sub(lambda match: match[1] + mask(match[2]), text)
        return text


def _of_headers(request: HTTPRequest) -> list[str]:
    return [
        value.decode("latin-1").removeprefix("Bearer ")
        for name, value in request.headers
        if is_secret(name.decode("latin-1"))
    ]


__all__ = ["Scrubber"]
