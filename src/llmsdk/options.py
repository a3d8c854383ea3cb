"""The keyword arguments that every verb takes: one closed list, checked before any I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal, TypedDict

from llmsdk.accounting.budget import Budget
from llmsdk.errors import InputError, brief
from llmsdk.health import CircuitPolicy
from llmsdk.io import Timeouts
from llmsdk.pipeline import CachePolicy, RetryPolicy
from llmsdk.results import Progress
from llmsdk.secret import Hidden, Secret, kept
from llmsdk.types import Message, Tool

Formality = Literal["formal", "informal"]
OnUnsupported = Literal["raise", "warn", "drop"]


class Defaults(TypedDict, total=False):
    """What a client takes as its defaults, and any verb for one call."""

    timeout: float | Mapping[str, float | None] | None
    """Seconds for each attempt, or a mapping with ``connect``, ``first_token``, ``idle`` and ``total``."""
    deadline: float | None
    """Seconds for the whole call: queue, attempts, waits and the stream."""
    retry: int | Mapping[str, Any]
    """How many attempts in all, or a mapping with ``attempts``, ``base``, ``cap``, ``unknown`` and ``patience``."""
    retry_unknown: bool
    """Also retry what may have run, and so may be billed twice."""
    hedge: float | None
    """Seconds without any content after which the same is asked a second time, beside the first. The one that brings
    something first goes on; both may be billed."""
    restart: bool
    """Ask the next model of an alias also where a reply broke off after its first piece; a stream has a ``Reset``."""
    budget: Budget | float | None
    """What may be used up before anything more is refused: dollars, or a ``Budget``. One of a client holds for all its
    calls, beside those of the calls themselves."""
    cache: bool | Mapping[str, Any]
    """Give the reply again that was given to the very same question before. A mapping may set ``ttl`` (seconds),
    ``sampled`` and ``namespace``."""
    tags: Sequence[str]
    """Words for the ledger, to sum up by."""
    on_unsupported: OnUnsupported
    """What to do with an option that the backend lacks: ``raise`` (default), ``warn`` or ``drop`` it."""
    extra: Mapping[str, Mapping[str, Any]]
    """``{"headers": {...}, "body": {...}}``, put on the wire untouched."""
    errors: Literal["raise", "return"]
    """For a list of inputs: stop at the first error, or put each error in its place."""
    concurrency: int
    """For a list of inputs: how many at a time."""
    progress: Progress
    """For a list of inputs: called with how many are done and how many there are."""
    seed: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    max_tokens: int
    stop: str | Sequence[str]
    n: int
    echo: bool
    frequency_penalty: float
    presence_penalty: float
    repetition_penalty: float
    logit_bias: Mapping[int, float]
    logprobs: int | bool
    """How many alternatives to report for each token; True or 0 is the chosen token's own logprob alone."""


class CopyOptions(Defaults, total=False):
    """What ``with_options`` takes."""

    model: str
    """``provider:model`` or an alias, instead of the client's own."""


class Options(CopyOptions, total=False):
    """What any verb takes besides its own arguments."""

    idempotency_key: str
    """Sent with every attempt of this call. There is none for a client: hosts take the same key for a repetition."""


class ChatOptions(Options, total=False):
    """What ``chat`` takes besides."""

    system: str
    tools: Sequence[Tool | Mapping[str, Any] | Callable[..., Any]]
    """Python functions with annotations, or JSON schemas as ``Tool`` or in OpenAI's form."""
    steps: int
    """How many turns the model may take. Default 1: its calls come back in ``tool_calls``. With more, the functions
    it calls are called, and it goes on with what they return."""
    tool_choice: str
    parallel_tool_calls: bool
    reasoning: Literal["low", "medium", "high"] | int | bool


class ClientOptions(Defaults, total=False):
    """What a client takes besides: where its own provider is, for a start without a config file."""

    api_key: str | Secret | Sequence[str | Secret]
    """Several share the questions."""
    base_url: str
    http_client: Any


STOPS = 100
"""Texts at which a reply may be stopped."""
HOST = ("api_key", "base_url", "http_client")
"""Where the client's own provider is."""
_SECRET = frozenset({*HOST, "extra"})
"""What may hold secrets."""
ALIAS = frozenset({"hedge", "restart"})
"""Settings of a call that an alias may have."""
CALL = ALIAS | {
    "model", "timeout", "deadline", "retry", "retry_unknown", "budget", "cache", "tags", "on_unsupported",
}  # fmt: skip
BATCH = frozenset({"errors", "concurrency", "progress"})
TEXT = frozenset(Options.__annotations__) - CALL - BATCH
CHAT = frozenset(ChatOptions.__annotations__) - frozenset(Options.__annotations__)
ASKED = CALL | BATCH | TEXT
CHATTED = ASKED | CHAT
"""What verbs take, and what ``chat`` does."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How a call is made, whatever it asks."""

    deadline: float | None = None
    """Seconds from now."""
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    hedge: float | None = None
    """Seconds without content after which to ask a second time; 0 is never, ``None`` as the alias says."""
    restart: bool | None = None
    """Whether to go on with the next model after content; ``None`` as the alias says."""
    budgets: tuple[Budget, ...] = ()
    """All that the call is charged to."""
    cache: CachePolicy = CachePolicy()
    circuit: CircuitPolicy = CircuitPolicy()
    tags: tuple[str, ...] = ()
    on_unsupported: OnUnsupported = "raise"
    errors: Literal["raise", "return"] = "raise"
    concurrency: int = 8
    progress: Progress | None = None


ELSEWHERE = {
    "stream": ", since it has no text to stream",
    "documents": "; answer() takes them as context=",
    "system": "; chat() takes one",
    "api_key": "; it is given where the client is made",
    "base_url": "; it is given where the client is made",
    "http_client": "; it is given where the client is made",
}
"""Keywords that others take, and what to do instead."""


def check_names(options: Mapping[str, Any], known: frozenset[str], verb: str) -> None:
    """Refuse a keyword that nobody takes.

    Raises:
        TypeError: as Python does for any function, with what was probably meant.
    """
    for name in options:
        if name not in known:
            from difflib import get_close_matches

            close = get_close_matches(name, known, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{verb}() got an unexpected keyword argument {name!r}{ELSEWHERE.get(name, meant)}")


def check_defaults(options: Mapping[str, Any], known: frozenset[str], verb: str) -> None:
    """Refuse what cannot be the default of many calls.

    Raises:
        InputError: it is for one call.
        TypeError: nobody takes it.
    """
    if "idempotency_key" in options:
        hint = "Pass it to the call: hosts take all requests with the same key for one."
        raise InputError("idempotency_key= is for one call", argument="idempotency_key", hint=hint)
    check_names(options, known, verb)


def call_settings(options: Mapping[str, Any], base: CallSettings) -> CallSettings:
    """``base`` with the call's own settings over it.

    Raises:
        InputError: a value that makes no sense; it is named.
    """
    changes: dict[str, Any] = {}
    if (deadline := options.get("deadline")) is not None:
        changes["deadline"] = _number("deadline", deadline, above=0)
    if "timeout" in options:
        changes["timeouts"] = _timeouts(options["timeout"], base.timeouts)
    if "retry" in options or "retry_unknown" in options:
        changes["retry"] = _retry(options, base.retry)
    if options.get("budget") is not None:
        changes["budgets"] = (*base.budgets, Budget.of(options["budget"]))
    if "cache" in options:
        changes["cache"] = _cache(options["cache"], base.cache)
    if "tags" in options:
        changes["tags"] = _tags(options["tags"])
    for name, allowed in (("on_unsupported", ("raise", "warn", "drop")), ("errors", ("raise", "return"))):
        if name in options:
            changes[name] = _one_of(name, options[name], allowed)
    changes |= _of_aliases(options) | _of_batches(options)
    return replace(base, **changes) if changes else base


def _of_aliases(options: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "hedge" in options:
        after = options["hedge"]
        changes["hedge"] = 0.0 if after is None else _number("hedge", after, above=0)
    if "restart" in options:
        changes["restart"] = _boolean("restart", options["restart"])
    return changes


def of_alias(settings: CallSettings, options: Mapping[str, Any]) -> CallSettings:
    """``settings`` with those of an alias under them."""
    unset = {name for name in ALIAS & options.keys() if getattr(settings, name) is None}
    return replace(settings, **{name: options[name] for name in unset}) if unset else settings


def _of_batches(options: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "concurrency" in options:
        changes["concurrency"] = _integer("concurrency", options["concurrency"], least=1)
    if "progress" in options:
        if not callable(options["progress"]):
            hint = "Pass a function of two numbers: done, of."
            raise InputError("progress is not callable", argument="progress", hint=hint)
        changes["progress"] = options["progress"]
    return changes


def _timeouts(value: Any, base: Timeouts) -> Timeouts:
    if value is None:
        return replace(base, total=None)
    if not isinstance(value, Mapping):
        return replace(base, total=_number("timeout", value, above=0))
    known = ("connect", "first_token", "idle", "total")
    for name in value:
        _one_of("timeout", name, known)
    return replace(base, **{k: v if v is None else _number(f"timeout[{k!r}]", v, above=0) for k, v in value.items()})


def _retry(options: Mapping[str, Any], base: RetryPolicy) -> RetryPolicy:
    value = options.get("retry", {})
    if isinstance(value, Mapping):
        for name in value:
            _one_of("retry", name, ("attempts", "base", "cap", "unknown", "patience"))
        policy = replace(base, **value)
    else:
        policy = replace(base, attempts=value)
    _integer("retry", policy.attempts, least=1)
    _number("retry['base']", policy.base, least=0)
    _number("retry['cap']", policy.cap, least=0)
    _number("retry['patience']", policy.patience, least=0)
    return replace(policy, unknown=_boolean("retry_unknown", options.get("retry_unknown", policy.unknown)))


def _cache(value: Any, base: CachePolicy) -> CachePolicy:
    if isinstance(value, bool):
        return replace(base, on=value)
    if not isinstance(value, Mapping):
        hint = 'Pass True, False or a mapping such as {"ttl": 3600}.'
        raise InputError(f"cache={brief(value)} is neither a bool nor a mapping", argument="cache", hint=hint)
    for name in value:
        _one_of("cache", name, ("ttl", "sampled", "namespace"))
    given: dict[str, Any] = {**value}
    if given.get("ttl") is not None:
        _number("cache['ttl']", given["ttl"], above=0)
    _boolean("cache['sampled']", given.get("sampled", True))
    text("cache['namespace']", given.get("namespace", ""), empty=True)
    return replace(base, on=True, **given)


def _tags(value: Any) -> tuple[str, ...]:
    tags = (value,) if isinstance(value, str) else _sequence("tags", value)
    for tag in tags:
        text("tags", tag)
    return tags


# --- what goes into the request ---------------------------------------------------------------------------------

Fields = Mapping[str, Mapping[str, Any]]
"""The fields of ``Request`` that each option sets."""


def request_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``Request`` that the options set, each checked.

    Raises:
        InputError: a value out of range; it is named.
    """
    return flat(checked(options))


def hide(options: Any) -> None:
    """Put what is secret among a caller's keywords into forms that no traceback shows with its local variables."""
    if _SECRET.isdisjoint(options):
        return
    for name in HOST:
        if name in options:
            options[name] = kept(options[name], name)
    extra = options.get("extra")
    if isinstance(extra, Mapping) and "headers" in extra:
        options["extra"] = {**extra, "headers": kept(extra["headers"], "headers", Hidden)}


def checked(options: Mapping[str, Any]) -> Fields:
    """What each option sets of a ``Request``. By option, so that one can take the place of another's whole.

    Raises:
        InputError: as for ``request_fields``.
    """
    return {key: check(key, value) for key, value in options.items() if (check := _CHECKS.get(key))}


def flat(fields: Fields) -> dict[str, Any]:
    """The fields of ``Request`` that checked options set together."""
    return {name: value for each in fields.values() for name, value in each.items()}


def _checked(check: Any, **limits: Any) -> Any:
    return lambda name, value: {name: check(name, value, **limits)}


def _stop(name: str, value: Any) -> dict[str, Any]:
    stops = (value,) if isinstance(value, str) else _sequence(name, value)
    if len(stops) > STOPS:
        hint = f"Pass at most {STOPS}; most hosts take 4."
        raise InputError(f"{name} has {len(stops)} texts", argument=name, hint=hint)
    for item in stops:
        text(name, item)
    return {name: stops}


def _logprobs(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {name: 0} if value else {}
    return {name: _integer(name, value, least=0, most=20)}


def _logit_bias(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must map token ids to biases", argument=name, hint="Pass {50256: -100}.")
    bias = {_integer(name, key, least=0): _number(name, item, least=-100, most=100) for key, item in value.items()}
    return {name: bias}


def _extra(name: str, value: Any) -> dict[str, Any]:
    parts = value if isinstance(value, Mapping) else {}
    if parts is not value or not all(isinstance(part, Mapping) for part in parts.values()):
        hint = 'Pass {"headers": {...}, "body": {...}}.'
        raise InputError(f"{name} is not a mapping of mappings", argument=name, hint=hint)
    for part in parts:
        _one_of(name, part, ("headers", "body"))
    if not all(isinstance(header, str) for header in value.get("headers", ())):
        raise InputError(f"{name} has a header whose name is no str", argument=name, hint='Pass {"x-name": "..."}.')
    return {f"extra_{part}": dict(value[part]) for part in value}


def _tools(name: str, value: Any) -> dict[str, Any]:
    found = tuple(_tool(tool) for tool in _sequence(name, value))
    names = [tool.name for tool in found]
    if twice := next((item for item in names if names.count(item) > 1), None):
        raise InputError(f"two tools have the name {twice!r}", argument=name, hint="Give each a name of its own.")
    return {name: found}


def _tool(value: Any) -> Tool:
    """A tool, of a function, or in OpenAI's form: ``{"type": "function", "function": {...}}`` or the inner mapping."""
    if isinstance(value, Tool):
        return value
    if callable(value):
        from llmsdk.functions import Function

        return Function.of(value).tool
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise InputError("a tool needs a name", argument="tools", hint="Pass llmsdk.Tool(name=..., parameters={...}).")
    parameters = inner.get("parameters", {"type": "object", "properties": {}})
    return Tool(inner["name"], parameters, inner.get("description", ""), inner.get("strict"))


def _sequence(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        hint = f"Pass a list; it is of type {type(value).__name__}."
        raise InputError(f"{name} is not a list", argument=name, hint=hint)
    return tuple(value)


def _reasoning(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {name: _one_of(name, value, ("low", "medium", "high"))}
    return {name: value if isinstance(value, bool) else _integer(name, value, least=1)}


def _key(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        hint = "Pass a str without blanks at its ends or characters outside ASCII, such as a UUID."
        raise InputError(f"{name} must be printable ASCII", argument=name, hint=hint)
    return {name: value}


def text(argument: str, value: Any, *, empty: bool = False, blank: bool = True) -> str:
    """A string that can go over any wire.

    Raises:
        InputError: no ``str``, empty, white space alone unless ``blank``, or with NUL characters or lone surrogates.
    """
    if not isinstance(value, str):
        hint = 'Decode it: value.decode("utf-8").' if isinstance(value, bytes) else "Pass a str."
        raise InputError(f"{argument} must be a str, not {type(value).__name__}", argument=argument, hint=hint)
    if not value and not empty:
        raise InputError(f"{argument} is empty", argument=argument, hint="Pass some text.")
    if not blank and value.isspace():
        raise InputError(f"{argument} is nothing but white space", argument=argument, hint="Pass some text.")
    if "\0" in value:
        place = value.index("\0")
        raise InputError(f"{argument} has a NUL character at {place}", argument=argument, hint="Remove it.")
    _encodable(argument, value)
    return value


def _encodable(argument: str, value: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{argument} has a lone surrogate at {error.start}",
            argument=argument,
            hint='It was decoded wrongly; value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") cleans it.',
        ) from None


def _number(
    name: str, value: Any, *, least: float | None = None, most: float | None = None, above: float | None = None
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        hint = f"Pass a number{_limits(least, most, above)}."
        raise InputError(f"{name}={brief(value)} is not a finite number", argument=name, hint=hint)
    if (
        (least is not None and value < least)
        or (most is not None and value > most)
        or (above is not None and value <= above)
    ):
        hint = f"Pass a number{_limits(least, most, above)}."
        raise InputError(f"{name}={brief(value)} is out of range", argument=name, hint=hint)
    return value


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # a whole number that is no float is out of every range
        return False


def _integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = f"Pass a whole number{_limits(least, most, None)}."
        raise InputError(f"{name}={brief(value)} is not a whole number", argument=name, hint=hint)
    return int(_number(name, value, least=least, most=most))


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name}={brief(value)} is no bool", argument=name, hint="Pass True or False.")
    return value


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> Any:
    if value not in allowed:
        raise InputError(f"{name}: {brief(value)} is not known", argument=name, hint=f"One of: {', '.join(allowed)}.")
    return value


def _limits(least: float | None, most: float | None, above: float | None) -> str:
    low = f" above {above}" if above is not None else f" of at least {least}" if least is not None else ""
    return f"{low} and at most {most}" if low and most is not None else low


_CHECKS: dict[str, Any] = {
    "seed": _checked(_integer, least=0, most=2**63 - 1),
    "temperature": _checked(_number, least=0, most=10),
    "top_p": _checked(_number, above=0, most=1),
    "top_k": _checked(_integer, least=1),
    "min_p": _checked(_number, least=0, most=1),
    "max_tokens": _checked(_integer, least=1, most=2**31 - 1),
    "stop": _stop,
    "n": _checked(_integer, least=1, most=128),
    "echo": _checked(_boolean),
    "frequency_penalty": _checked(_number, least=-2, most=2),
    "presence_penalty": _checked(_number, least=-2, most=2),
    "repetition_penalty": _checked(_number, above=0, most=10),
    "logit_bias": _logit_bias,
    "logprobs": _logprobs,
    "extra": _extra,
    "idempotency_key": _key,
    "tools": _tools,
    "tool_choice": _checked(text),
    "parallel_tool_calls": _checked(_boolean),
    "reasoning": _reasoning,
}


def messages(argument: str, value: Any, system: str | None = None) -> tuple[Message, ...]:
    """A conversation from a ``str``, a sequence of ``Message``, or of dicts in OpenAI's chat format.

    Raises:
        InputError: what is wrong, and in which message.
    """
    if isinstance(value, str):
        turns = [Message("user", text(argument, value, blank=False))]
    else:
        turns = [_turn(f"{argument}[{index}]", item) for index, item in enumerate(_turns(argument, value))]
    if not turns:
        raise InputError(f"{argument} is empty", argument=argument, hint="Pass a str or at least one message.")
    return (Message("system", text("system", system, blank=False)), *turns) if system is not None else tuple(turns)


def _turn(where: str, item: Any) -> Message:
    from llmsdk.messages import checked, from_dict

    turn = (checked if isinstance(item, Message) else from_dict)(item, where)
    has_parts = not isinstance(turn.content, str) and bool(turn.content)
    text(where, turn.text, empty=has_parts or turn.role == "assistant", blank=has_parts or turn.role != "user")
    for part in turn.parts if has_parts else ():
        for name in part.__slots__:  # ids, names and arguments go over the wire too
            if isinstance(word := getattr(part, name), str):
                _encodable(where, word)
    return turn


def _turns(argument: str, value: Any) -> list[Any]:
    if isinstance(value, bytes | Mapping) or not isinstance(value, Sequence):
        hint = 'Pass a str, or a list such as [{"role": "user", "content": "Hi!"}].'
        raise InputError(f"{argument} is of type {type(value).__name__}", argument=argument, hint=hint)
    return list(value)
