"""The command ``llmsdk chat | complete | translate | answer | classify | models | usage | doctor | trust | demo``."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from llmsdk.errors import ConfigError, InputError, LLMError, MissingExtra

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (it failed), 2 (wrong usage or configuration), 130 (Ctrl-C)."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a terminal without Chinese must not stop a Chinese answer
    try:
        import rich
        import typer
    except ModuleNotFoundError:
        print(MissingExtra("cli", needed_for="the command line"), file=sys.stderr)
        return 2
    del rich, typer
    return _run(args)


def _run(args: Sequence[str] | None) -> int:
    from llmsdk.cli.app import app
    from llmsdk.cli.terminal import caution, complain

    try:
        with warnings.catch_warnings():
            warnings.showwarning = caution
            app(args=args, prog_name="llmsdk")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except LLMError as error:
        if os.environ.get("LLMSDK_DEBUG"):
            raise
        complain(error)
        return 2 if isinstance(error, ConfigError | InputError) else 1
    return 0
