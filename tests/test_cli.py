from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from llmsdk.cli import main
from llmsdk.errors import BadResponse
from llmsdk.io import IO
from llmsdk.provider import CONTRACT, Capabilities, HTTPSettings
from llmsdk.results import Chat
from llmsdk.types import Event, Finish, Model, Output, Request, Score, TextDelta, Usage

pytest.importorskip("typer", reason="the extra [cli] is not installed")
CANARY = "canary-4711"
PARROT = Path(__file__).parents[1] / "examples" / "custom_provider"


class Echo:
    """A provider that says what the test wants and keeps what it was asked."""

    contract = CONTRACT
    Settings = HTTPSettings
    key_variables = ("ECHO_KEY",)
    loop_bound = False
    reply: ClassVar[str] = "hello there"
    asked: ClassVar[list[Request]] = []

    def __init__(self, name: str, settings: Any) -> None:
        self.name = name

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(
            complete=True, suffix=True, options=frozenset({"max_tokens", "temperature", "seed", "stop", "top_p"})
        )

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        Echo.asked.append(request)
        if request.model == "broken":
            raise BadResponse("the \x1b[31mserver fell over", hint="Wait [a] bit.")
        if request.model == "interrupted":
            raise KeyboardInterrupt
        for word in re.findall(r"\s*\S+", Echo.reply):
            yield TextDelta(word)
        yield Usage(10, 2)
        yield Finish("stop")

    async def score(self, request: Request, candidates: Sequence[str], io: IO) -> AsyncIterator[Event]:
        Echo.asked.append(request)
        yield Output(tuple(Score(-float(len(candidate)), 1) for candidate in candidates))
        yield Usage(10, 2)

    async def models(self, io: IO) -> AsyncIterator[Event]:
        yield Output((Model("small", self.name, 4096), Model("large", self.name)))

    async def aclose(self) -> None: ...


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LLMSDK_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    user = tmp_path / "user" / "llmsdk"
    user.mkdir(parents=True)
    (user / "config.toml").write_text(
        f'default = "echo:x"\n[models]\nfast = ["echo:a", "echo:b"]\n[providers.echo]\nkind = "{__name__}:Echo"\n'
    )
    for name, value in {"HOME": tmp_path, "XDG_CONFIG_HOME": user.parent, "COLUMNS": 100, "TERM": "xterm"}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(repository)
    Echo.reply, Echo.asked = "hello there", []
    return repository


def say(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(args)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


# --- the verbs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["chat", "hi"],
        ["complete", "hi"],
        ["translate", "hi", "--to", "zh"],
        ["answer", "hi?"],
        ["chat", "-m", "fast", "hi"],
    ],
)
def test_the_text_and_nothing_else_goes_to_a_pipe(capsys: Any, command: list[str]) -> None:
    assert say(capsys, *command) == (0, "hello there\n", "")


@pytest.mark.parametrize("args", [["chat"], ["chat", "-"]])
def test_text_may_be_piped_in(capsys: Any, monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    pipe(monkeypatch, "你好\r\nthere\n".encode())
    assert say(capsys, *args)[0] == 0
    assert Echo.asked[0].messages[-1].text == "你好\r\nthere"


def test_no_text_at_a_terminal_is_a_usage_error(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO(b"")))
    code, out, err = say(capsys, "chat")
    assert (code, out) == (2, "")
    assert err.startswith("error: no text was given\n hint: ")


def test_piped_bytes_must_be_utf8(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"\xff")
    code, _, err = say(capsys, "chat", "-")
    assert code == 2
    assert "not UTF-8" in err
    assert not Echo.asked


def test_options_reach_the_model(capsys: Any) -> None:
    options = ["--max-tokens", "7", "--temperature", "0.5", "--seed", "3"]
    assert say(capsys, "chat", "hi", "--system", "Be brief.", "-m", "echo:y", *options)[0] == 0
    asked = Echo.asked[0]
    assert (asked.model, asked.max_tokens, asked.temperature, asked.seed, asked.stream) == ("y", 7, 0.5, 3, True)
    assert asked.messages[0].text == "Be brief."


def test_complete_takes_suffix_and_stops(capsys: Any) -> None:
    assert say(capsys, "complete", "a", "--suffix", "z", "--stop", "x", "--stop", "y")[0] == 0
    assert (Echo.asked[0].suffix, Echo.asked[0].stop) == ("z", ("x", "y"))


def test_translate_takes_a_glossary(capsys: Any) -> None:
    args = ["--to", "zh", "--from", "en", "--glossary", "hi=你好", "--glossary", "a=b=c", "--formality", "formal"]
    code, _, err = say(capsys, "translate", "hi", *args)
    system = Echo.asked[0].messages[0].text
    assert code == 0
    assert "- hi = 你好" in system
    assert "- a = b=c" in system
    assert "formal" in system
    assert "warning: the glossary gives '你好' for 'hi'" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["translate", "hi", "--to", "zh", "--glossary", "hi"], "--glossary 'hi' is not TERM=TRANSLATION"),
        (["translate", "hi", "--to", "zh", "--glossary", "=x"], "--glossary '=x' is not TERM=TRANSLATION"),
        (["translate", "hi", "--to", "jp"], "jp"),
        (["chat", "hi", "--max-tokens", "0"], "error: --max-tokens 0 is out of range"),
        (["chat", "hi", "--temperature", "nan"], "error: --temperature nan is not a finite number"),
        (["chat", "hi", "--timeout", "0"], "error: --timeout 0.0 is out of range"),
        (["chat", "hi", "--system", ""], "error: --system is empty"),
        (["complete", ""], "error: the text is empty"),
        (["answer", ""], "error: the question is empty"),
        (["complete", "hi", "--stop", ""], "error: --stop is empty"),
        (["translate", "hi", "--to", "klingon"], "error: --to 'klingon' is not a language we know"),
        (["translate", "hi", "--to", "zh", "--from", "xx"], "error: --from 'xx' is not a language we know"),
        (["translate", "hi", "--to", "zh", "--from", "zh"], "error: --to and --from are both 'zh'"),
        (["classify", "hi", "-l", "a,b", "--threshold", "7"], "error: --threshold 7.0 is not between 0 and 1"),
        (["answer", "hi", "-f", os.devnull], f"error: {os.devnull} is empty"),
        (["chat", "a\0b"], "NUL"),
        (["chat", ""], "is empty"),
        (["chat", "hi", "-m", "ecko:x"], "no provider 'ecko'"),
        (["chat", "hi", "-m", "echo"], "'echo' names a provider but no model"),
        (["classify", "hi", "--labels", "a"], "one label to choose from"),
        (["classify", "hi", "--labels", "a,b,a"], "'a' stands there twice"),
        (["answer", "hi", "-f", "missing.txt"], "missing.txt: No such file or directory"),
        (["answer", "hi", "-f", "."], "Is a directory"),
        (["chat", "hi", "--config", "missing.toml"], "missing.toml: No such file or directory"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(capsys: Any, args: list[str], message: str) -> None:
    code, out, err = say(capsys, *args)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[0]
    assert "Traceback" not in err
    assert not Echo.asked


def test_hints_are_for_a_shell_too(capsys: Any) -> None:
    assert "or --multi to ask whether one fits" in say(capsys, "classify", "hi", "-l", "a")[2]
    assert "Check the path given as --config or in LLMSDK_CONFIG." in say(capsys, "doctor", "--config", "no.toml")[1]
    assert "Did you mean 'local:pocket'?" in say(capsys, "chat", "hi", "-m", "pocket")[2]
    assert (
        'Write "echo:MODEL"; `llmsdk models echo` lists what it offers.' in say(capsys, "chat", "hi", "-m", "echo")[2]
    )
    assert "-m local:pocket" in say(capsys, "chat", "hi", "-m", "", "--config", os.devnull)[2]


def test_a_warning_is_one_line_without_a_place_in_our_code(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_XYZZY", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, out, err = say(capsys, "chat", "hi")
    assert (code, out) == (0, "hello there\n")
    assert set(err.splitlines()) == {err.splitlines()[0]}
    assert err.startswith("warning: env LLMSDK_XYZZY means nothing to llmsdk")


def test_a_nul_in_a_document_names_the_document(capsys: Any, place: Path) -> None:
    (place / "a.txt").write_text("fine")
    (place / "b.txt").write_text("a\0b")
    assert "error: file 2 has a NUL character" in say(capsys, "answer", "hi", "-f", "a.txt", "-f", "b.txt")[2]


def test_every_flag_that_an_error_names_exists() -> None:
    from typer.main import get_command

    from llmsdk.cli.app import app
    from llmsdk.cli.words import FLAGS

    commands: Any = get_command(app)
    options = {name for command in commands.commands.values() for item in command.params for name in item.opts}
    assert set(FLAGS.values()) <= options


def test_words_that_only_look_like_arguments_stay(capsys: Any) -> None:
    from llmsdk.cli.words import in_shell, told
    from llmsdk.errors import ConfigError, InputError, RequestRejected, Unsupported

    assert told("the label 'to=x' stands there twice") == "the label 'to=x' stands there twice"
    assert told("Shorten the prompt, lower max_tokens, or choose another.").count("--max-tokens") == 1
    assert in_shell(ConfigError("a.toml:3: models.cheap: max_tokens=0 is out of range"))[0].endswith(
        "max_tokens=0 is out of range"
    )
    assert in_shell(RequestRejected("max_tokens=9 is too large, says the host"))[0].startswith("max_tokens=9")
    assert in_shell(InputError("1 labels to choose from", argument="labels"))[0] == "1 labels to choose from"
    assert in_shell(Unsupported("x:y does not support seed", capability="seed"))[0] == "x:y does not support --seed"


@pytest.mark.parametrize("args", [["chatt"], ["chat", "a", "b"], ["chat", "hi", "--seeed", "1"], ["translate", "hi"]])
def test_what_typer_refuses_ends_with_2(capsys: Any, args: list[str]) -> None:
    code, out, err = say(capsys, *args)
    assert (code, out) == (2, "")
    assert "Usage" in err


@pytest.mark.parametrize("command", [["chat", "hi"], ["answer", "hi?"], ["translate", "hi", "--to", "zh"]])
def test_json_is_the_whole_result(capsys: Any, command: list[str]) -> None:
    code, out, err = say(capsys, *command, "--json")
    data = json.loads(out)
    assert (code, err, data["text"]) == (0, "", "hello there")
    assert data["record"]["attempts"][0]["usage"]["input_tokens"] == 10
    assert not Echo.asked[0].stream


def test_json_reads_back_as_a_result(capsys: Any) -> None:
    _, out, _ = say(capsys, "chat", "hi", "--json")
    result: Any = Chat.from_json(out)
    assert (result.text, result.usage.output_tokens) == ("hello there", 2)


def test_answers_come_from_documents(capsys: Any, place: Path) -> None:
    (place / "a.txt").write_text("Tom is in Rome.", encoding="utf-8")
    (place / "b.txt").write_text("\ufeffLucy is in Oslo.", encoding="utf-8")
    Echo.reply = "Oslo\n[2] Lucy is in Oslo."
    assert say(capsys, "answer", "Where is Lucy?", "-f", "a.txt", "-f", "b.txt") == (0, "Oslo\n", "")
    assert "\ufeff" not in Echo.asked[0].messages[-1].text
    Echo.reply = "NOT FOUND"
    code, out, err = say(capsys, "answer", "Where is Sam?", "-f", "a.txt")
    assert (code, out.strip(), err) == (0, "", "The documents do not answer this.\n")


def test_a_quote_has_its_file_and_line(bird: list[str], place: Path) -> None:
    (place / "a.txt").write_text("Tom is in Rome.\nThe bird says:\nSquawk!", encoding="utf-8")
    _, screen = on_a_terminal(["answer", "What?\n[1]", "-f", "a.txt", *bird])  # which the bird repeats
    assert re.search(r"“Squawk!” \(a\.txt:3\).*\n.* out tokens", screen), "the figures are last"


def test_a_document_must_be_text(capsys: Any, place: Path) -> None:
    (place / "a.bin").write_bytes(b"\xff\xfe\x00")
    code, _, err = say(capsys, "answer", "hi", "-f", "a.bin")
    assert code == 2
    assert "a.bin is not UTF-8" in err


def test_classify_prints_labels_for_a_script(capsys: Any) -> None:
    assert say(capsys, "classify", "hi", "--labels", "bad, good", "-l", "neutral") == (0, "bad\n", "")
    assert say(capsys, "classify", "hi", "-l", "no,neutral,a very long label", "--multi", "--threshold", "0.3")[1]
    code, out, _ = say(capsys, "classify", "hi", "--labels", "bad,good", "--json")
    assert (code, json.loads(out)["probability"]) == (0, "exact")


# --- failures ---------------------------------------------------------------------------------------------------


def test_a_failure_is_one_line_and_a_hint(capsys: Any) -> None:
    code, out, err = say(capsys, "chat", "hi", "-m", "echo:broken")
    assert (code, out) == (1, "")
    assert err == "error: the [31mserver fell over\n hint: Wait [a] bit.\n"


def test_a_failure_has_a_traceback_only_when_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSDK_DEBUG", "1")
    with pytest.raises(BadResponse):
        main(["chat", "hi", "-m", "echo:broken"])


def test_an_interrupt_ends_with_130(capsys: Any) -> None:
    code, out, err = say(capsys, "chat", "hi", "-m", "echo:interrupted")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_no_model_names_the_ways_to_get_one(capsys: Any, place: Path) -> None:
    (place / "empty.toml").touch()
    code, _, err = say(capsys, "chat", "hi", "--config", "empty.toml")
    assert code == 2
    assert "no model to ask" in err
    assert "-m local:pocket" in err


def test_control_characters_of_a_model_do_not_reach_a_terminal() -> None:
    from llmsdk.cli.terminal import printable

    assert printable("a\x1b]0;title\x07b\r\n\tc\u3000\x9bd") == "a]0;titleb\n\tc\u3000d"


# --- processes --------------------------------------------------------------------------------------------------

# A shell's background jobs ignore Ctrl-C, and so do their children: give it back, however the tests were started.
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from llmsdk.cli import main
sys.exit(main())
"""


def command(*args: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", MAIN, *args]


@pytest.fixture
def bird(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that choose a provider which lives in a file, and is slow."""
    monkeypatch.setenv("PYTHONPATH", str(PARROT))
    (place / "bird.toml").write_text('[providers.bird]\nkind = "llmsdk_parrot:Parrot"\npause = 0.02\n')
    return ["--config", "bird.toml", "-m", "bird:polly"]


def test_text_comes_as_it_is_made_and_ctrl_c_ends_it(bird: list[str]) -> None:
    process = subprocess.Popen(
        command("chat", "word " * 1000, *bird), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"word"
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 130
    assert len(rest) < 5 * 990
    assert b"Traceback" not in errors


def test_a_closed_pipe_is_quiet(bird: list[str]) -> None:
    process = subprocess.Popen(
        command("chat", "word " * 1000, *bird), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(4)
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(30) != 0
    assert errors == b""


def test_without_its_extra_it_says_what_to_install() -> None:
    code = f"import sys; sys.modules['typer'] = None\n{MAIN}"
    done = subprocess.run([sys.executable, "-c", code, "chat", "hi"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "the command line needs the extra 'cli'\n  hint: pip install \"llmsdk[cli]\"\n"


def test_ascii_terminals_get_escapes_not_tracebacks(place: Path, bird: list[str]) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command("chat", "猫", *bird), capture_output=True, timeout=60, env=environ)
    assert (done.returncode, done.stdout) == (0, b"\\u732b Squawk!\n")


def on_a_terminal(args: list[str], *, columns: int = 80, **variables: str) -> tuple[int, str]:
    """Exit code and screen of a command run on a terminal of its own."""
    screen, ours = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), **variables}
    process = subprocess.Popen(command(*args), stdin=ours, stdout=ours, stderr=ours, env=environ, close_fds=True)
    os.close(ours)
    shown = b"".join(_read(screen))
    os.close(screen)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def _read(screen: int) -> Iterator[bytes]:
    while select.select([screen], [], [], 120)[0]:
        try:
            data = os.read(screen, 65536)
        except OSError:  # the other side has closed
            return
        if not data:
            return
        yield data


def test_a_reader_at_a_terminal_sees_what_it_cost(bird: list[str]) -> None:
    code, screen = on_a_terminal(["chat", "hello", *bird])
    assert code == 0
    assert screen.startswith("hello Squawk!\n")
    assert re.search(r"\x1b\[2m1 in \+ 2 out tokens · 0\.\d\d s · bird:polly\x1b\[0m", screen)


def test_no_color_means_no_escapes(bird: list[str]) -> None:
    code, screen = on_a_terminal(["chat", "hello", "-m", "nobody:x"], NO_COLOR="1")
    assert code == 2
    assert "31m" not in screen
    code, screen = on_a_terminal(["chat", "hello", "-m", "nobody:x"])
    assert "\x1b[1;31merror:" in screen


# --- models, doctor, trust --------------------------------------------------------------------------------------


def test_models_lists_names_and_asks_a_provider(capsys: Any) -> None:
    code, out, _ = say(capsys, "models")
    assert code == 0
    for part in ("echo:x", "fast", "echo:a > echo:b", "local:MODEL", "openai:MODEL", "echo:MODEL"):
        assert part in out
    assert say(capsys, "models", "echo") == (0, "echo:small\t4096\necho:large\n", "")
    assert say(capsys, "models", "ecko")[0] == 2


SECRETS = f"""
default = "acme:x"
[models]
smart = {{ model = ["acme:x", "local:y"], temperature = 0 }}
[providers.acme]
kind = "openai"
base_url = "https://user:{CANARY}@acme.example:8443/v1?token={CANARY}"
api_key = "{CANARY}"
proxy = "http://me:{CANARY}@proxy.example:3128"
headers = {{ X-Secret = "{CANARY}" }}
client_cert = "{CANARY}"
max_connections = 4
[providers.other]
kind = "openai"
base_url = "https://other.example"
token = "{CANARY}"
[providers.team]
kind = "openai"
api_key = {{ env = "TEAM_KEY" }}
[providers.gone]
kind = "gone"
[retry]
attempts = 5
"""


def test_doctor_shows_where_values_come_from_and_no_secret(
    capsys: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "any.toml").write_text(SECRETS)
    monkeypatch.setenv("TEAM_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("LLMSDK_TIMEOUTS_IDLE", "7")
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = say(capsys, "doctor", "--config", "any.toml")
    assert (code, err) == (1, "")
    assert CANARY not in out
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "any.toml:23" in rows["retry.attempts"]
    assert "env LLMSDK_TIMEOUTS_IDLE" in rows["timeouts.idle"]
    assert "acme:x > local:y, temperature = 0" in rows["models.smart"]
    assert "https://…@acme.example:8443/v1" in rows["providers.acme.base_url"]
    assert "http://…@proxy.example:3128" in rows["providers.acme.proxy"]
    assert "set (X-Secret)" in rows["providers.acme.headers"]
    assert re.search(r"max_connections +4 +any.toml:12", rows["providers.acme.max_connections"])
    assert re.search(r"token +set +any.toml", rows["providers.other.token"])
    assert "ready, key set (from env OPENAI_API_KEY)" in rows["openai"]
    assert "ready, key set (from env TEAM_KEY)" in rows["team"]
    assert "[providers.gone] has no kind" in rows["gone"]
    assert "unknown key" in rows["other"]
    assert "3." in rows["python"]
    assert "typer" in rows["[cli]"]


def test_doctor_shows_what_has_no_default(capsys: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (place / "any.toml").write_text(
        '[cache]\non = true\nmegabytes = 8\n[ledger]\npath = "usage.db"\n[limits.openai]\nrpm = 7\n'
        '[budget]\nusd = 5\nper = "day"\ntags = { acme = { tokens = 9 } }\n'
    )
    _, out, _ = say(capsys, "doctor", "--config", "any.toml")
    told = [" ".join(line.split()) for line in out.splitlines()]
    assert "cache.on True any.toml:2" in told
    assert "cache.megabytes 8.0 any.toml:3" in told
    assert any(re.fullmatch(r"ledger\.path .*usage\.db any\.toml:5", line) for line in told)
    assert "limits.openai.rpm 7 any.toml:7" in told
    assert "limits.openai.tpm" not in out
    assert "budget Budget(usd=5, per='day') any.toml:9" in told
    assert "budget Budget(tokens=9, tag='acme') any.toml:11" in told


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "llmsdk", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("llmsdk 0.")


def test_doctor_says_what_is_broken(capsys: Any, place: Path) -> None:
    (place / "any.toml").write_text("[retry]\natempts = 3")
    code, out, _ = say(capsys, "doctor", "--config", "any.toml")
    assert code == 2
    assert "any.toml:2: retry.atempts: unknown key" in out
    assert "Did you mean 'attempts'?" in out


def doctor(capsys: Any, place: Path, text: str) -> tuple[int, str]:
    """Exit code of ``doctor`` on this configuration, and what it says, in one line."""
    (place / "any.toml").write_text(text)
    code, out, err = say(capsys, "doctor", "--config", "any.toml")
    assert err == ""
    return code, " ".join(out.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        f'default = "echo:x"\n[providers.echo]\nkind = "{__name__}:Echo"',
        '[providers.acme]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n[models]\nfast = "acme:small"',
        'default = "fast"\n[models]\nfast = "acme:x"\n[providers.acme]\nkind = "openai"\napi_key = "k"',
    ],
)
def test_doctor_ends_with_0_where_all_that_is_configured_is_ready(capsys: Any, place: Path, text: str) -> None:
    code, told = doctor(capsys, place, text)
    assert (code, "to be mended" in told) == (0, False)
    assert "openai no API key for 'openai'" in told, "installed, but nobody asked for it"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('default = "openai:gpt-5"', "openai no API key for 'openai'", "Set OPENAI_API_KEY"),
        ('[models]\nsmart = ["echo:x", "openai:gpt-5"]', "no API key for 'openai'", "Set OPENAI_API_KEY"),
        ('[providers.openai]\napi_key = { env = "GONE" }', "the environment variable GONE is not set", "Set GONE"),
        ('[providers.openai]\napi_key = "k"\nproxi = "x"', "providers.openai.proxi: unknown key", "'proxy'"),
        ('[providers.acme]\nbase_url = "https://x.example"', "[providers.acme] has no kind", 'kind = "openai"'),
        ('default = "nobody:x"', "nobody no provider 'nobody'", "Known: "),
        ('default = "local:./gone"', "local", ""),  # the folder, or the extra where that is not installed
    ],
)
def test_doctor_ends_with_1_where_something_configured_cannot_be_used(
    capsys: Any, place: Path, text: str, message: str, hint: str
) -> None:
    code, told = doctor(capsys, place, text)
    _, title, mend = told.partition("to be mended")
    assert (code, bool(title)) == (1, True)
    assert message in mend
    assert hint in mend


def test_doctor_says_how_a_model_runs_that_is_configured_or_named(capsys: Any, place: Path) -> None:
    pytest.importorskip("torch", reason="the local runtime needs torch")
    code, told = doctor(capsys, place, 'default = "local:pocket"')
    assert code == 0
    assert "local:pocket our own decoder, in float32 on cpu" in told
    (place / "any.toml").write_text("")
    code, out, _ = say(capsys, "doctor", "--config", "any.toml", "local:pocket")
    assert (code, "our own decoder" in out) == (0, True)
    assert say(capsys, "doctor", "--config", "any.toml", "local:./gone")[0] == 1


def test_doctor_misses_the_extra_of_a_provider_that_needs_it(
    capsys: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmsdk.cli import doctor as module

    monkeypatch.setattr(module, "EXTRAS", {**module.EXTRAS, "local": ("no-such-distribution",)})
    assert doctor(capsys, place, "")[0] == 0
    code, told = doctor(capsys, place, 'default = "local:pocket"')
    assert code == 1
    assert "the provider 'local' needs the extra 'local' pip install \"llmsdk[local]\"" in told


def test_doctor_warns_of_a_file_that_is_not_trusted(capsys: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    (place / "llmsdk.toml").write_text(
        '[providers.openai]\nbase_url = "https://stranger.example"\n[providers.evil]\nkind = "antigravity:Evil"'
    )
    code, out, _ = say(capsys, "doctor")
    assert code == 1
    assert "not trusted" in out
    assert "run: llmsdk trust" in out
    assert CANARY not in out
    assert "antigravity" not in sys.modules


def test_trust_shows_the_file_and_remembers_it(capsys: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "llmsdk.toml"
    monkeypatch.setenv("ECHO_KEY", CANARY)
    path.write_text(f'[providers.bird]\nkind = "{__name__}:Echo"\nbase_url = "https://x.example"\n')
    assert "not trusted" in say(capsys, "chat", "hi", "-m", "bird:x")[2]
    code, out, _ = say(capsys, "trust")
    assert code == 0
    assert "providers.bird.base_url (llmsdk.toml:3)" in out
    assert str(path) in out.replace("\n", "")
    assert say(capsys, "chat", "hi", "-m", "bird:x") == (0, "hello there\n", "")
    path.write_text(path.read_text() + "# changed")
    assert say(capsys, "chat", "hi", "-m", "bird:x")[0] == 2
    assert say(capsys, "trust", str(place))[0] == 0
    assert say(capsys, "chat", "hi", "-m", "bird:x")[0] == 0


def test_trust_needs_a_file_that_can_be_read(capsys: Any, place: Path) -> None:
    assert say(capsys, "trust")[2].startswith("error: no llmsdk.toml here or above")
    assert "hint: Give the path of an llmsdk.toml" in say(capsys, "trust", "gone.toml")[2]
    (place / "llmsdk.toml").write_text("broken = = 1")
    code, _, err = say(capsys, "trust")
    assert code == 2
    assert "not valid TOML" in err


def test_version_and_help(capsys: Any) -> None:
    from llmsdk import __version__

    assert say(capsys, "--version") == (0, f"llmsdk {__version__}\n", "")
    code, out, _ = say(capsys, "--help")
    assert code == 0
    for name in ("chat", "complete", "translate", "answer", "classify", "models", "doctor", "trust", "demo"):
        assert name in out
    assert say(capsys)[0] in (0, 2)  # no command: help, whose code differs between versions of typer


# --- demo -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_demo_fits_its_terminal(capsys: Any, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", str(columns))
    Echo.reply = "今天是星期五，天气很好。" * 8 + " hello there"
    code, out, err = say(capsys, "demo", "-m", "echo:x")
    assert (code, err) == (0, "")
    assert max(map(cell_len, out.splitlines())) <= min(columns, 80)
    assert "\x1b" not in out
    for number, verb in enumerate(("complete", "chat", "translate", "answer", "classify"), start=1):
        assert f"{number} {verb}" in out
    assert len(Echo.asked) == 10


def test_what_the_demo_shows_is_what_it_runs(capsys: Any) -> None:
    from llmsdk.cli.demo import STEPS

    code, out, _ = say(capsys, "demo", "-m", "echo:x")
    shown = re.sub(r"\s+|>>>", "", out)
    assert code == 0
    for step in STEPS:
        for line in step.lines:
            assert re.sub(r"\s+", "", line) in shown
    asked = [request.messages[-1].text for request in Echo.asked]
    assert any("今天是星期五，" in text for text in asked)
    assert out.count("10 in + 2 out") == len(Echo.asked)


def test_the_demo_on_the_model_inside_the_package(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.cells import cell_len

    pytest.importorskip("torch", reason="the extra [local] is not installed")
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = say(capsys, "demo")
    assert code == 0
    assert max(map(cell_len, out.splitlines())) <= 80
    told = re.sub(r"\s+", " ", out)
    for text in (
        "Your name is Anna.",
        "露西星期一在巴黎买了两本书。",
        "Tom's dog is brown.",
        "pages[0][0:33] = “Order 4071 will arrive on Friday.”",
        "answerable=False",
    ):
        assert text in told
    assert re.search(r" bad ━+ (0\.9\d\d|1\.000) good ", told)
    assert re.search(r" weather ━+ (0\.9\d\d|1\.000) ", told)
    assert "0 out tokens" in told
