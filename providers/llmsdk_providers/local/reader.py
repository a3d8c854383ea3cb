"""How texts become what a model of one task reads: framed by its tokenizer, checked against its window, never cut."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from llmsdk.errors import ContextTooLong, InputError, Unsupported
from llmsdk_providers.local.encoders import Row
from llmsdk_providers.local.folder import ModelFolder
from llmsdk_providers.local.languages import Framing, Languages, languages
from llmsdk_providers.local.pooling import Pooling, pooling
from llmsdk_providers.local.purpose import Purpose, purpose
from llmsdk_providers.local.rewriting import Source
from llmsdk_providers.local.spans import Window
from llmsdk_providers.local.text import Texts, check_unicode

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 128
"""Tokens that a window of a document has in common with the one before it."""
WINDOW = 384
"""Tokens of a window, with the question, as such models are trained; fewer where the model has fewer."""
HYPOTHESIS = "This example is {}."
_SHIFTED = frozenset(
    {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xmod"}
    | {"xlm-roberta-xl"}
)
"""Types whose positions begin behind that of the padding."""


class Reader:
    """Reads texts for the model in a folder. Safe to use from any thread."""

    def __init__(self, folder: ModelFolder, texts: Texts, name: str, max_len: int | None) -> None:
        self.folder = folder
        self.codec = texts.codec
        self.purpose: Purpose = purpose(folder)
        self._name = name
        self._tokenizer = texts.tokenizer
        self._lock = Lock()
        self._max_len = max_len
        self._known: Languages | None = None
        self.pooling: Pooling | None = pooling(folder) if self.purpose.kind == "vectors" else None
        self.limit = longest(folder, max_len, self.pooling)

    # --- texts to be rewritten ----------------------------------------------------------------------------------

    def framing(self, to: str, source: str | None) -> Framing:
        """How to ask for a translation.

        Raises:
            InputError: a language that the model does not know, or ``source`` missing where it needs one.
        """
        with self._lock:
            if self._known is None:
                self._known = languages(self.folder, self._tokenizer, self._name)
        return self._known.framing(to, source)

    def source(self, text: str, framing: Framing) -> Source:
        """A text as the encoder reads it.

        Raises:
            ContextTooLong: it does not fit the window.
        """
        if framing.around is None:
            ids = self._encoded(framing.words + text)["input_ids"]
        else:
            before, behind = framing.around
            ids = [*before, *self._encoded(text, add_special_tokens=False)["input_ids"], *behind]
        self._check(len(ids))
        return Source(tuple(ids), () if framing.first is None else (framing.first,))

    def room(self, source: Source) -> int:
        """How many tokens a reply may have."""
        limit = longest(self.folder, self._max_len)
        return 2**31 if limit is None else max(1, limit - 1 - len(source.first))

    # --- texts to be read ---------------------------------------------------------------------------------------

    def row(self, text: str, second: str | None = None) -> Row:
        """A text, or two, as the encoder reads them.

        Raises:
            ContextTooLong: they do not fit the window.
        """
        found = self._encoded(text, second)
        self._check(len(found["input_ids"]))
        kinds = found.get("token_type_ids")
        return Row(tuple(found["input_ids"]), None if kinds is None else tuple(kinds))

    def windows(self, question: str, document: str) -> list[Window]:
        """A document in overlapping parts, each behind the question; none where it has no tokens.

        Raises:
            ContextTooLong: the question alone takes most of the window.
            Unsupported: the tokenizer does not say where its tokens stand in the text.
        """
        if not getattr(self._tokenizer, "is_fast", False):
            hint = "Put the model's tokenizer.json into the folder."
            raise Unsupported(f"the tokenizer of {self._name} tells no positions", capability="answer", hint=hint)
        limit = min(WINDOW, self.limit or WINDOW)
        found = self._encoded(question, document, return_offsets_mapping=True)
        begin, end = _second(found.sequence_ids(0))
        size = limit - begin - (len(found["input_ids"]) - end)
        if size < limit // 4:
            message = f"the question has {begin} tokens, of a window of {limit}"
            raise ContextTooLong(message, limit=limit, needed=begin)
        if begin == end:
            return []
        stride = min(STRIDE, size // 2)
        starts = range(begin, max(begin + 1, end - stride), size - stride)
        return [self._window(found, begin, start, min(start + size, end), end) for start in starts]

    def _window(self, found: Any, begin: int, start: int, stop: int, end: int) -> Window:
        """The tokens of the document from ``start`` to ``stop``, with all that stands around the document."""

        def cut(line: Sequence[Any]) -> tuple[Any, ...]:
            return (*line[:begin], *line[start:stop], *line[end:])

        ids = cut(found["input_ids"])
        kinds = found.get("token_type_ids")
        row = Row(ids, None if kinds is None else cut(kinds))
        offsets = tuple((int(first), int(last)) for first, last in found["offset_mapping"][start:stop])
        return Window(row, begin, start - begin, offsets, self._none(ids))

    def _none(self, ids: Sequence[int]) -> int:
        """Where in a row the token stands that means no answer."""
        mark = self._tokenizer.cls_token_id
        return list(ids).index(mark) if mark in ids else 0

    def pooled(self, output: Any, mask: Tensor) -> Tensor:
        """The vectors of rows, of what the model gives for their tokens."""
        assert self.pooling is not None
        return self.pooling(output.last_hidden_state, mask)

    # --- the tokenizer ------------------------------------------------------------------------------------------

    def _encoded(self, text: str, second: str | None = None, **settings: Any) -> Any:
        for given in (text, second or ""):
            check_unicode(given)
        found = self._tokenizer(text, second, **settings)
        if not found["input_ids"]:
            raise InputError("the text has no tokens", argument="text")
        return found

    def _check(self, size: int) -> None:
        if self.limit is not None and size > self.limit:
            message = f"the text has {size} tokens, and {self._name} reads at most {self.limit}"
            hint = "Shorten it, or ask for its parts one by one: pass a list."
            raise ContextTooLong(message, limit=self.limit, needed=size, hint=hint)


def longest(folder: ModelFolder, max_len: int | None, pooled: Pooling | None = None) -> int | None:
    """The most tokens that a model reads at once; ``None`` where it has no such limit."""
    window = folder.window
    if window is not None and folder.config.get("model_type") in _SHIFTED:
        padding = folder.config.get("pad_token_id")
        window -= 1 + (padding if isinstance(padding, int) else 1)
    said = folder.tokenizer.get("model_max_length")
    said = said if isinstance(said, int) and said < 10**6 else None
    limits = [window, said, max_len, pooled.longest if pooled else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _second(sides: Sequence[int | None]) -> tuple[int, int]:
    """Where the second text begins and ends among the tokens of two."""
    places = [at for at, side in enumerate(sides) if side == 1]
    return (places[0], places[-1] + 1) if places else (len(sides), len(sides))
