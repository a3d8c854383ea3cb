"""The CPU time of a call and of a streamed chunk, in every mode of use: bare HTTP libraries, other SDKs, and ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

from environments import environment, ours, purelib
from report import Report, table

HERE = Path(__file__).parent
Told = dict[str, Any] | None
Figures = dict[str, dict[str, list[Told]]]
"""By client and mode, what its worker told in each round."""
BASE = "httpx2"
"""What the ratios are to."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to use a client. ``count`` calls in a round, ``quick`` of them in a quick run, where there is one."""

    name: str
    title: str
    count: int
    quick: int = 0


CALLS = (
    Mode("sync", "sync", 200, 50),
    Mode("async", "async", 200, 50),
    Mode("flight-64", "64 in flight", 640, 128),
    Mode("flight-512", "512 in flight", 1024, 512),
    Mode("flight-1000", "1000 in flight", 2000, 1000),
    Mode("prompt", "1 MB prompt", 10, 3),
    Mode("reply", "1 MB reply", 10, 3),
    Mode("construct", "construction", 5, 2),
)
STREAMS = (
    Mode("syncstream", "sync stream", 3, 1),
    Mode("stream", "async stream", 3, 1),
    Mode("stream-64", "64 streams", 64, 64),
    Mode("paced", "a chunk a millisecond", 1, 1),
)
BARE = ["httpx", "httpx2", "aiohttp", "pyreqwest"]
ROWS: Mapping[str, tuple[str, Sequence[str]]] = {
    "httpx2": ("bare", BARE),
    "httpx": ("bare", BARE),
    "aiohttp": ("bare", BARE),
    "pyreqwest": ("bare", BARE),
    "llmsdk.io": ("llmsdk", []),
    "openai": ("openai", ["openai"]),
    "litellm": ("litellm", ["litellm"]),
    "any-llm-sdk": ("any-llm-sdk", ["any-llm-sdk[openai]"]),
    "pydantic-ai": ("pydantic-ai", ["pydantic-ai-slim[openai]"]),
    "llmsdk over httpx2": ("llmsdk", []),
    "llmsdk": ("llmsdk", []),
}
"""Each client, the environment that it runs in, and what pip installs there."""
DISTRIBUTION = {"pydantic-ai": "pydantic-ai-slim", "llmsdk.io": "llmsdk", "llmsdk over httpx2": "llmsdk"}
NOTE = """\
Microseconds of the client process's CPU for {unit}, the least of all rounds ({rounds}), and the median ratio to bare
httpx2 in the same round. Plain HTTP kept alive on loopback, server and client in processes of their own on a core each,
each client in an environment of its own and alive through all rounds, which go through the clients in turn; every
answer is checked, and what is not there after {patience} s in a wave of calls in flight is unfinished (the number of
all rounds). `-`: no such mode, or none finished.
{more}"""
OF_CALLS = """\
Bare clients post a dict and read `choices[0]`, without types, retries, usage, ledger or deadline, and may open 2000
connections; SDKs run with their defaults, ours with a deadline and a tracing hook. In flight: the server answers after
50 ms. Construction: a further client, sync and async together. *llmsdk.io* is our transport
alone, as bare as the libraries but for a deadline; *llmsdk over httpx2* is all of ours with `http_client=`."""
OF_STREAMS = """\
A chunk is an event of about 240 bytes, all {chunks} of a stream in one burst but for the last column. Bare clients
split lines and parse JSON; pydantic-ai has no plain blocking stream."""


@contextmanager
def server() -> Iterator[str]:
    """The canned server; its base URL."""
    command = [sys.executable, str(HERE / "server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.stdin.close()


class Client:
    """A client's process, measured when asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def measure(self, mode: str, count: int) -> Told:
        """What ``worker.py`` tells; ``None`` where the client has no such mode, or has ended."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(mode, count, file=self._process.stdin, flush=True)
            told: Told = json.loads(self._process.stdout.readline() or "null")
        except OSError:
            return None
        return told


@contextmanager
def started(python: Path, name: str, url: str) -> Iterator[Client]:
    command = [str(python), str(HERE / "worker.py"), name, url]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        yield Client(process)
        process.kill()
        with suppress(BrokenPipeError):  # it ended before
            process.communicate()


def measure(rounds: int, quick: bool = False) -> Report:
    pythons = found(ROWS)
    modes = [replace(mode, count=mode.quick) if quick else mode for mode in (*CALLS, *STREAMS)]
    figures = alternated(pythons, modes, rounds)
    titles = titled(pythons)
    return Report("\n".join([shown("a call", OF_CALLS, CALLS, titles, figures, rounds),
                             shown("a chunk", OF_STREAMS, STREAMS, titles, figures, rounds)]), figures)  # fmt: skip


def alternated(pythons: Mapping[str, Path], modes: Sequence[Mode], rounds: int) -> Figures:
    """``rounds`` times every mode of every client, the clients in turn."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        url = stack.enter_context(server())
        clients = {name: stack.enter_context(started(python, name, url)) for name, python in pythons.items()}
        for _ in range(rounds):
            for mode in modes:
                for name, client in clients.items():
                    told = client.measure(mode.name, mode.count)
                    figures[name][mode.name].append(told)
    return figures


def found(names: Iterable[str]) -> dict[str, Path]:
    """The Pythons of clients that can be installed here; the others are named and left out."""
    pythons: dict[str, Path] = {}
    mine = ours()
    for name in names:
        folder, wanted = ROWS[name]
        try:
            pythons[name] = environment(folder, list(wanted)) if wanted else mine
        except subprocess.CalledProcessError:
            print(f"{name} cannot be installed here and is left out", file=sys.stderr)
    return pythons


def titled(pythons: Mapping[str, Path]) -> dict[str, str]:
    """Each client with its version."""
    return {name: f"{name} {version(python, DISTRIBUTION.get(name, name))}" for name, python in pythons.items()}


def shown(
    unit: str, more: str, modes: Sequence[Mode], titles: Mapping[str, str], figures: Mapping[str, Any], rounds: int
) -> str:
    from server import CHUNKS
    from worker import PATIENCE

    heads = ["client", *(mode.title for mode in modes)]
    rows = [[title, *(cell(figures[name][mode.name], figures[BASE][mode.name]) for mode in modes)]
            for name, title in titles.items()]  # fmt: skip
    text = NOTE.format(unit=unit, rounds=rounds, patience=f"{PATIENCE:.0f}", more=more.format(chunks=CHUNKS))
    return table(heads, rows, text)


def cell(told: Sequence[Told], base: Sequence[Told]) -> str:
    pairs = paired(told, base)
    if not pairs:
        return "-"
    least = min(mine for mine, _ in pairs)
    ratio = median(mine / other for mine, other in pairs)
    missing = sum(mine["missing"] for mine in told if mine)
    digits = 0 if least >= 100 else 1
    return f"{least:,.{digits}f} {ratio:.2f}x" + (f" ({missing} unfinished)" if missing else "")


def paired(told: Sequence[Told], base: Sequence[Told]) -> list[tuple[float, float]]:
    """Microseconds of each round that both finished, and the base's in it."""
    both = zip(told, base, strict=True)
    return [(mine["us"], other["us"]) for mine, other in both if mine and other and mine["done"]]


def version(python: Path, name: str) -> str:
    found = {item.name: item.version for item in distributions(path=[str(purelib(python))])}
    return found[name]
