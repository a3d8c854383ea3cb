"""From token ids to text, piece by piece: O(1) a token, never half a character, and no space lost or invented.

A token's text depends on what stands before it (whether a space is kept) and, where tokens are bytes, on what comes
after it. So a token is decoded together with the few tokens before it and the difference is its text, and bytes wait
until they are a character.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

REPLACEMENT = "\ufffd"
LOOK_BACK = 16
"""Tokens that may have to be decoded together with the next one. A character has at most 4 bytes."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Codec:
    """What a tokenizer's ids stand for. Shared by all sequences of a model, and safe to use from any thread."""

    def __init__(self, tokenizer: Any, shown: Collection[str] = ()) -> None:
        """``shown`` are spellings of control tokens that are text all the same, where tokens are bytes."""
        self._tokenizer = tokenizer
        self._bytes: dict[int, bytes | None] = {}
        added = getattr(tokenizer, "added_tokens_decoder", {})
        kinds = _decoder_kinds(tokenizer)
        self._byte_level = kinds == ["ByteLevel"]
        self.byte_fallback = "ByteFallback" in kinds
        self.guesses = not (self._byte_level or self.byte_fallback)
        """Bytes cannot be told from text, so that a trailing U+FFFD is taken for half a character."""
        self._shown: dict[int, str] = {}
        if not self.guesses:
            self._shown = {key: token.content for key, token in added.items() if token.content in shown}
        special = frozenset(tokenizer.all_special_ids) | {key for key, token in added.items() if token.special}
        self.special = special - self._shown.keys()

    def raw(self, token: int) -> bytes | None:
        """The bytes that a token stands for, or ``None`` if it stands for text."""
        if self.guesses:
            return None
        if token not in self._bytes:
            self._bytes[token] = self._raw(token)
        return self._bytes[token]

    def _raw(self, token: int) -> bytes | None:
        if token in self._shown:
            return self._shown[token].encode()
        name = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(name, str):
            return b""
        if self._byte_level:
            return _unmapped(name)
        match = _BYTE.fullmatch(name)
        return bytes([int(match[1], 16)]) if match else None

    def spellings(self) -> list[bytes | None]:
        """What each id stands for in the middle of a text, the first one first; ``None`` for control tokens.

        Only where there are bytes, or a token's text depends on its neighbours.
        """
        size = max(self._tokenizer.get_vocab().values()) + 1
        found = [None if token in self.special else self.raw(token) for token in range(size)]
        words = [token for token in range(size) if found[token] is None and token not in self.special]
        letter = self._tokenizer.encode("a", add_special_tokens=False)
        before = len(self.decode(letter))
        texts = self._tokenizer.backend_tokenizer.decode_batch([[*letter, word] for word in words])
        for word, text in zip(words, texts, strict=True):
            found[word] = text[before:].encode()
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids from their beginning, special tokens left out."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def tail(self, ids: Sequence[int]) -> list[int]:
        """The last few ids, as many as show whole characters: the context in which the next one is decoded."""
        if self._byte_level:
            return []
        for size in range(1, min(LOOK_BACK, len(ids)) + 1):
            text = self.decode(ids[-size:])
            if text and REPLACEMENT not in text:
                return list(ids[-size:])
        return [token for token in ids[-LOOK_BACK:] if token not in self.special]


class Detokenizer:
    """The text of one sequence as its tokens come.

    ``context`` is what the text continues, such as a raw prompt; without it the text begins as a text of its own,
    as a reply does. What comes out, joined, is what ``decode`` says of all ids together; only of bytes that are no
    UTF-8 a byte-fallback decoder makes other replacement characters, since it rewrites what came before them.
    """

    def __init__(self, codec: Codec, context: Sequence[int] = ()) -> None:
        self._codec = codec
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown = codec.tail(context)
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """The text that is certain now that ``token`` has come; empty while a character is incomplete."""
        if token in self._codec.special:
            return ""
        raw = self._codec.raw(token)
        if raw is not None:
            return self._push_bytes(token, raw)
        return self._flush_bytes() + self._push_text(token)

    def finish(self) -> str:
        """What was held back, when no more tokens come."""
        return self._flush_bytes() + (self._take("") if self._held else "")

    def _push_bytes(self, token: int, raw: bytes) -> str:
        text = self._utf8.decode(raw)
        self._held.append(token)
        if text:
            if text == " " and not self._shown and self._codec.byte_fallback:
                text = self._codec.decode(self._held)  # a decoder may take away a space at the beginning of a text
            self._shown, self._held = self._held[-LOOK_BACK:], []
        return text

    def _flush_bytes(self) -> str:
        if self._codec.guesses:
            return ""
        text = self._utf8.decode(b"", final=True)
        self._shown, self._held = [*self._shown, *self._held][-LOOK_BACK:], []
        return text

    def _push_text(self, token: int) -> str:
        self._held.append(token)
        return self._take(REPLACEMENT if self._codec.guesses and len(self._held) < LOOK_BACK else "")

    def _take(self, incomplete: str) -> str:
        """The text of what is held, unless it ends with the sign of an ``incomplete`` character."""
        known = self._codec.decode(self._shown)
        whole = self._codec.decode([*self._shown, *self._held])
        if incomplete and whole.endswith(incomplete):
            return ""
        text = whole[len(known) :]
        # What shows nothing (a space that the decoder drops at a beginning) stays part of the context.
        self._shown = self._held if text else [*self._shown, *self._held][-LOOK_BACK:]
        self._held = []
        return text


def _decoder_kinds(tokenizer: Any) -> list[str]:
    """The steps of a tokenizer's decoder by name; empty where it is not one of the tokenizers library."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return []
    state = json.loads(decoder.__getstate__())
    return [str(step.get("type")) for step in state.get("decoders", [state])]


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that byte-level tokenizers write for the 256 bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _unmapped(name: str) -> bytes:
    try:
        return bytes(_ALPHABET[character] for character in name)
    except KeyError:  # an added token, spelt as it is
        return name.encode()
