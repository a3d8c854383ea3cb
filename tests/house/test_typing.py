"""Holds the types of the public face by what mypy makes of tests/typing/api.py; scripts/check asks pyright as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from house_source import ROOT

WRONG = """\
from typing import assert_type
from llmsdk import Chat, Client, Completion
def f(client: Client) -> None:
    assert_type(client.chat("hi"), Completion)
"""


USED = """from llmsdk import Client
from llmsdk_parrot import Parrot, ParrotSettings
Client("parrot:polly", provider=Parrot("parrot", ParrotSettings()))
"""


def check(file: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", file]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def test_the_public_face_has_the_types_it_promises() -> None:
    done = check(ROOT / "tests" / "typing" / "api.py")
    assert done.returncode == 0, done.stdout


def test_a_wrong_type_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, "utf-8")
    done = check(file)
    assert done.returncode == 1
    assert "assert-type" in done.stdout


def test_the_providers_of_the_documentation_are_providers_to_a_type_checker(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "providers" / "writing-one.md").read_text("utf-8")
    smallest = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert smallest
    file = tmp_path / "providers.py"
    file.write_text(smallest[1] + USED, "utf-8")
    done = check(file, MYPYPATH=str(ROOT / "examples" / "custom_provider"))
    assert done.returncode == 0, done.stdout
