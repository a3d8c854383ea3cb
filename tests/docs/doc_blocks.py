"""The fenced blocks of a Markdown file, and running them from top to bottom as a reader would.

In Python a comment says what the statement before it gives, and the comments under it go on::

    client.chat("Hello!").text  # -> Hello! How can I help you?
    client.chat("")
    # raises InputError: messages is empty
    #   hint: ...

``# ->`` is what the statement printed, or else the ``str`` or ``repr`` of its value. A console block has commands
after ``$ `` and what they print. A block that is not run has ``<!-- not run: reason -->`` above it.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shlex
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

MARK = re.compile(r"# (?:-> (?P<value>.*)|raises (?P<error>\w+(?:: .*)?))")
SKIP = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. ``name`` is what follows the language, such as a file's name."""

    path: Path
    line: int
    language: str
    name: str
    code: str
    skipped: str | None = None

    @property
    def place(self) -> str:
        return f"{self.path.name}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The blocks of a file, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    opened: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = number
            continue
        language, _, name = lines[opened].removeprefix("```").partition(" ")
        above = SKIP.fullmatch(lines[opened - 1]) if opened else None
        code = "\n".join(lines[opened + 1 : number]) + "\n"
        found.append(Block(path, opened + 2, language, name.strip(), code, above[1] if above else None))
        opened = None
    assert opened is None, f"{path.name}:{opened} opens a block that is never closed"
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@dataclass(frozen=True, slots=True)
class Fault:
    """Lines ``first`` to ``last`` of a file say ``said``, and ``got`` is what really came out."""

    path: Path
    first: int
    last: int
    said: str
    got: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.path.name}:{self.first}: {self.said!r} is really {self.got!r}"


def correct(faults: Sequence[Fault]) -> None:
    """Write what really came out into the pages, from the last fault to the first so that no line moves."""
    for fault in sorted(faults, key=lambda fault: -fault.first):
        lines = fault.path.read_text(encoding="utf-8").splitlines()
        got = fault.got.splitlines() or [""]
        if fault.mark:
            statement = lines[fault.first - 1].partition(fault.mark)[0]
            got = [statement + fault.mark + got[0], *(f"# {line}".rstrip() for line in got[1:])]
        lines[fault.first - 1 : fault.last] = got
        fault.path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- Python -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """What a comment says that a statement gives."""

    line: int
    raises: bool
    text: str

    @property
    def last(self) -> int:
        return self.line + self.text.count("\n")


def run_python(block: Block, scope: dict[str, Any]) -> list[Fault]:
    """Run a block in ``scope`` and say which of its comments are wrong."""
    tree = ast.parse(block.code, str(block.path))
    said = list(shown(block.code))
    faults: list[Fault] = []
    ends = [node.lineno for node in tree.body[1:]] + [block.code.count("\n") + 1]
    for node, end in zip(tree.body, ends, strict=True):
        mine = [item for item in said if node.lineno <= item.line < end]
        assert len(mine) <= 1, f"{block.place}: a statement gives one thing"
        expected = mine[0] if mine else None
        ast.increment_lineno(node, block.line - 1)
        got = _outcome(node, str(block.path), scope, raises=expected is not None and expected.raises)
        if expected is not None and not _agrees(expected, got):
            first, mark = block.line - 1 + expected.line, "# raises " if expected.raises else "# -> "
            faults.append(Fault(block.path, first, first + expected.last - expected.line, expected.text, got[0], mark))
    return faults


def shown(code: str) -> Iterator[Shown]:
    """The comments that say what a statement gives."""
    comments = {
        token.start[0]: (token.string, token.line.strip() == token.string)
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    }
    for line, (text, _) in comments.items():
        if not (match := MARK.fullmatch(text)):
            continue
        parts = [match["error"] or match["value"]]
        while (following := comments.get(line + len(parts))) and following[1] and not MARK.fullmatch(following[0]):
            parts.append(following[0].removeprefix("#").removeprefix(" "))
        yield Shown(line, match["error"] is not None, "\n".join(parts))


def _outcome(node: ast.stmt, path: str, scope: dict[str, Any], *, raises: bool) -> list[str]:
    """What a statement gives, in every wording that a comment may have."""
    out = io.StringIO()
    value = None
    try:
        with redirect_stdout(out):
            if isinstance(node, ast.Expr):
                value = eval(compile(ast.Expression(node.value), path, "eval"), scope)  # noqa: S307 - our own docs
            else:
                exec(compile(ast.Module([node], []), path, "exec"), scope)  # noqa: S102 - our own docs
    except Exception as error:
        if not raises:
            raise
        return [f"{type(error).__name__}: {error}"]
    if out.getvalue():
        return [out.getvalue().rstrip()]
    return [str(value), repr(value)] if str(value) == str(value).strip() else [repr(value), str(value)]


def _agrees(expected: Shown, got: list[str]) -> bool:
    if not expected.raises:
        return expected.text in got
    lines = expected.text.splitlines()
    return any(lines == wording.splitlines()[: len(lines)] for wording in got) or any(
        expected.text == wording.partition(":")[0] for wording in got
    )


# --- commands ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block and what is shown under it."""

    line: int
    variables: Mapping[str, str]
    words: tuple[str, ...]
    output: str


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for number, line in enumerate(block.code.splitlines(), start=block.line):
        if line.startswith("$ "):
            words = shlex.split(line[2:], comments=True)
            variables = dict(word.partition("=")[::2] for word in words[: _assignments(words)])
            found.append(Command(number, variables, tuple(words[len(variables) :]), ""))
        else:
            assert found, f"{block.place}: a console block begins with a command after '$ '"
            last = found[-1]
            found[-1] = Command(last.line, last.variables, last.words, f"{last.output}{line}\n")
    return found


def _assignments(words: list[str]) -> int:
    return next((n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))


def run_command(block: Block, command: Command) -> list[Fault]:
    """Run an ``llmsdk`` command and say what is wrong. Without a shown output it only has to succeed."""
    from llmsdk.cli import main

    out = io.StringIO()
    with mock.patch.dict(os.environ, command.variables), redirect_stdout(out), redirect_stderr(out):
        code = main(command.words[1:])
    got, shown = _lines(out.getvalue()), _lines(command.output)
    if got == shown or (not shown and code == 0):
        return []
    first = command.line + 1
    return [Fault(block.path, first, command.line + len(shown), "\n".join(shown), "\n".join(got))]


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
