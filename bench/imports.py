"""What it costs to import a client, and to get a first answer from it, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from statistics import median

from environments import peers
from overhead import server, version
from report import Report, table

IMPORTS = {
    "llmsdk": "from llmsdk import AsyncClient, Client",
    "openai": "from openai import AsyncOpenAI, OpenAI",
    "litellm": "from litellm import acompletion, completion",
    "any-llm-sdk": "from any_llm import acompletion, completion",
}
FIRST = {
    "llmsdk": 'text = Client("openai:gpt-x", api_key="sk-x", base_url=url, config={}).chat("Hi!").text',
    "openai": """text = OpenAI(api_key="sk-x", base_url=url).chat.completions.create(
        model="gpt-x", messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
    "litellm": """text = completion(model="openai/gpt-x", api_key="sk-x", api_base=url,
        messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
    "any-llm-sdk": """text = completion(model="gpt-x", provider="openai", api_key="sk-x", api_base=url,
        messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
}
PROGRAM = """\
import sys, time
before, began, cpu = set(sys.modules), time.perf_counter(), time.process_time()
{imports}
wall, imported, modules = time.perf_counter() - began, time.process_time() - cpu, len(set(sys.modules) - before)
import json, resource
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
url = sys.argv[1]
{first}
assert "sunny in Rome" in text, text
print(json.dumps([imported * 1e3, wall * 1e3, modules, rss, (time.process_time() - cpu) * 1e3]))
"""
COLUMNS = ("import_cpu_ms", "import_wall_ms", "modules", "rss_mb", "first_answer_cpu_ms")
NOTE = """\
The median of {rounds} interleaved rounds, each in a fresh interpreter with warm bytecode: milliseconds of CPU and of
wall clock to import the names that a program needs (`{ours}`, and so on), how many
modules that loads, the peak of resident memory after it, and the CPU until the first answer of a server on loopback is
there: what an import puts off shows in that column. In brackets how many times ours it is."""


def measure(rounds: int) -> Report:
    """``rounds`` times each client, in turn, after one round that only writes bytecode."""
    pythons = peers()
    seen: dict[str, list[list[float]]] = defaultdict(list)
    with server() as url:
        for _ in range(rounds + 1):
            for name, python in pythons.items():
                seen[name].append(once(python, name, url))
    medians = {name: [median(column) for column in zip(*rows[1:], strict=True)] for name, rows in seen.items()}
    figures = {name: dict(zip(COLUMNS, row, strict=True)) for name, row in medians.items()}
    ours = medians["llmsdk"]
    rows = [[f"{name} {version(pythons[name], name)}", *cells(row, ours)] for name, row in medians.items()]
    heads = ["client", "import, CPU ms", "wall ms", "modules", "RSS MB", "first answer, CPU ms"]
    return Report(table(heads, rows, NOTE.format(rounds=rounds, ours=IMPORTS["llmsdk"])), figures)


def once(python: Path, name: str, url: str) -> list[float]:
    program = PROGRAM.format(imports=IMPORTS[name], first=FIRST[name])
    done = subprocess.run([python, "-I", "-c", program, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def cells(row: list[float], ours: list[float]) -> list[str]:
    """Each figure, and how many times ours it is."""
    return [f"{value:.0f} ({value / own:.1f}x)" for value, own in zip(row, ours, strict=True)]
