"""What goes to the terminal: answers to stdout, everything about them to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from llmsdk.cli.words import in_shell, told
from llmsdk.errors import InputError, LLMError
from llmsdk.results import Result
from llmsdk.types import Reset

Ask = Callable[[bool], Any]
"""Asks the client: a stream with ``True``, the whole result with ``False``."""


def printable(text: str) -> str:
    """``text`` without the control characters by which a model could write to the terminal."""
    return "".join(char for char in text if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160))


def complain(error: LLMError) -> None:
    """One red line, and what to do about it."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    message, hint = in_shell(error)
    console.print(f"[bold red]error:[/] {escape(printable(message))}")
    if hint:
        console.print(f"[dim] hint:[/] {escape(printable(hint))}")


def caution(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning in one line, without the place in a library's code that Python shows."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[yellow]warning:[/] {escape(printable(told(str(message))))}")


def text_or_stdin(text: str | None, *, what: str = "text") -> str:
    """The argument, or what is piped in where it is ``-`` or missing.

    Raises:
        InputError: there is neither, or it is not UTF-8.
    """
    if text not in (None, "-"):
        return str(text)
    if text is None and sys.stdin.isatty():
        hint = f"Give it as an argument, or pipe it in: echo ... | llmsdk COMMAND ({what} from a terminal: -)"
        raise InputError(f"no {what} was given", argument=what, hint=hint)
    try:
        piped = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} piped in is not UTF-8", argument=what) from error
    return piped.removesuffix("\n").removesuffix("\r")


def tell(ask: Ask, *, as_json: bool, below: Callable[[Any], None] | None = None) -> None:
    """Print an answer as it comes, what stands ``below`` it, and its figures; or its JSON."""
    if as_json:
        print(ask(False).to_json())
        return
    last = "\n"
    clean = printable if sys.stdout.isatty() else str
    with ask(True) as stream:
        for event in stream:
            if type(event) is Reset:
                caution("the reply broke off; the next model begins anew")
                last = _closed(last)
            if text := clean(event.text):
                sys.stdout.write(text)
                sys.stdout.flush()
                last = text
        result = stream.result
    _closed(last)
    if below:
        below(result)
    about(result)


def _closed(last: str) -> str:
    """End the line that was printed last."""
    if not last.endswith("\n"):
        print(flush=True)
    return "\n"


def about(result: Result) -> None:
    """What the answer cost, for a reader at a terminal, and its warnings for everybody."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for warning in result.warnings:
        caution(warning)
    if console.is_terminal:
        console.print(f"[dim]{escape(stats(result))} · {escape(printable(result.provider))}:{escape(result.model)}[/]")


def stats(result: Result) -> str:
    """Tokens, cost and time, in a few words."""
    usage, cost = result.usage, result.cost
    tokens = f"{_count(usage.input_tokens)} in + {_count(usage.output_tokens)} out tokens"
    mark = "~" if usage.source in ("estimate", "mixed") else ""
    money = f" · ${cost:.6f}".rstrip("0").rstrip(".") if cost else ""
    return f"{mark}{tokens}{money} · {result.timing.total:.2f} s"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"
