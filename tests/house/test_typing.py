"""Holds the types of the public face by what mypy makes of tests/typing/api.py; scripts/check asks pyright as well."""

from __future__ import annotations

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


def check(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mypy", file], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_public_face_has_the_types_it_promises() -> None:
    done = check(ROOT / "tests" / "typing" / "api.py")
    assert done.returncode == 0, done.stdout


def test_a_wrong_type_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(WRONG, "utf-8")
    done = check(file)
    assert done.returncode == 1
    assert "assert-type" in done.stdout
