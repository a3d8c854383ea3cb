"""What a model reads and writes, as text: raw prompts, conversations through its chat template, ends of replies.

Content of a conversation never becomes a control token. Where a content spells one out, the stretch around it is
encoded by a copy of the tokenizer that does not know the control tokens; everything else is encoded as transformers
does it. Limits: a control token of a single character cannot be told apart, and a tokenizer that puts a space before
a text's first word may put one before such a stretch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

from llmsdk.errors import InputError, TemplateError, Unsupported
from llmsdk.types import Request, Tool
from llmsdk_providers.local.calls import PROBE, THOUGHTS, CallForm, described, learned, probe, turns
from llmsdk_providers.local.detokenizer import Codec, Detokenizer
from llmsdk_providers.local.guard import stopped_after
from llmsdk_providers.local.thinking import Thinking, marks, switch

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
    thinking: Thinking | None = None
    """How the reply begins, where the model may think."""


class Texts:
    """The tokenizer of one model with what the model's files say about it. Safe to use from any thread."""

    def __init__(self, tokenizer: Any, name: str, ends: Sequence[Any]) -> None:
        self._template = _template_text(tokenizer.chat_template)
        self.marks = marks(self._template, _spellings(tokenizer, lambda token: True))
        """Around what the model thinks, if they are known."""
        self.codec = Codec(tokenizer, () if self.marks is None else (self.marks.begin, self.marks.end))
        self.tokenizer = self._tokenizer = tokenizer
        self._name = name
        self._lock = Lock()
        self._pieces: dict[int, str] = {}
        # The first encoding also settles the tokenizer's own state, which no two threads may do at once.
        self._letter: list[int] = tokenizer.encode("a", add_special_tokens=False)
        self._without_control: Any = None
        self._special = _spellings(tokenizer, lambda token: token.special)
        self._control = self._special | _spellings(
            tokenizer, lambda token: token.content in self._template and not token.content.isspace()
        )
        self._ends = frozenset(_ids([tokenizer.eos_token_id, *ends]))
        self._end_of_turn = self._find_end_of_turn() if self._template else None
        self._form: CallForm | None = None
        self._form_sought = False
        self._switch: str | None = None
        self._switch_sought = False

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
        rendered = self._rendered(request)
        ids = tuple(self._encode(rendered))
        if not ids:
            raise TemplateError(f"the chat template of {self._name!r} renders nothing")
        stop_ids = self._ends if self._end_of_turn is None else self._ends | {self._end_of_turn}
        continued = request.input[-1].role == "assistant"
        end = () if self._end_of_turn is None else (self._end_of_turn,)
        thinking = None
        if self.marks is not None and not continued:
            thinking = Thinking(self.marks, self.marks.opened("".join(text for text, _ in rendered)))
        return Prompt(ids, ids if continued else (), end, stop_ids, thinking)

    def candidate(self, prompt: Prompt, request: Request, text: str) -> tuple[int, ...]:
        """The ids of ``text`` as the reply to ``prompt``, with what closes it."""
        if isinstance(request.input, str):
            whole = self._raw(request.input + text)
        else:
            whole = self._encode([*self._rendered(request), (text, True)])
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

    def calls(self) -> CallForm:
        """How the model writes calls of tools.

        Raises:
            Unsupported: its template knows no tools, or has a form for them that cannot be read.
        """
        if not self._form_sought:
            self._form = self._learn_calls()
            self._form_sought = True
        if self._form is None:
            hint = "Describe them in words, or take a model whose template writes a call as a JSON object."
            message = f"the chat template of {self._name!r} has no form for calls of tools that can be read"
            raise Unsupported(message, capability="tools", hint=hint)
        return self._form

    def _learn_calls(self) -> CallForm | None:
        question = {"role": "user", "content": "a"}
        tools = described([Tool(PROBE, {"type": "object", "properties": {"first": {"type": "string"}}})])
        try:
            before = self._render([question], tools)
            before = before if self.marks is None else self.marks.unopened(before)
            after = self._render([question, probe()], tools, ends=True)
        except TemplateError:
            return None
        same = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before))
        call = after[same:]
        if self.marks is not None:  # some templates write thoughts of nothing before the last reply
            thought, end, rest = call.partition(self.marks.end)
            call = rest if end and PROBE not in thought else call
        return learned(call, self._special)

    def switch(self) -> str | None:
        """The variable by which the template lets the model think, or not."""
        if not self._switch_sought:
            self._switch = self._learn_switch()
            self._switch_sought = True
        return self._switch

    def _learn_switch(self) -> str | None:
        name, question = switch(self._template), {"role": "user", "content": "a"}
        if name is None:
            return None
        try:
            on, off = (self._render([question], None, **{name: wish}) for wish in (True, False))
        except TemplateError:
            return None
        return None if on == off else name

    def _rendered(self, request: Request) -> list[tuple[str, bool]]:
        """The conversation as stretches of text, each with whether it is to be read without control tokens."""
        messages, tools = request.messages, request.tools
        if not self._template:
            hint = "complete() still works: it continues a raw prompt. Or put a chat_template.jinja into the folder."
            raise TemplateError(f"{self._name!r} has no chat template", hint=hint)
        if tools or any(message.tool_calls or message.role == "tool" for message in messages):
            self.calls()
        said, known = list(turns(messages, thoughts=THOUGHTS in self._template)), described(tools)
        contents = list(_strings([said, known]))
        for content in contents:
            check_unicode(content)
        mark = _unused(contents)

        def broken(text: str, control: frozenset[str]) -> str:
            return _break_up(text, control, mark)

        marked = [_replaced(turn, broken, self._control) for turn in said]
        for turn, own in zip(marked, said, strict=True):
            if own["role"] == "assistant":
                turn["content"] = broken(own["content"], self._special)
        thinks = {} if request.reasoning is None or (name := self.switch()) is None else {name: bool(request.reasoning)}
        text = self._render(marked, [_replaced(tool, broken, self._control) for tool in known], **thinks)
        if request.reasoning is False and self.marks is not None and self.marks.opened(text):
            text += f"\n{self.marks.end}\n\n"
        return _stretches(text, mark, self._control) if mark in text else [(text, False)]

    def _render(
        self,
        conversation: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        *,
        ends: bool = False,
        **variables: bool,
    ) -> str:
        continued = not ends and conversation[-1]["role"] == "assistant"
        try:
            with stopped_after(PATIENCE, "<template>"):
                text: str = self._tokenizer.apply_chat_template(
                    conversation,
                    tools=tools or None,
                    tokenize=False,
                    add_generation_prompt=not continued and not ends,
                    continue_final_message=continued,
                    **variables,
                )
        except Exception as error:  # a template is a program of strangers: it may raise anything
            what = " ".join(str(error).split()) or type(error).__name__
            hint = "The template decides which roles may follow each other; complete() takes a prompt as it is."
            raise TemplateError(f"the chat template of {self._name!r} refuses: {what}", hint=hint) from error
        self._check_length(len(text), conversation, tools)
        return text

    def _check_length(self, length: int, conversation: list[dict[str, Any]], tools: Any) -> None:
        """A template may write itself and the contents once for each message, and four times that."""
        most = 4 * sum(len(self._template) + _size(turn) for turn in conversation) + 16 * _size(tools)
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


def _strings(value: Any) -> Iterator[str]:
    """All texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _strings([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _replaced(value: Any, change: Callable[..., str], *given: Any) -> Any:
    """Plain data with each text in it, keys aside, changed."""
    if isinstance(value, str):
        return change(value, *given)
    if isinstance(value, Mapping):
        return {key: _replaced(item, change, *given) for key, item in value.items()}
    return [_replaced(item, change, *given) for item in value] if isinstance(value, list) else value


def _size(value: Any) -> int:
    """Characters of plain data, which a template may write as JSON."""
    return sum(len(text) + 8 for text in _strings(value))


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
