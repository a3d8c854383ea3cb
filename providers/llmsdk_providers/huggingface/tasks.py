"""The bodies of tasks: what is sent, and what the replies say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmsdk.errors import InvalidBody
from llmsdk.types import Request, Span
from llmsdk.wire.json import items

LONGEST = 30
"""Word pieces of an answer at most, as is usual for these models; the host's own default is 15."""
ALL = 1000
"""More labels than a classifier has: it tells the best few only, unless it is asked for so many."""


def body(inputs: Any, parameters: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The body of a request. The caller's own ``parameters`` are added to ours."""
    extra = dict(request.extra_body)
    more = extra.pop("parameters", {})
    merged = {**parameters, **more} if isinstance(more, Mapping) else more
    return {"inputs": inputs, **({"parameters": merged} if merged else {}), **extra}


def question(text: str, document: str, request: Request) -> dict[str, Any]:
    parameters = {"handle_impossible_answer": True, "max_answer_len": LONGEST}
    return body({"question": text, "context": document}, parameters, request)


def zero_shot(text: str, labels: Sequence[str], multi: bool, request: Request) -> dict[str, Any]:
    return body(text, {"candidate_labels": list(labels), "multi_label": multi}, request)


def head(text: str, multi: bool, request: Request) -> dict[str, Any]:
    """For a model with fixed labels. To choose one of them is a softmax, whatever else it does by itself."""
    return body(text, {"top_k": ALL, **({} if multi else {"function_to_apply": "softmax"})}, request)


# --- replies ------------------------------------------------------------------------------------------------------


def translation(reply: Any) -> str:
    """The one translation."""
    first = reply[0] if isinstance(reply, list) and reply else reply
    text = first.get("translation_text") if isinstance(first, dict) else None
    if not isinstance(text, str):
        raise InvalidBody("the reply has no translation_text", hint=_ANOTHER)
    return text


def spans(reply: Any, source: int, document: str) -> Iterator[Span]:
    """The answers that stand in a document. An empty one says that there is none."""
    found = [reply] if isinstance(reply, dict) else items(reply)
    if not found:
        raise InvalidBody("the reply has no answer", hint=_ANOTHER)
    for item in found:
        text, start = item.get("answer"), item.get("start")
        if not isinstance(text, str):
            raise InvalidBody("the reply has no answer", hint=_ANOTHER)
        if not text.strip():
            continue
        if not isinstance(start, int) or document[start : start + len(text)] != text or start < 0:
            start = document.find(text)
        if start < 0:
            raise InvalidBody(f"the host's answer does not stand in the document: {text[:80]!r}")
        yield Span(source, start, start + len(text), _share(item.get("score")))


def shares(reply: Any) -> dict[str, float]:
    """The probability of each label, in either form that hosts have for it."""
    if isinstance(reply, dict):
        labels, scores = reply.get("labels"), reply.get("scores")
        rows = list(zip(labels, scores, strict=False)) if isinstance(labels, list) and isinstance(scores, list) else []
    else:
        inner = reply[0] if isinstance(reply, list) and reply and isinstance(reply[0], list) else reply
        rows = [(item.get("label"), item.get("score")) for item in items(inner)]
    found = {label: _share(score) for label, score in rows if isinstance(label, str)}
    if not rows or len(found) < len(rows):
        raise InvalidBody("the reply has no labels with their scores", hint=_ANOTHER)
    return found


def vectors(reply: Any, expected: int) -> tuple[tuple[float, ...], ...]:
    """One vector a text."""
    if not isinstance(reply, list) or len(reply) != expected:
        found = len(reply) if isinstance(reply, list) else "no"
        raise InvalidBody(f"the host gave {found} vectors for {expected} texts", hint=_ANOTHER)
    if any(isinstance(row, list) and row and isinstance(row[0], list) for row in reply):
        hint = "Ask one that is made for sentences, such as those of sentence-transformers."
        raise InvalidBody("the model gives a vector for each token, not for each text", hint=hint)
    try:
        return tuple(tuple(float(number) for number in row) for row in reply)
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"the host gave a vector that is none: {error!r:.200}") from None


_ANOTHER = "The model may be for another task: say which in [providers.huggingface.tasks]."


def _share(value: Any) -> float:
    """A probability, to within what rounding does to it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e-6 <= value <= 1 + 1e-6:
        raise InvalidBody(f"the host gave a probability that is none: {value!r:.40}")
    return min(1.0, max(0.0, float(value)))
