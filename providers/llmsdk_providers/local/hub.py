"""Model folders from the Hugging Face hub: the local cache first, then a download of the files that are safe."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from llmsdk.errors import ConnectFailed, InputError, LLMError, MissingExtra, PermissionDenied, UnknownModel

FILES = [
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "*.spm",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "modules.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
]
"""What is fetched: data only. Pickles (``*.bin``, ``*.pt``) and code (``*.py``) never leave the hub."""
NESTED = ["[!1]*/*", "1[!_]*/*", "1_[!P]*/*"]
"""Folders inside a repository hold other formats of the same weights; all but the one that says how to pool vectors."""


def cached(hub_id: str) -> Path | None:
    """The folder of ``hub_id`` in the local cache, without touching the network; ``None`` if it is not there."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(hub_id, allow_patterns=FILES, ignore_patterns=NESTED, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def download(hub_id: str) -> Path:
    """The folder of ``hub_id``, fetched if it is not in the cache. A bar shows on stderr where that is a terminal.

    Raises:
        UnknownModel: the hub has no such model.
        PermissionDenied: the model is private, or its licence has not been accepted.
        ConnectFailed: the hub cannot be reached.
    """
    found = cached(hub_id)
    if found is not None:
        return found
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("local", needed_for=f"the model {hub_id!r}") from error
    try:
        return Path(snapshot_download(hub_id, allow_patterns=FILES, ignore_patterns=NESTED, **_bar()))
    except LLMError:
        raise
    except Exception as error:  # the hub's client has a tree of its own, which changes between versions
        raise _refused(hub_id, error) from error


def _bar() -> dict[str, Any]:
    """The bar of the hub's client, or none where stderr is not a terminal."""
    if sys.stderr.isatty():
        return {}
    bars: Any = importlib.import_module("tqdm")  # it has no types

    class Silent(bars.tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

    return {"tqdm_class": Silent}


def _refused(hub_id: str, error: Exception) -> LLMError:
    names = {kind.__name__ for kind in type(error).__mro__}
    if "HFValidationError" in names:
        return InputError(f"{hub_id!r} is no hub id", argument="model", hint="A hub id looks like 'org/name'.")
    if "GatedRepoError" in names:
        hint = "Accept the licence on the model's page and set HF_TOKEN, or give a folder: local:/path/to/model."
        return PermissionDenied(f"the hub does not give out {hub_id!r} to this account", hint=hint)
    if "RepositoryNotFoundError" in names:
        hint = "Check its spelling; a private model needs HF_TOKEN. A folder is given as local:/path or local:./path."
        return UnknownModel(f"the hub has no model {hub_id!r}", hint=hint)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        hint = "Unset HF_HUB_OFFLINE to download it once, or give a folder: local:/path/to/model."
        return UnknownModel(f"{hub_id!r} is not in the local cache and HF_HUB_OFFLINE is set", hint=hint)
    hint = "Connect to the network once, after that it runs offline; or give a folder: local:/path/to/model."
    return ConnectFailed(f"{hub_id!r} is not in the local cache and cannot be downloaded", hint=hint)


def listed() -> list[tuple[str, Path]]:
    """Hub ids in the local cache with their newest folder, without the network."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return []
    found = []
    for repository in sorted(Path(HF_HUB_CACHE).glob("models--*--*")):
        folders = sorted(repository.glob("snapshots/*/config.json"), key=lambda path: path.stat().st_mtime)
        if folders:
            found.append(("/".join(repository.name.split("--")[1:3]), folders[-1].parent))
    return found
