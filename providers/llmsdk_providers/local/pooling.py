"""From the vectors of tokens to the vector of a text, as the folder says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmsdk.errors import ModelFileError, Unsupported
from llmsdk_providers.local.folder import ModelFolder, read_any_json, read_json

if TYPE_CHECKING:
    from torch import Tensor

How = Literal["mean", "cls", "last", "max"]
_KEYS: Mapping[str, How] = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
}  # fmt: skip
_NAMES: Mapping[str, How] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "last": "last", "max": "max"}
_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the vector of a text is made."""

    how: How = "mean"
    normalize: bool = False
    """Vectors have the length 1."""
    prompt: str = ""
    """What stands before every text."""
    longest: int | None = None
    """Tokens of a text at most, where the folder says."""
    warning: str | None = None

    def __call__(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[rows, tokens, size]`` to ``[rows, size]``. ``mask`` is 1 for tokens, and 0 behind them."""
        import torch

        wide = mask.unsqueeze(-1)
        if self.how == "cls":
            pooled = hidden[:, 0]
        elif self.how == "last":
            pooled = hidden[torch.arange(len(hidden)), mask.sum(1) - 1]
        elif self.how == "max":
            pooled = hidden.masked_fill(wide == 0, -torch.inf).amax(1)
        else:
            pooled = (hidden * wide).sum(1) / wide.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled


def pooling(folder: ModelFolder) -> Pooling:
    """How the folder wants its vectors made: the mean over all tokens where it does not say.

    Raises:
        Unsupported: in a way that this runtime does not have.
        ModelFileError: its files make no sense.
    """
    modules = _modules(folder.path)
    place = modules.get("Pooling", "1_Pooling")
    table = read_json(folder.path / place / "config.json", optional=True)
    if not table:
        warning = "the folder names no pooling: vectors are the mean over all tokens"
        return Pooling(normalize="Normalize" in modules, warning=warning)
    words = read_json(folder.path / "config_sentence_transformers.json", optional=True)
    limits = read_json(folder.path / "sentence_bert_config.json", optional=True)
    longest = limits.get("max_seq_length")
    return Pooling(
        how=_how(table, folder.path),
        normalize="Normalize" in modules,
        prompt=_prompt(words),
        longest=longest if isinstance(longest, int) else None,
    )


def _modules(path: Path) -> dict[str, str]:
    """The steps of a model of sentence-transformers by their kind, each with its folder."""
    file = path / "modules.json"
    steps = read_any_json(file) if file.exists() else []
    try:
        found = {str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in steps}
    except (TypeError, KeyError) as error:
        raise ModelFileError(f"{file} makes no sense", hint="Download or copy the folder again.") from error
    beyond = [name for name in found if name not in _MODULES]
    if beyond:
        hint = f"Models of {', '.join(_MODULES)} can be run."
        raise Unsupported(f"{path} has a step {beyond[0]!r} behind its model", capability="architecture", hint=hint)
    if any(place != Path(place).name for place in found.values() if place):
        raise ModelFileError(f"{file} names a folder outside the model", hint="Download or copy the folder again.")
    return found


def _how(table: Mapping[str, Any], path: Path) -> How:
    named = table.get("pooling_mode")
    wanted = [named] if isinstance(named, str) else [key for key, on in table.items() if on is True and "_mode_" in key]
    known: list[How] = [how for name in wanted if (how := _KEYS.get(name) or _NAMES.get(name)) is not None]
    if len(wanted) != 1 or not known:
        what = " and ".join(wanted) or "nothing"
        hint = f"One of {', '.join(sorted(set(_KEYS.values())))} can be done."
        raise Unsupported(f"{path} pools its vectors by {what}", capability="architecture", hint=hint)
    return known[0]


def _prompt(table: Mapping[str, Any]) -> str:
    prompts, name = table.get("prompts"), table.get("default_prompt_name")
    found = prompts.get(name) if isinstance(prompts, dict) else None
    return found if isinstance(found, str) else ""
