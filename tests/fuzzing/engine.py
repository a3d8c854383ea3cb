"""Runs a target on many inputs and keeps what must not be: another exception, much memory, or much time."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzzing.targets import Target

ROOM = 64
"""MiB that memory may grow by, over one input and over all of them."""
PATIENCE = 2.0
"""Seconds of this process's time that one input may take."""


@dataclass
class Log:
    """What came of the inputs of one target. ``patience=None`` looks at no clock."""

    target: Target
    patience: float | None = PATIENCE
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, bytes] = field(default_factory=dict)
    """The first input for each thing that went wrong, and each place."""
    begin: float = 0.0
    """MiB after the first inputs, when everything is imported."""

    def tried(self, data: bytes) -> None:
        """Run one input."""
        before, began = peak(), time.process_time()
        try:
            outcome = self.target(data)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.findings.setdefault(where(error), data)
            outcome = "FOUND"
        self.outcomes[outcome] += 1
        if self.begin and peak() - before > ROOM:
            self.findings.setdefault(f"{peak() - before:.0f} MiB for one input", data)
        if self.patience is not None and time.process_time() - began > self.patience:
            self.findings.setdefault(f"more than {self.patience:.0f} s for one input", data)

    @property
    def grown(self) -> float:
        return peak() - self.begin


def peak() -> float:
    """MiB of memory that this process has had at most."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def where(error: BaseException) -> str:
    """The error and the last place of ours that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "llmsdk" in frame.filename]
    place = f"{frames[-1].filename.rpartition('llmsdk')[2]}:{frames[-1].lineno}" if frames else "the harness"
    return f"{type(error).__name__} at {place}: {str(error)[:120]}"


def chance(target: Target, inputs: int, seed: int, shared: Path | None, patience: float | None = PATIENCE) -> Log:
    """Inputs made of the seeds by one change or a few; the same for the same ``seed``."""
    log, random, seeds = Log(target, patience), Random(seed), target.seeds(shared)  # noqa: S311 - no secret
    for data in seeds:
        log.tried(data)
    log.outcomes.clear()
    log.begin = peak()
    for _ in range(inputs):
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 2, 4))):
            data = target.changed(data, random)
        log.tried(data)
    return log
