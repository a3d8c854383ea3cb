"""What ``[providers.local]`` may hold, and what its names mean on this machine."""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING

from llmsdk.errors import ConfigError
from llmsdk.provider import Settings, setting

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZED = ("int8",)
MEANT = {"gpu": "cuda", "nvidia": "cuda", "bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""What others call it."""
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class LocalSettings(Settings):
    """Settings of the built-in runtime."""

    device: str = "auto"
    """``auto`` (the first CUDA device, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``."""
    dtype: str = "auto"
    """``auto`` (float32 on the CPU, bfloat16 on CUDA), ``float32``, ``bfloat16`` or ``float16``."""
    quantize: str | None = None
    """``int8`` keeps weights in 8 bits and computes with them: on the CPU, in our own decoder. ``None`` as they are."""
    threads: int | None = setting(None, ge=1)
    """CPU threads of one forward pass; ``None`` takes one for a tiny model and else leaves it to torch."""
    max_batch: int = setting(16, ge=1)
    """Sequences that run at the same time in one model; more wait their turn."""
    kv_memory: int | None = setting(None, ge=1)
    """MiB for keys and values of all sequences of one model; ``None`` is twice what ``max_batch`` of them can have, or
    a quarter of the machine's memory if that is less; on a GPU three quarters of what is free there."""
    max_len: int | None = setting(None, ge=2)
    """Tokens of prompt and reply together, where the model's own window is to be cut."""
    max_tokens: int = setting(512, ge=1)
    """Tokens of a reply to a request that names no ``max_tokens``."""
    beams: int | None = setting(None, ge=1)
    """Replies that a translation model searches among; 1 takes the best token of each step, and streams. ``None`` is
    what the model's own ``generation_config.json`` says."""


def check_names(settings: LocalSettings) -> None:
    """Check device, dtype and quantize without torch.

    Raises:
        ConfigError: a name that means nothing.
    """
    if not _DEVICE.fullmatch(settings.device):
        raise _unknown("device", settings.device, ("auto", "cpu", "cuda", "cuda:0"))
    if settings.dtype not in DTYPES:
        raise _unknown("dtype", settings.dtype, DTYPES)
    if settings.quantize is not None and settings.quantize not in QUANTIZED:
        raise _unknown("quantize", settings.quantize, QUANTIZED)
    if settings.quantize is not None and settings.dtype not in ("auto", "float32"):
        hint = "Leave dtype out: with 8-bit weights all is computed in float32."
        raise ConfigError(f"providers.local has both quantize and dtype = {settings.dtype!r}", hint=hint)


def _unknown(key: str, value: str, known: tuple[str, ...]) -> ConfigError:
    near = _near(value.lower(), known)
    hint = f"Did you mean {near!r}? " if near else ""
    return ConfigError(f"providers.local.{key} = {value!r} is no {key}", hint=f"{hint}Known: {', '.join(known)}.")


def _near(value: str, known: tuple[str, ...]) -> str | None:
    name, colon, number = value.partition(":")
    if (meant := MEANT.get(name)) in known:
        return f"{meant}{colon}{number}"
    # Closer than by default: "npu" and "xpu" are no slips for "cpu".
    return next(iter(difflib.get_close_matches(value, known, 1, cutoff=0.7)), None)


def choose_device(name: str) -> torch.device:
    """The device that a checked name means here.

    Raises:
        ConfigError: a CUDA device that this machine does not have.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        hint = 'Use device = "cpu" or "auto"'
        hint += f", or one of the {found} found." if found else ", or install a CUDA build of torch and its driver."
        raise ConfigError(
            f"device {name!r} was asked for, and this machine has {found or 'no'} CUDA devices", hint=hint
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that a checked name means on ``device``."""
    import torch

    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def kv_bytes(settings: LocalSettings, most: int, device: torch.device) -> int:
    """Memory for the keys and values of a model. ``most`` is what all sequences can have."""
    if settings.kv_memory is not None:
        return settings.kv_memory * 2**20
    # Twice as much as can run: the rest is for what has run.
    return min(_spare(device), 2 * most)


def _spare(device: torch.device) -> int:
    """Bytes that may be taken without asking."""
    import torch

    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free * 3 // 4
    try:
        here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        here = 2**32
    return here // 4
