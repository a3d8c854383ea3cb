"""Every fault of a model folder that shows without torch, by its typed error, before a weight is read."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_kit import ask, write_weights

from llmsdk.errors import ConfigError, LLMError, MissingExtra, ModelFileError, UnknownModel, UnsafeModel
from llmsdk.types import Request
from llmsdk_providers.local import Local
from llmsdk_providers.local.folder import POCKET_FOLDER, locate, open_folder

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that passes every check, though nothing could run it."""
    made = tmp_path / "my-model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "tokenizer.json").write_text("{}")
    write_weights(made / "model.safetensors")
    return made


def edit(folder: Path, file: str, **keys: Any) -> None:
    path = folder / file
    table = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**table, **keys}))


def refused(kind: type[LLMError], folder: Path, *words: str) -> LLMError:
    with pytest.raises(kind) as caught:
        open_folder(folder, str(folder))
    assert type(caught.value) is kind
    assert all(word in str(caught.value) for word in words), str(caught.value)
    return caught.value


def test_a_whole_folder(folder: Path) -> None:
    found = open_folder(folder, "x")
    assert (found.window, found.has_template) == (64, False)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/a/b", "./b", "../b", "~/b"])
def test_paths_are_paths(name: str) -> None:
    assert locate(name) == Path(name).expanduser()


def test_a_hub_id_is_no_path() -> None:
    assert locate("org/name") is None
    assert locate("pocket") == POCKET_FOLDER


@pytest.mark.parametrize(("name", "word"), [("poket", "pocket"), ("llama", "local:org/name")])
def test_a_bare_word_is_no_model(name: str, word: str) -> None:
    with pytest.raises(UnknownModel, match=word):
        locate(name)


def test_a_bare_word_that_is_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UnknownModel, match=r"\./my-model"):
        locate("my-model")


def test_a_missing_folder_names_its_neighbour(folder: Path) -> None:
    refused(UnknownModel, folder.parent / "my-modle", "does not exist", str(folder))


def test_a_file_is_no_folder(folder: Path) -> None:
    refused(UnknownModel, folder / "config.json", "is a file")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "beach.jpg").touch()
    refused(UnknownModel, folder, "config.json")


# --- configuration ------------------------------------------------------------------------------------------------


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(ModelFileError, folder, "no config.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", "[" * 100_000])
def test_a_broken_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, "latin-1")
    refused(ModelFileError, folder, "config.json")


@pytest.mark.parametrize(
    "keys",
    [
        {"auto_map": {"AutoModelForCausalLM": "evil.Model"}},
        {"text_config": {"auto_map": {"AutoConfig": "evil.Config"}}},
        {"layers": [{"custom_pipelines": {}}]},
        {"_attn_implementation_internal": "sdpa"},
        {"_experts_implementation_internal": "eager"},
        {"attn_implementation": "stranger/kernel"},
        {"_attn_implementation": {"": "stranger/kernel:forward"}},
        {"experts_implementation": "stranger/kernel@main"},
    ],
)
def test_foreign_code_in_the_config(folder: Path, keys: dict[str, Any]) -> None:
    edit(folder, "config.json", **keys)
    refused(UnsafeModel, folder, "config.json", "code")


@pytest.mark.parametrize(
    "keys", [{"attn_implementation": "sdpa"}, {"_attn_implementation_autoset": True}, {"_name_or_path": "a/b"}]
)
def test_harmless_keys(folder: Path, keys: dict[str, Any]) -> None:
    edit(folder, "config.json", **keys)
    open_folder(folder, "x")


def test_foreign_code_for_the_tokenizer(folder: Path) -> None:
    edit(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    refused(UnsafeModel, folder, "tokenizer_config.json", "auto_map")


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    refused(ModelFileError, folder, "no tokenizer")


@pytest.mark.parametrize(
    ("keys", "window"),
    [({"n_positions": 9}, 64), ({"max_position_embeddings": None, "text_config": {"n_ctx": 7}}, 7)],
)
def test_the_window(folder: Path, keys: dict[str, Any], window: int) -> None:
    edit(folder, "config.json", **keys)
    assert open_folder(folder, "x").window == window


@pytest.mark.parametrize("file", ["chat_template.jinja", "chat_template.json"])
def test_a_template_in_a_file_of_its_own(folder: Path, file: str) -> None:
    (folder / file).write_text("{}")
    assert open_folder(folder, "x").has_template


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_weights_as_a_pickle_only(folder: Path, file: str) -> None:
    (folder / "model.safetensors").rename(folder / file)
    refused(UnsafeModel, folder, file, "save_pretrained")


def test_a_pickle_beside_safetensors_is_ignored(folder: Path) -> None:
    (folder / "pytorch_model.bin").touch()
    open_folder(folder, "x")


@pytest.mark.parametrize(("file", "word"), [(None, "no weights"), ("model.gguf", "GGUF")])
def test_no_weights(folder: Path, file: str | None, word: str) -> None:
    (folder / "model.safetensors").unlink()
    if file:
        (folder / file).touch()
    refused(ModelFileError, folder, word)


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(change(file.read_bytes())) and None


@pytest.mark.parametrize(
    "damage",
    [
        damaged(lambda data: data[:-1]),
        damaged(lambda data: data + b"x"),
        damaged(lambda data: data[:20]),
        damaged(lambda data: b""),
        damaged(lambda data: struct.pack("<Q", 2**63) + data[8:]),
        damaged(lambda data: struct.pack("<Q", 0) + data[8:]),
        damaged(lambda data: data[:8] + b"[" + data[9:]),
        damaged(lambda data: data.replace(b"[0, 4]", b"[0,99]")),
        damaged(lambda data: data.replace(b"[0, 4]", b'"0, 4"')),
    ],
)
def test_damaged_weights(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "model.safetensors")
    refused(ModelFileError, folder, "model.safetensors", "damaged")


def shard(folder: Path, *names: str) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    edit(folder, "model.safetensors.index.json", weight_map={str(n): name for n, name in enumerate(names)})


def test_shards(folder: Path) -> None:
    shard(folder, "model-1.safetensors", "model-1.safetensors")
    open_folder(folder, "x")


def test_a_missing_shard(folder: Path) -> None:
    shard(folder, "model-1.safetensors", "model-2.safetensors")
    refused(ModelFileError, folder, "model-2.safetensors")


def test_an_index_that_points_outside(folder: Path) -> None:
    shard(folder, "../../etc/x.safetensors")
    refused(UnsafeModel, folder, "outside")


def test_an_index_without_a_map(folder: Path) -> None:
    edit(folder, "model.safetensors.index.json", metadata={})
    refused(ModelFileError, folder, "weight_map")


# --- the provider, still without torch ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"device": "gpu"}, "cpu"),
        ({"device": "cuda:x"}, "cuda"),
        ({"dtype": "float23"}, "float32"),
        ({"dtype": "int8"}, "Known"),
    ],
)
def test_settings_that_mean_nothing(settings: dict[str, str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Local("local", Local.Settings(**settings))


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_a_missing_library(folder: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    provider = Local("local", Local.Settings())
    with pytest.raises(MissingExtra, match=r"llmsdk\[local\]"):
        ask(provider, Request(str(folder), "Hi"))
    assert provider.capabilities(str(folder)).context == 64


def test_errors_come_before_the_missing_library_is_an_issue(folder: Path) -> None:
    """What a model can do is read from its files, so that a wrong name shows at once."""
    shutil.rmtree(folder)
    with pytest.raises(UnknownModel):
        Local("local", Local.Settings()).capabilities(str(folder))


def test_importing_loads_neither_torch_nor_transformers() -> None:
    heavy = {"torch", "transformers", "huggingface_hub"}
    code = f"import sys, llmsdk_providers.local; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
