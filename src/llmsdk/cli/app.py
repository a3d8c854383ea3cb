"""The commands and their arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from llmsdk.cli import doctor, show
from llmsdk.cli.terminal import tell, text_or_stdin
from llmsdk.errors import ConfigError, InputError

app: typer.Typer = typer.Typer(
    name="llmsdk",
    help="Five language tasks on a built-in local model or any hosted one. Start with: llmsdk demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Text = Annotated[str | None, typer.Argument(help="The text; - or nothing reads it from stdin.", show_default=False)]
Model = Annotated[
    str | None, typer.Option("-m", "--model", help="PROVIDER:MODEL or an alias, such as local:pocket.", metavar="MODEL")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A configuration file to use.", metavar="FILE")]
MaxTokens = Annotated[int | None, typer.Option(help="At most so many tokens of reply.", metavar="N")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.", metavar="T")]
Seed = Annotated[int | None, typer.Option(help="Sample the same way again.", metavar="N")]
Timeout = Annotated[float | None, typer.Option(help="Seconds for the whole call.", metavar="S")]
BARE = ""
"""What a flag takes: nothing, where typer would write ``<bool>``."""
AsJSON = Annotated[bool, typer.Option("--json", help="Print the whole result as JSON, unstreamed.", metavar=BARE)]


def _client(model: str | None, config: Path | None) -> Any:
    from llmsdk import Client
    from llmsdk.config import load

    if not model and load(config).default is None:
        hint = 'Name one: -m local:pocket, LLMSDK_MODEL, or `default = "..."` in llmsdk.toml.'
        raise ConfigError("no model to ask", hint=hint)
    return Client(model, config=config)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, [])}


@app.command()
def chat(
    text: Text = None,
    *,
    system: Annotated[str | None, typer.Option(help="Instructions for the model.")] = None,
    model: Model = None,
    config: ConfigFile = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJSON = False,
) -> None:
    """Say something and get the reply."""
    message = text_or_stdin(text)
    options = _given(system=system, max_tokens=max_tokens, temperature=temperature, seed=seed, deadline=timeout)
    with _client(model, config) as client:
        tell(lambda stream: client.chat(message, stream=stream, **options), as_json=as_json)


@app.command()
def complete(
    text: Text = None,
    *,
    suffix: Annotated[str | None, typer.Option(help="What comes after the gap to fill.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")] = None,
    model: Model = None,
    config: ConfigFile = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJSON = False,
) -> None:
    """Continue a text."""
    prompt = text_or_stdin(text)
    options = _given(
        suffix=suffix, stop=stop, max_tokens=max_tokens, temperature=temperature, seed=seed, deadline=timeout
    )
    with _client(model, config) as client:
        tell(lambda stream: client.complete(prompt, stream=stream, **options), as_json=as_json)


@app.command()
def translate(
    text: Text = None,
    *,
    to: Annotated[str, typer.Option("-t", "--to", help="Language to translate to, such as en, zh or pt-BR.")],
    source: Annotated[str | None, typer.Option("--from", help="Language of the text, where it is known.")] = None,
    glossary: Annotated[
        list[str] | None, typer.Option(help="TERM=TRANSLATION that must be kept; may be repeated.", metavar="A=B")
    ] = None,
    formality: Annotated[Literal["formal", "informal"] | None, typer.Option(help="How to address the reader.")] = None,
    model: Model = None,
    config: ConfigFile = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJSON = False,
) -> None:
    """Translate a text."""
    words = text_or_stdin(text)
    options = _given(
        source=source,
        glossary=_glossary(glossary or []) or None,
        formality=formality,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        deadline=timeout,
    )
    with _client(model, config) as client:
        tell(lambda stream: client.translate(words, to=to, stream=stream, **options), as_json=as_json)


def _glossary(pairs: list[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    for (term, equals, translation), pair in zip(split, pairs, strict=True):
        if not (term and equals and translation):
            hint = "Write it like --glossary cat=猫."
            raise InputError(f"--glossary {pair!r} is not TERM=TRANSLATION", argument="glossary", hint=hint)
    return {term: translation for term, _, translation in split}


@app.command()
def answer(
    text: Annotated[str | None, typer.Argument(help="The question; - or nothing reads it from stdin.")] = None,
    *,
    file: Annotated[
        list[Path] | None, typer.Option("-f", "--file", help="A document to answer from; may be repeated.")
    ] = None,
    model: Model = None,
    config: ConfigFile = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJSON = False,
) -> None:
    """Answer a question, from documents where any are given; their quotes are checked."""
    files = file or []
    texts = [_document(path) for path in files]
    question = text_or_stdin(text, what="question")
    options = _given(max_tokens=max_tokens, temperature=temperature, seed=seed, deadline=timeout)
    with _client(model, config) as client:
        tell(
            lambda stream: client.answer(question, context=texts or None, stream=stream, **options),
            as_json=as_json,
            below=lambda result: show.evidence(result, [str(path) for path in files], texts),
        )


def _document(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", argument="file", hint="Only plain text is read.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", argument="file", hint="Give a text file to -f.") from error
    if not text:
        raise InputError(f"{path} is empty", argument="file", hint="Leave it out, or ask without documents.")
    return text


@app.command()
def classify(
    text: Text = None,
    *,
    labels: Annotated[
        list[str], typer.Option("-l", "--labels", help="Labels, with commas between; may be repeated.", metavar="A,B")
    ],
    multi: Annotated[
        bool, typer.Option("--multi", help="Every label that fits, not the best one.", metavar=BARE)
    ] = False,
    threshold: Annotated[float, typer.Option(help="With --multi: how probable a label must be.", metavar="P")] = 0.5,
    model: Model = None,
    config: ConfigFile = None,
    temperature: Temperature = None,
    seed: Seed = None,
    timeout: Timeout = None,
    as_json: AsJSON = False,
) -> None:
    """Choose the label of a text."""
    names = [label.strip() for group in labels for label in group.split(",") if label.strip()]
    words = text_or_stdin(text)
    options = _given(temperature=temperature, seed=seed, deadline=timeout)
    with _client(model, config) as client:
        result = client.classify(words, names, multi=multi, threshold=threshold, **options)
    print(result.to_json()) if as_json else show.classification(result)


@app.command()
def models(
    provider: Annotated[
        str | None, typer.Argument(help="Ask this provider what it offers.", show_default=False)
    ] = None,
    *,
    config: ConfigFile = None,
) -> None:
    """List aliases and providers, or the models of one provider."""
    show.models(provider, config)


@app.command()
def usage(
    *,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="day, model, provider, operation or tag; may be repeated.", metavar="KEY"),
    ] = None,
    since: Annotated[str | None, typer.Option(help="From this day (UTC) on: 7d, today or 2026-11-29.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="A ledger's file; default: the configured one.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.", metavar=BARE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", metavar=BARE)] = False,
    config: ConfigFile = None,
) -> None:
    """What was used and what it cost, by day, model and tag."""
    from llmsdk.cli import usage as page

    if as_csv and as_json:
        raise InputError("--csv and --json at once", argument="json", hint="Choose one.")
    form = "csv" if as_csv else "json" if as_json else "page"
    page.show(page.ledger(ledger, config), by or (), page.first_day(since), form)


@app.command(name="doctor")
def doctor_command(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to look at beside those that are configured.", show_default=False)
    ] = None,
    *,
    config: ConfigFile = None,
) -> None:
    """Say what is configured, where each value came from, and what is installed. Never shows a secret."""
    raise typer.Exit(doctor.report(config, models or ()))


@app.command()
def trust(
    path: Annotated[
        Path | None, typer.Argument(help="Default: the llmsdk.toml found from here.", show_default=False)
    ] = None,
) -> None:
    """Let a project's configuration file, as it stands now, be given keys."""
    show.trust_file(path)


@app.command()
def demo(
    *,
    model: Annotated[str, typer.Option("-m", "--model", help="Any other model.", metavar="MODEL")] = "local:pocket",
) -> None:
    """See all five tasks run, here and now: no key, no download, no network."""
    from llmsdk.cli.demo import run

    run(model)


def _version(wanted: bool) -> None:
    if wanted:
        from llmsdk import __version__

        print(f"llmsdk {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.", metavar=BARE)
    ] = False,
) -> None:
    """Five language tasks on a built-in local model or any hosted one. Start with: [bold]llmsdk demo[/]"""
