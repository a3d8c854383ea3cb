"""Keep a process on one core, where the system allows it, so that client and server do not push each other around."""

from __future__ import annotations

import os


def pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
