"""Each example runs as a reader would run it, on the model inside the package; the web back end behind real sockets."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripted import Scripted

from llmsdk import AsyncClient, Client
from llmsdk.errors import ServerFault
from llmsdk.io import IO
from llmsdk.types import Event, Request, TextDelta

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = [path for path in sorted(EXAMPLES.glob("[!t]*.py")) if path.name != "web_backend.py"]
Run = Callable[..., str]

needs_pocket = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch (extra [local])")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs an example with arguments and lines of input, and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *args: str, typed: Sequence[str] = ()) -> str:
        monkeypatch.setattr(sys, "argv", [name, *args])
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_examples_are_short() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 70} == {}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_example_says_how_it_is_used(script: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(script.name, "--help")
    assert end.value.code == 0
    assert "--model" in capsys.readouterr().out


def test_the_example_of_tests_passes(tmp_path: Path) -> None:
    plugins = ["-p", "llmsdk.testing.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, str(EXAMPLES / "test_support_bot.py")]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "." * 7), done.stdout


# --- programs ---------------------------------------------------------------------------------------------------


@needs_pocket
def test_customers_are_held_to_their_budgets(run: Run, tmp_path: Path) -> None:
    asked = ["acme: Hello!", "odd line", "zoo: Hello!", "acme: Thank you!", "acme: Hello!", ""]
    shown = run("budget_for_each.py", "--tokens", "100", "--ledger", str(tmp_path / "u.db"), typed=asked)
    lines = [line.lstrip("> ") for line in shown.splitlines()]  # what is typed does not show here
    assert [line.partition("> ")[0] for line in lines[:-2]] == ["acme", "zoo", "acme", "acme"]
    assert "the budget of 100 tokens a day does not allow this" in lines[3]
    assert [line.split()[:2] for line in lines[-2:]] == [["acme", "2"], ["zoo", "1"]]
    again = run("budget_for_each.py", "--ledger", str(tmp_path / "u.db"), typed=["zoo: Hello!", ""])
    assert again.splitlines()[-1].split()[:2] == ["zoo", "2"], "the file keeps what was used"


@needs_pocket
def test_chat_remembers_what_was_said(run: Run) -> None:
    shown = run("chat.py", typed=["Hello!", "Thank you!", ""])
    with Client("local:pocket") as client:
        first = client.chat("Hello!")
        turns = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": first.text}]
        second = client.chat([*turns, {"role": "user", "content": "Thank you!"}])
    tokens = f"{client.usage.input_tokens} tokens in, {client.usage.output_tokens} out"
    assert shown == f"you> {first.text}\nyou> {second.text}\nyou> {tokens}\n"


@needs_pocket
def test_chat_goes_on_after_an_error(run: Run) -> None:
    shown = run("chat.py", typed=["Hello! " * 5000, "Hello!"])
    assert "[the prompt has" in shown
    assert shown.count("you> ") == 3


@needs_pocket
def test_classify_csv_labels_every_row(run: Run) -> None:
    rows = list(
        csv.DictReader(io.StringIO(run("classify_csv.py", str(EXAMPLES / "reviews.csv"), "--labels", "good, bad")))
    )
    assert [row["label"] for row in rows] == ["good", "bad", "good", "bad", "good", "bad"]
    assert {row["how"] for row in rows} == {"exact"}
    assert all(0.5 < float(row["probability"]) <= 1 for row in rows)
    assert rows[1]["text"] == "The room was dirty, and the staff was rude."


def test_classify_csv_names_the_column_that_is_missing(run: Run) -> None:
    with pytest.raises(SystemExit, match="has no column 'review'; it has id, text"):
        run("classify_csv.py", str(EXAMPLES / "reviews.csv"), "--labels", "good,bad", "--column", "review")


@needs_pocket
def test_answers_come_with_file_and_line(run: Run) -> None:
    questions = ["What did Lucy see?", "Where is the museum?"]
    shown = run("answers_over_folder.py", str(EXAMPLES / "documents"), *questions).splitlines()
    assert shown[0] == questions[0]
    assert shown[2].startswith("    zoo.txt:1: Lucy saw a panda")
    assert shown[3:] == [questions[1], "  The documents do not say."]


def test_answers_need_documents(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.txt or \.md files"):
        run("answers_over_folder.py", str(tmp_path), "What did Lucy see?")


@needs_pocket
def test_the_model_is_swapped_by_the_file(run: Run) -> None:
    assert "  bad (" in (shown := run("swap_by_config.py"))
    assert "by local:pocket" in shown


def test_the_model_is_swapped_by_a_word(run: Run, openai_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.key)
    monkeypatch.setenv("LLMSDK_PROVIDERS_OPENAI_BASE_URL", openai_server.url)
    openai_server.models["gpt-4.1-mini"] = 128_000
    assert "by openai:gpt-4.1-mini" in run("swap_by_config.py", "--model", "hosted")
    assert "by openai:gpt-4.1-mini" in run("swap_by_config.py", "--model", "careful")


# --- the web back end -------------------------------------------------------------------------------------------


@contextmanager
def serving(module: ModuleType) -> Iterator[str]:
    """The origin of the example's app, served by uvicorn on a thread."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn (extra [test])")
    config = uvicorn.Config(module.app, host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="on")
    server, ready = uvicorn.Server(config), threading.Event()
    startup = server.startup

    async def started(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        ready.set()

    server.startup = started
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def backend(provider: Scripted | None = None) -> ModuleType:
    """The example's module, its client on ``provider`` where one is given."""
    pytest.importorskip("starlette", reason="needs starlette (extra [test])")
    spec = importlib.util.spec_from_file_location("web_backend", EXAMPLES / "web_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if provider is not None:
        module.AsyncClient = lambda model: AsyncClient("scripted:any", provider=provider)  # type: ignore[attr-defined]
    return module


def post(origin: str, body: object) -> list[tuple[str, Any]]:
    """The events that a POST to /chat is answered with."""
    import httpx2

    with httpx2.Client(trust_env=False, timeout=30) as client:
        with client.stream("POST", f"{origin}/chat", json=body) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream"), reply.read()
            return list(parsed(reply.iter_lines()))


def parsed(lines: Iterator[str]) -> Generator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@needs_pocket
def test_the_backend_streams_what_the_client_says() -> None:
    with serving(backend()) as origin, Client("local:pocket") as client:
        for messages in ("Hello!", [{"role": "user", "content": "你好！"}]):
            *pieces, (name, done) = post(origin, {"messages": messages})
            whole = client.chat(messages)
            assert len(pieces) > 1
            assert "".join(text for _, text in pieces) == whole.text
            assert (name, done["finish_reason"]) == ("done", "stop")
            assert done["usage"]["output_tokens"] == whole.usage.output_tokens


def test_the_backend_answers_mistakes_with_422() -> None:
    import httpx2

    with serving(backend(Scripted())) as origin, httpx2.Client(trust_env=False) as client:
        answers = [
            client.post(f"{origin}/chat", content=body)
            for body in (b'{"messages": ""}', b"{}", b"[", b'{"messages": 3}')
        ]
    assert [answer.status_code for answer in answers] == [422] * 4
    assert "messages is empty" in answers[0].json()["error"]


def test_the_backend_tells_of_an_error_under_way() -> None:
    broken = Scripted([TextDelta("Once"), ServerFault("the machine stopped")])
    with serving(backend(broken)) as origin:
        (first, text), (last, error) = post(origin, {"messages": "Tell me a story"})
    assert (first, text, last, error["type"]) == ("text", "Once", "error", "StreamInterrupted")


class Endless(Scripted):
    """Never stops, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    async def generate(self, request: Request, io: IO) -> AsyncIterator[Event]:
        try:
            while True:
                yield TextDelta("on and on ")
                await io.sleep(0.01)
        finally:
            self.ended.set()


def test_the_backend_stops_when_the_other_side_hangs_up() -> None:
    import httpx2

    endless = Endless()
    with serving(backend(endless)) as origin, httpx2.Client(trust_env=False) as client:
        with client.stream("POST", f"{origin}/chat", json={"messages": "Go on"}) as reply:
            lines = parsed(reply.iter_lines())
            assert next(lines) == ("text", "on and on ")
            assert not endless.ended.is_set()
        assert endless.ended.wait(10)
    lines.close()
