"""The five tasks, one after the other: the line of Python, what it gave, and what that cost."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from llmsdk.cli.show import scores
from llmsdk.cli.terminal import printable, stats
from llmsdk.results import Answer, Classification, Result

WIDTH = 80
NARROW = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One task. ``lines`` are Python: what is shown is what runs."""

    verb: str
    says: str
    lines: tuple[str, ...]


STEPS = (
    Step(
        "complete",
        "continue a text, in English or Chinese",
        (
            'client.complete("今天是星期五，", max_tokens=60)',
            'client.complete("Once upon a time, there was a", max_tokens=70)',
        ),
    ),
    Step(
        "chat",
        "talk, over several turns",
        (
            'hello = Message("user", "My name is Anna.")',
            "reply = client.chat([hello])",
            'client.chat([hello, reply.message, Message("user", "What is my name?")])',
        ),
    ),
    Step(
        "translate",
        "both ways",
        (
            'client.translate("Lucy bought two books in Paris on Monday.", to="zh")',
            'client.translate("汤姆的狗是棕色的。", to="en")',
        ),
    ),
    Step(
        "answer",
        "from documents, with checked quotes, or says it is not there",
        (
            'pages = ["Order 4071 will arrive on Friday.", "Tom lives in Berlin."]',
            'client.answer("When will order 4071 arrive?", context=pages)',
            'client.answer("Who is order 4071 for?", context=pages)',
        ),
    ),
    Step(
        "classify",
        "with the model's own probability of every label",
        (
            'client.classify("The soup was cold and salty.", ["good", "bad"])',
            'client.classify("北京的天气很冷。", ["music", "weather", "sports"])',
        ),
    ),
)


def run(model: str, console: Console | None = None) -> None:
    """Run and show everything.

    Raises:
        LLMError: the model cannot be used.
    """
    from llmsdk import Client, Message

    console = console or _console()
    with Client(model) as client:
        _head(console, model)
        if model.startswith("local:"):
            _load(console, client)
        scope: dict[str, Any] = {"client": client, "Message": Message}
        for number, step in enumerate(STEPS, start=1):
            _show(console, number, step, scope)
        usage = client.usage
    _tail(console, f"{usage.input_tokens or 0:,} tokens in, {usage.output_tokens or 0:,} out")


def _console() -> Console:
    wide = Console(highlight=False)
    return Console(highlight=False, width=min(wide.width, WIDTH))


def _head(console: Console, model: str) -> None:
    where = "a tiny model inside the package: no key, no download, no network" if model == "local:pocket" else model
    console.print(Panel(Text.assemble(("llmsdk", "bold cyan"), f" · five verbs, one client\n{where}"), style="cyan"))
    console.print(_code(f'from llmsdk import Client, Message\nclient = Client("{model}")'))


def _load(console: Console, client: Any) -> None:
    """Load the model, so that the first task's time is its own."""
    started = time.perf_counter()
    if console.is_terminal:
        console.print(Text("loading torch and the model ...", "dim"), end="\r")
    client.complete("1", max_tokens=1)
    seconds = time.perf_counter() - started
    console.print(Text(f"loaded in {seconds:.1f} s", "dim"), justify="right")


def _show(console: Console, number: int, step: Step, scope: dict[str, Any]) -> None:
    console.print()
    title = Text.assemble((f"{number} {step.verb}", "bold cyan"), (f"  {step.says}", "dim"))
    console.print(Rule(title, align="left", style="cyan"))
    for line in step.lines:
        console.print(_code(line))
        with _busy(console):
            result = _execute(line, scope)
        if isinstance(result, Result):
            console.print(_beside(_told(result), stats(result), console.width))
            for note in _notes(result):
                console.print(Padding(Text(note, "dim"), (0, 0, 0, 2)))


def _busy(console: Console) -> AbstractContextManager[Any]:
    return console.status("", spinner_style="cyan") if console.is_terminal else nullcontext()


def _beside(told: RenderableType, figures: str, width: int) -> RenderableType:
    """What came out, with its figures at the right margin, or below where there is no room."""
    if width < NARROW:
        return Padding(Group(told, Text(figures, "dim")), (0, 0, 0, 4))
    table = Table.grid(expand=True, padding=(0, 0, 0, 2))
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", vertical="bottom", no_wrap=True)
    table.add_row(told, Text(figures, "dim"))
    return Padding(table, (0, 0, 0, 2))


def _execute(line: str, scope: dict[str, Any]) -> Any:
    """Run a line of ours and return its value, or that of the name it binds."""
    name, equals, expression = line.partition(" = ")
    bound = equals and name.isidentifier()
    value = eval(expression if bound else line, scope)  # noqa: S307 - the lines above, so that none is only for show
    if bound:
        scope[name] = value
    return value


def _code(code: str) -> RenderableType:
    table = Table.grid(padding=0)
    syntax = Syntax(code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
    table.add_row(Text("\n".join(">>> " for _ in code.splitlines()), "dim"), syntax)
    return table


def _told(result: Result) -> RenderableType:
    match result:
        case Classification():
            return scores(result)
        case Answer(answerable=False):
            return Text("answerable=False: the documents do not say", "bold yellow")
        case _:
            return Text(printable(getattr(result, "text", "")).strip(), "bold green")


def _notes(result: Result) -> list[str]:
    """What stands below a result: where an answer was found, and warnings."""
    found = result.evidence if isinstance(result, Answer) else ()
    quotes = [f"pages[{item.source}][{item.start}:{item.end}] = “{printable(item.quote)}”" for item in found]
    return [*quotes, *map(printable, result.warnings)]


def _tail(console: Console, total: str) -> None:
    console.print()
    console.print(Rule(Text("and now on another model", "bold cyan"), align="left", style="cyan"))
    console.print(f"That was {total}. For the same elsewhere, change one string:\n")
    rows = (
        ('Client("openai:gpt-4.1")', "a hosted API; its key in OPENAI_API_KEY"),
        ('Client("local:Qwen/Qwen3-0.6B")', "any Hugging Face model, CPU or GPU"),
        ("Client()", "the `default` of llmsdk.toml"),
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=max(len(code) for code, _ in rows) + 2)
    for code, what in rows:
        table.add_row(Syntax(f"  {code}", "python", theme="ansi_dark", background_color="default"), Text(what, "dim"))
    console.print(table)
    console.print("\n[dim]or from the shell:[/] llmsdk demo -m openai:gpt-4.1")
