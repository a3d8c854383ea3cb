"""What a model folder holds, read and checked without torch: configuration, weights' headers, tokenizer files.

Everything that can be refused is refused here, before a byte of the weights is read and before any code of the
libraries that load them sees the folder.
"""

from __future__ import annotations

import difflib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmsdk.errors import ModelFileError, UnknownModel, UnsafeModel
from llmsdk_providers.local.thinking import switch

POCKET = "pocket"
POCKET_FOLDER = Path(__file__).parent / POCKET

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = (
    *(("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("vocab.txt",)),
    *(("vocab.json", "source.spm", "target.spm"), ("sentencepiece.bpe.model",), ("spiece.model",)),
)
WINDOWS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
CODE_KEYS = frozenset(
    {"auto_map", "custom_pipelines", "_attn_implementation_internal", "_experts_implementation_internal"}
)
"""Keys of a configuration that name code to run."""
KERNEL_KEYS = ("attn_implementation", "experts_implementation", "use_kernels", "kernel_config")
"""Keys whose value may name a kernel, which is code from the hub."""
_TOOLS = re.compile(r"\btools\b")
MAX_HEADER = 100 * 2**20
"""Bytes of a safetensors header, by the format's own limit."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that has passed every check that needs no torch."""

    path: Path
    config: Mapping[str, Any] = field(repr=False)
    tokenizer: Mapping[str, Any] = field(repr=False)
    template: str = field(repr=False)
    """Its chat templates, one after another; empty if it brings none."""
    generation: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def has_template(self) -> bool:
        return bool(self.template)

    @property
    def takes_tools(self) -> bool:
        """A chat template tells the model of tools. Whether it writes calls in a form that can be read shows later."""
        return _TOOLS.search(self.template) is not None

    @property
    def has_switch(self) -> bool:
        """A chat template may let the model think, or not. Whether it does shows later."""
        return switch(self.template) is not None

    @property
    def ends(self) -> list[Any]:
        """What the configurations call the end of a text: ids, lists of ids, or ``None``."""
        text = self.config.get("text_config")
        tables = (self.config, text if isinstance(text, dict) else {}, self.generation)
        return [table.get("eos_token_id") for table in tables]

    @property
    def window(self) -> int | None:
        """The most tokens that prompt and reply may have together; ``None`` where the model has no such limit."""
        for table in (self.config, self.config.get("text_config", {})):
            for key in WINDOWS:
                value = table.get(key) if isinstance(table, dict) else None
                if isinstance(value, int) and value > 0:
                    return value
        return None


def open_folder(path: Path, name: str) -> ModelFolder:
    """Read and check the model folder ``path``, which the caller calls ``name``.

    Raises:
        UnknownModel: there is no such folder, or it is no model folder.
        ModelFileError: a file is missing, broken or cut short.
        UnsafeModel: loading it would run code that came with it.
    """
    if not path.is_dir():
        raise _missing(path, name)
    if not any(next(path.glob(pattern), None) for pattern in ("*.json", "*.safetensors", *PICKLES)):
        raise UnknownModel(f"{name!r} is a folder without a model in it", hint=_near(path, name) or _EXPECTED)
    config = read_json(path / "config.json")
    tokenizer = read_json(path / "tokenizer_config.json", optional=True)
    generation = read_json(path / "generation_config.json", optional=True)
    for file, table in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        _refuse_code(table, file)
    _check_weights(path)
    if not any(all((path / part).exists() for part in parts) for parts in TOKENIZERS):
        hint = "Put the model's tokenizer.json (and tokenizer_config.json) into the folder."
        raise ModelFileError(f"{name!r} has no tokenizer", hint=hint)
    return ModelFolder(path, config, tokenizer, _templates(path, tokenizer), generation)


def _templates(path: Path, tokenizer: Mapping[str, Any]) -> str:
    own = tokenizer.get("chat_template")  # a text, or several by name
    files = [file.read_text("utf-8", "replace") for file in sorted(path.glob("chat_template.*"))]
    return "\n".join(([json.dumps(own)] if own else []) + files)


_EXPECTED = "A model folder holds config.json, *.safetensors and tokenizer.json."


# --- names --------------------------------------------------------------------------------------------------------


def is_path(name: str) -> bool:
    """Whether a model's name is a path: absolute, or beginning with a dot or a tilde."""
    return name.startswith(("/", "./", "../", ".\\", "..\\", "~")) or name in {".", ".."} or Path(name).is_absolute()


def locate(name: str) -> Path | None:
    """The folder that ``name`` means, existing or not; ``None`` for what can only be a hub id.

    Raises:
        UnknownModel: the name is neither ``pocket`` nor a path nor a hub id.
    """
    if name == POCKET:
        return POCKET_FOLDER
    if is_path(name):
        return Path(name).expanduser()
    if "/" in name:
        return None
    near = difflib.get_close_matches(name, [POCKET], 1)
    hint = "Did you mean 'pocket'? " if near else ""
    if Path(name).is_dir():
        hint = f"Did you mean the folder './{name}'? "
    hint += "Write local:pocket, local:/path/to/folder, local:./folder or local:org/name."
    raise UnknownModel(f"local has no model {name!r}", hint=hint)


def _missing(path: Path, name: str) -> UnknownModel:
    if name == POCKET:
        hint = "This installation came without it; install a release, or use local:/path/to/a/model."
        return UnknownModel("the model 'pocket' is not in this installation", hint=hint)
    kind = "is a file, not a folder" if path.exists() else "does not exist"
    return UnknownModel(f"the model folder {name!r} {kind}", hint=_near(path, name) or _EXPECTED)


def _near(path: Path, name: str) -> str:
    """A hint with the folders beside ``path`` that hold a model and have a similar name."""
    try:
        siblings = [item.name for item in path.parent.iterdir() if (item / "config.json").exists()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, siblings, 3, cutoff=0.5)
    shown = " or ".join(
        repr(name.removesuffix("/").removesuffix(path.name) + item) for item in near if item != path.name
    )
    return f"Did you mean {shown}?" if shown else ""


# --- configuration ------------------------------------------------------------------------------------------------


def read_json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """The object in a JSON file; an empty one where it is ``optional`` and not there.

    Raises:
        ModelFileError: it is missing or broken, or holds something else.
    """
    if optional and not file.exists():
        return {}
    value = read_any_json(file)
    if not isinstance(value, dict):
        raise ModelFileError(f"{file} holds a JSON {type(value).__name__}, not an object", hint=_EXPECTED)
    return value


def read_any_json(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ModelFileError: it is missing or broken.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelFileError(f"{file.parent} has no {file.name}", hint=_EXPECTED) from error
    except (ValueError, OSError, RecursionError) as error:
        raise ModelFileError(f"{file} cannot be read: {error}", hint="Download or copy the folder again.") from error


def _refuse_code(table: Mapping[str, Any], file: str) -> None:
    """Refuse a configuration that names code.

    Raises:
        UnsafeModel: with the key.
    """
    for key, value in _walk(table):
        kernel = key.lstrip("_") in KERNEL_KEYS and any("/" in text for text in _texts(value))
        if key in CODE_KEYS or kernel:
            hint = "This runtime never runs code that comes with a model. Use a checkpoint of an architecture that "
            hint += f"transformers has built in; if this one is, remove {key!r} from {file} after reading it."
            raise UnsafeModel(f"{file} names foreign code to run, in {key!r}", hint=hint)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (item for _, item in _walk(value) if isinstance(item, str))


# --- weights ------------------------------------------------------------------------------------------------------


def _check_weights(path: Path) -> None:
    files = _shards(path) or sorted(path.glob("*.safetensors"))
    if not files:
        raise _no_safetensors(path)
    for file in files:
        _check_safetensors(file)


def _no_safetensors(path: Path) -> ModelFileError | UnsafeModel:
    pickles = sorted(item.name for pattern in PICKLES for item in path.glob(pattern))
    if pickles:
        hint = "Convert it once where you trust it: AutoModelForCausalLM.from_pretrained(folder)"
        hint += ".save_pretrained(new_folder) of transformers writes safetensors."
        return UnsafeModel(f"{path} has its weights only as a pickle ({pickles[0]}), which can run any code", hint=hint)
    hint = "GGUF files are not read. " if next(path.glob("*.gguf"), None) else ""
    return ModelFileError(f"{path} has no weights", hint=hint + _EXPECTED)


def _shards(path: Path) -> list[Path]:
    """The files that an index names, or none where there is no index."""
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return []
    weights = read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise ModelFileError(f"{index} has no weight_map", hint="Download or copy the folder again.")
    names = sorted(set(weights.values()))
    for name in names:
        if Path(name).name != name:
            raise UnsafeModel(f"{index.name} names a file outside the folder: {name!r}")
        if not (path / name).exists():
            raise ModelFileError(f"{path} lacks {name}, one of its {len(names)} files of weights")
    return [path / name for name in names]


def _check_safetensors(file: Path) -> None:
    """Compare the size of a file with what its header says, without reading the weights."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, max(size - 8, 0)):
            raise _broken(file, f"its header claims {length} bytes, the file has {size}")
        try:
            header = json.loads(stream.read(length))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise _broken(file, f"its header cannot be read ({type(error).__name__})") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise _broken(file, f"{expected} bytes were expected, {size} found")


def _broken(file: Path, why: str) -> ModelFileError:
    return ModelFileError(f"{file} is damaged or cut short: {why}", hint="Download or copy the file again.")
