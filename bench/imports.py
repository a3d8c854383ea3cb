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
CLIENT = {
    "llmsdk": 'client = Client("openai:gpt-x", api_key="sk-x", base_url=url, config={})',
    "openai": 'client = OpenAI(api_key="sk-x", base_url=url)',
    "litellm": "",
    "any-llm-sdk": "",
}
FIRST = {
    "llmsdk": 'text = client.chat("Hi!").text',
    "openai": """text = client.chat.completions.create(
        model="gpt-x", messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
    "litellm": """text = completion(model="openai/gpt-x", api_key="sk-x", api_base=url,
        messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
    "any-llm-sdk": """text = completion(model="gpt-x", provider="openai", api_key="sk-x", api_base=url,
        messages=[{"role": "user", "content": "Hi!"}]).choices[0].message.content""",
}
PROGRAM = """\
import sys, time
before, began, cpu = set(sys.modules), time.perf_counter(), time.process_time()
def since():
    return [(time.process_time() - cpu) * 1e3, (time.perf_counter() - began) * 1e3]
def memory():
    with open("/proc/self/smaps_rollup") as file:
        sizes = dict(line.split(":") for line in file if line.endswith("kB\\n"))
    size = lambda *names: sum(int(sizes[name].split()[0]) for name in names) / 1e3
    return [size("Rss"), size("Private_Clean", "Private_Dirty")]
url = sys.argv[1]
{imports}
told = [*since(), len(set(sys.modules) - before)]
{client}
told += memory()
{first}
assert "sunny in Rome" in text, text
told += since()
import json
print(json.dumps(told))
"""
COLUMNS = ("import_cpu_ms", "import_wall_ms", "modules", "rss_mb", "uss_mb", "first_cpu_ms", "first_wall_ms")
BASE = "openai"
NOTE = """\
The median of {rounds} interleaved rounds, each in a fresh interpreter with warm bytecode: milliseconds of CPU and of
wall clock to import the names that a program needs (`{ours}`, and so on), how many
modules that loads, the resident memory with a client made (litellm and any-llm-sdk make none) and what of it is the
process's own, and the time until the first answer of a server on loopback is there: what an import puts off shows in
those columns. Behind each figure the ratio to openai in the same run."""


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
    rows = [[f"{name} {version(pythons[name], name)}", *cells(row, medians[BASE])] for name, row in medians.items()]
    heads = ["client", "import, CPU ms", "wall ms", "modules", "RSS MB", "own MB", "first answer, CPU ms", "wall ms"]
    return Report(table(heads, rows, NOTE.format(rounds=rounds, ours=IMPORTS["llmsdk"])), figures)


def once(python: Path, name: str, url: str) -> list[float]:
    program = PROGRAM.format(imports=IMPORTS[name], client=CLIENT[name], first=FIRST[name])
    done = subprocess.run([python, "-I", "-c", program, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def cells(row: list[float], base: list[float]) -> list[str]:
    """Each figure, and its ratio."""
    return [f"{value:,.0f} {value / other:.2f}x" for value, other in zip(row, base, strict=True)]
