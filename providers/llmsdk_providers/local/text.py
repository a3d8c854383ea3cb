"""What a model reads and writes, as text: raw prompts, conversations through its chat template, ends of replies.

Content of a conversation never becomes a control token. Where a content spells one out, the stretch around it is
encoded by a copy of the tokenizer that does not know the control tokens; everything else is encoded as transformers
does it. Limits: a control token of a single character cannot be told apart, and a tokenizer that puts a space before
a text's first word may put one before such a stretch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

from llmsdk.errors import InputError, TemplateError, Unsupported
from llmsdk.types import Message, Reasoning, Request, Text, ToolCall, ToolResult
from llmsdk_providers.local.detokenizer import Codec, Detokenizer
from llmsdk_providers.local.guard import stopped_after

_REPLY = "reply-goes-here"
PATIENCE = 1.0
"""Seconds that a chat template may take."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request as the model reads it."""

    ids: tuple[int, ...]
    context: tuple[int, ...]
    """The ids that the reply's text continues; none where it begins as a text of its own."""
    end: tuple[int, ...]
    """What closes a whole reply."""
    stop_ids: frozenset[int]
    """Ids that end the reply."""


class Texts:
    """The tokenizer of one model with what the model's files say about it. Safe to use from any thread."""

    def __init__(self, tokenizer: Any, name: str, ends: Sequence[Any]) -> None:
        self.codec = Codec(tokenizer)
        self.tokenizer = self._tokenizer = tokenizer
        self._name = name
        self._lock = Lock()
        self._pieces: dict[int, str] = {}
        # The first encoding also settles the tokenizer's own state, which no two threads may do at once.
        self._letter: list[int] = tokenizer.encode("a", add_special_tokens=False)
        self._without_control: Any = None
        self._template = _template_text(tokenizer.chat_template)
        self._special = _spellings(tokenizer, lambda token: token.special)
        self._control = self._special | _spellings(
            tokenizer, lambda token: token.content in self._template and not token.content.isspace()
        )
        self._ends = frozenset(_ids([tokenizer.eos_token_id, *ends]))
        self._end_of_turn = self._find_end_of_turn() if self._template else None

    # --- prompts ----------------------------------------------------------------------------------------------

    def prompt(self, request: Request) -> Prompt:
        """The ids of a request.

        Raises:
            InputError: text that is no Unicode, or nothing at all.
            TemplateError: no chat template, or one that does not take this conversation.
            Unsupported: the conversation holds what a template cannot show.
        """
        if isinstance(request.input, str):
            ids = tuple(self._raw(request.input))
            return Prompt(ids, ids, (), self._ends)
        ids = tuple(self._encode(self._rendered(request.input)))
        if not ids:
            raise TemplateError(f"the chat template of {self._name!r} renders nothing")
        stop_ids = self._ends if self._end_of_turn is None else self._ends | {self._end_of_turn}
        context = ids if request.input[-1].role == "assistant" else ()
        end = () if self._end_of_turn is None else (self._end_of_turn,)
        return Prompt(ids, context, end, stop_ids)

    def candidate(self, prompt: Prompt, request: Request, text: str) -> tuple[int, ...]:
        """The ids of ``text`` as the reply to ``prompt``, with what closes it."""
        if isinstance(request.input, str):
            whole = self._raw(request.input + text)
        else:
            whole = self._encode([*self._rendered(request.input), (text, True)])
        size = len(prompt.ids)
        ids = whole[size:] if tuple(whole[:size]) == prompt.ids else self._inside(text)
        if not ids:
            raise InputError(f"the candidate {text!r} has no tokens", argument="candidates")
        return (*ids, *prompt.end)

    def piece(self, token: int) -> str:
        """The text of one token in the middle of a text; a special token as it is spelt."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._piece(token)
        return found

    def _piece(self, token: int) -> str:
        if token in self.codec.special:
            return str(self._tokenizer.convert_ids_to_tokens(token))
        detokenizer = Detokenizer(self.codec, self._letter)
        return detokenizer.push(token) + detokenizer.finish()

    def _raw(self, text: str) -> list[int]:
        check_unicode(text)
        ids: list[int] = self._tokenizer.encode(text)
        end = self._tokenizer.eos_token
        if ids and ids[-1] == self._tokenizer.eos_token_id and not text.endswith(end):
            ids = ids[:-1]  # a tokenizer that closes every text would leave nothing to continue
        if ids:
            return ids
        for begin in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if begin is not None:
                return [begin]
        raise InputError("the prompt is empty and this model has no token to begin with", argument="prompt")

    def _inside(self, text: str) -> list[int]:
        """The ids of ``text`` as it stands in the middle of a text."""
        before = self._tokenizer.encode("\n", add_special_tokens=False)
        whole = self._tokenizer.encode("\n" + text, add_special_tokens=False)
        if before and whole[: len(before)] == before:
            return list(whole[len(before) :])
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    # --- conversations ----------------------------------------------------------------------------------------

    def _rendered(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """The conversation as stretches of text, each with whether it is to be read without control tokens."""
        if not self._template:
            hint = "complete() still works: it continues a raw prompt. Or put a chat_template.jinja into the folder."
            raise TemplateError(f"{self._name!r} has no chat template", hint=hint)
        rows = [(message, _content(message)) for message in messages]
        for _, content in rows:
            check_unicode(content)
        mark = _unused(content for _, content in rows)
        marked = [
            (message, _break_up(content, self._special if message.role == "assistant" else self._control, mark))
            for message, content in rows
        ]
        text = self._render([{"role": message.role, "content": content} for message, content in marked])
        return _stretches(text, mark, self._control) if mark in text else [(text, False)]

    def _render(self, conversation: list[dict[str, str]], *, ends: bool = False) -> str:
        continued = not ends and conversation[-1]["role"] == "assistant"
        try:
            with stopped_after(PATIENCE, "<template>"):
                text: str = self._tokenizer.apply_chat_template(
                    conversation,
                    tokenize=False,
                    add_generation_prompt=not continued and not ends,
                    continue_final_message=continued,
                )
        except Exception as error:  # a template is a program of strangers: it may raise anything
            what = " ".join(str(error).split()) or type(error).__name__
            hint = "The template decides which roles may follow each other; complete() takes a prompt as it is."
            raise TemplateError(f"the chat template of {self._name!r} refuses: {what}", hint=hint) from error
        self._check_length(len(text), conversation)
        return text

    def _check_length(self, length: int, conversation: list[dict[str, str]]) -> None:
        """A template may write itself and the contents once for each message, and four times that."""
        most = 4 * sum(len(self._template) + len(message["content"]) for message in conversation)
        if length > most:
            hint = "Its template is broken; complete() takes a prompt as it is."
            message = f"the chat template of {self._name!r} writes {length:,} characters where {most:,} would be many"
            raise TemplateError(message, hint=hint)

    def _find_end_of_turn(self) -> int | None:
        """The special token that the template writes behind a reply, else the tokenizer's own end."""
        try:
            text = self._render([{"role": "user", "content": "a"}, {"role": "assistant", "content": _REPLY}], ends=True)
        except TemplateError:
            text = ""
        behind = self._tokenizer.encode(text.partition(_REPLY)[2], add_special_tokens=False)
        if behind and behind[0] in self.codec.special:
            return int(behind[0])
        end = self._tokenizer.eos_token_id
        return None if end is None else int(end)

    def _encode(self, stretches: Iterable[tuple[str, bool]]) -> list[int]:
        ids: list[int] = []
        joined = ""
        for text, plain in stretches:
            if plain and any(token in text for token in self._control):
                ids += self._encode_template(joined)
                ids += self._encode_plain(text)
                joined = ""
            else:
                joined += text
        return ids + self._encode_template(joined)

    def _encode_template(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False)) if text else []

    def _encode_plain(self, text: str) -> list[int]:
        """The ids of a text in which no control token is one."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        with self._lock:
            if self._without_control is None:
                self._without_control = _forget(backend, self._control)
        return list(self._without_control.encode(text, add_special_tokens=False).ids)


# --- content that spells control tokens -----------------------------------------------------------------------------


def _content(message: Message) -> str:
    """The text of a message. Earlier reasoning is left out, as templates do.

    Raises:
        Unsupported: tool calls and their results.
    """
    for part in message.parts:
        match part:
            case Text() | Reasoning():
                pass
            case ToolCall() | ToolResult():
                raise Unsupported("local models take no tool calls in a conversation yet", capability="tools")
    if message.role == "tool":
        raise Unsupported("local models take no messages of the role 'tool' yet", capability="tools")
    return message.text


def check_unicode(text: str) -> None:
    """Check that a text can be encoded.

    Raises:
        InputError: it has half of a pair of surrogates.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        where = f"character {error.start} is a lone surrogate"
        hint = 'Decode the text with errors="replace".'
        raise InputError(f"the text is no valid Unicode: {where}", argument="prompt", hint=hint) from error


def _unused(texts: Iterable[str]) -> str:
    """A character of the private-use area that occurs in none of ``texts``."""
    used = set().union(*texts)
    return next(mark for mark in map(chr, range(0xF8FF, 0xE000, -1)) if mark not in used)


def _break_up(content: str, control: Iterable[str], mark: str) -> str:
    """Put ``mark`` into every control token that ``content`` spells out."""
    cuts = set()
    for token in control:
        at = content.find(token)
        while at >= 0:
            cuts.add(at + 1)
            at = content.find(token, at + 1)
    if not cuts:
        return content
    edges = [0, *sorted(cuts), len(content)]
    return mark.join(content[start:end] for start, end in pairwise(edges))


def _stretches(text: str, mark: str, control: Iterable[str]) -> list[tuple[str, bool]]:
    """Cut at the control tokens that the template wrote; a stretch with a mark is to be read without any."""
    present = sorted((token for token in control if token in text), key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, present))})", text) if present else [text]
    return [(part.replace(mark, ""), mark in part) for part in parts if part]


def _forget(backend: Any, control: Iterable[str]) -> Any:
    """A copy of a tokenizer that reads control tokens as ordinary text."""
    from tokenizers import Tokenizer

    state = json.loads(backend.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in set(control)]
    state["post_processor"] = None
    return Tokenizer.from_str(json.dumps(state))


# --- what the files say ---------------------------------------------------------------------------------------------


def _spellings(tokenizer: Any, wanted: Any) -> frozenset[str]:
    return frozenset(token.content for token in tokenizer.added_tokens_decoder.values() if wanted(token))


def _template_text(template: Any) -> str:
    """The template's own text; all of them where it has several by name."""
    return "\n".join(template.values()) if isinstance(template, dict) else template or ""


def _ids(values: Iterable[Any]) -> Iterator[int]:
    """The ids among values that are ids, lists of ids, or nothing."""
    for value in values:
        if isinstance(value, int):
            yield value
        elif isinstance(value, list):
            yield from _ids(value)
