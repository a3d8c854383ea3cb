"""From a checked folder to a tokenizer and to a module on its device, without ever running foreign code."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from llmsdk.errors import LLMError, MissingExtra, ModelFileError, OutOfMemory, Unsupported
from llmsdk_providers.local import quantized
from llmsdk_providers.local.decoder import Decoder
from llmsdk_providers.local.faults import is_out_of_memory
from llmsdk_providers.local.folder import ModelFolder
from llmsdk_providers.local.native import Blueprint, Native, draw_up
from llmsdk_providers.local.paged import Paged
from llmsdk_providers.local.purpose import Kind, purpose
from llmsdk_providers.local.runner import Runner
from llmsdk_providers.local.scheduler import Model
from llmsdk_providers.local.settings import LocalSettings, choose_device, choose_dtype, kv_bytes

SMALL = 20_000_000
"""Parameters."""
NO_LIMIT = 10**9
"""Tokens beyond which the tokenizer would warn. What is too long is refused here, by the model's window."""
BAR_AFTER = 1.0
"""Seconds of loading before there is a bar to watch."""
_LOADING = Lock()
"""transformers changes process-wide state while it builds a model: torch's default dtype and its initialisers."""


def _after_fork() -> None:
    global _LOADING  # a lock that the parent held stays locked in the child for ever
    _LOADING = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def require_libraries(name: str) -> None:
    """Check that torch and transformers are installed, without loading them.

    Raises:
        MissingExtra: they are not.
    """
    if any(importlib.util.find_spec(library) is None for library in ("torch", "transformers")):
        raise MissingExtra("local", needed_for=f"the model local:{name}")


def load_tokenizer(folder: ModelFolder) -> Any:
    """The folder's tokenizer.

    Raises:
        Unsupported: the architecture is unknown, or for something else than text.
        ModelFileError: its files cannot be read.
    """
    from transformers import AutoTokenizer

    check_config(folder)
    try:
        with _LOADING, _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # recommendations of other packages
            return AutoTokenizer.from_pretrained(
                folder.path,
                local_files_only=True,
                trust_remote_code=False,
                model_max_length=NO_LIMIT,
                **({} if purpose(folder).kind == "causal" else {"split_special_tokens": True}),
            )
    except Exception as error:  # whatever the library says of a bad file, to the caller it is a bad file
        hint = "Put the model's tokenizer.json into the folder; *.model and *.spm files need the package sentencepiece."
        raise ModelFileError(f"the tokenizer in {folder.path} cannot be read: {_line(error)}", hint=hint) from error


def load_runner(folder: ModelFolder, settings: LocalSettings) -> Model:
    """The folder's model on its device, ready to run: in our own decoder, or else in the module of transformers.

    Raises:
        ConfigError: this machine lacks the device.
        ModelFileError: the weights do not fit the configuration, or cannot be read.
        OutOfMemory: it does not fit.
        Unsupported: ``quantize`` for a model or a machine that cannot.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    try:
        plan = _plan(folder, settings, dtype, device)
        if isinstance(plan, str):
            return _load_module(folder, settings, device, dtype)
        _set_threads(settings, plan.parameters)
        _set_device(device)
        with _LOADING, _quiet():
            decoder = plan.build(dtype, _bar, int8=settings.quantize is not None, device=device)
        tokens = settings.max_batch * (settings.max_len or folder.window or plan.config.max_position_embeddings)
        return with_memory(decoder, kv_bytes(settings, tokens * plan.shape.numbers_per_token * dtype.itemsize, device))
    except Exception as error:
        raise _fault(error, folder) from error


def with_memory(decoder: Decoder, kv_bytes: int) -> Model:
    """A decoder and what keeps its keys and values: arenas on the CPU, pages on a GPU."""
    return Native(decoder, kv_bytes) if decoder.device.type == "cpu" else Paged(decoder, kv_bytes)


def described(folder: ModelFolder, settings: LocalSettings) -> str:
    """Which way the model takes and why, in words. Its weights are not read.

    Raises:
        ConfigError, Unsupported: as ``load_runner``.
    """
    require_libraries(str(folder.path))
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    where = f"in {str(dtype).removeprefix('torch.')} on {device}"
    made_for = purpose(folder)
    if made_for.kind != "causal":
        return f"the module of transformers, {where}: it was made to {' and '.join(made_for.verbs)}"
    check_config(folder)
    plan = _plan(folder, settings, dtype, device)
    if isinstance(plan, str):
        return f"the module of transformers, {where}, each request by itself: {plan}"
    if settings.quantize is not None:
        return f"our own decoder, {where}, its layers in 8 bits"
    return f"our own decoder, {where}{', its weights in 16 bits' if plan.in_16_bits(dtype, device) else ''}"


def _plan(folder: ModelFolder, settings: LocalSettings, dtype: Any, device: Any) -> Blueprint | str:
    with _LOADING, _quiet():
        plan = draw_up(folder.path, dtype, device)
    _check_quantize(settings, plan, device)
    return plan


def _check_quantize(settings: LocalSettings, plan: Blueprint | str, device: Any) -> None:
    if settings.quantize is None:
        return
    reason = plan if isinstance(plan, str) else quantized.why_not(device)
    if reason is not None:
        hint = 'Leave quantize out; in dtype = "bfloat16" the weights of any model take 16 bits.'
        raise Unsupported(
            f"quantize = {settings.quantize!r} does not go here: {reason}", capability="quantize", hint=hint
        )


def _load_module(folder: ModelFolder, settings: LocalSettings, device: Any, dtype: Any) -> Runner:
    return Runner(load_module(folder, settings, device, dtype, "AutoModelForCausalLM"), device)


def load_module(
    folder: ModelFolder, settings: LocalSettings, device: Any, dtype: Any, auto: str, spare: str = ""
) -> Any:
    """The module of transformers that ``auto`` makes of the folder, on its device, ready to run.

    Weights whose names begin with ``spare`` may be missing.

    Raises:
        ModelFileError: the weights do not fit the configuration, or cannot be read.
        OutOfMemory: it does not fit.
    """
    model, report = _load(folder, dtype, auto)
    for key, what in (("missing_keys", "lacks weights"), ("mismatched_keys", "has weights of another shape")):
        names = sorted(name if isinstance(name, str) else str(name[0]) for name in report.get(key, ()))
        names = [name for name in names if not (spare and name.startswith(spare))]
        if names:
            hint = "config.json and the weights do not belong together, or a part is gone. Download the folder again."
            raise ModelFileError(f"{folder.path} {what}: {', '.join(names[:3])} ({len(names)} in all)", hint=hint)
    _set_threads(settings, sum(weights.numel() for weights in model.parameters()))
    return model.to(device).eval()


def _set_threads(settings: LocalSettings, parameters: int) -> None:
    """The threads of this thread's forward passes. This thread is the engine's.

    One for a model so small that threads would wait for one another longer than they work: on two busy cores a model of
    3 million parameters took 20 times as long on two threads as on one.
    """
    import torch

    if settings.threads is not None or parameters < SMALL:
        torch.set_num_threads(settings.threads or 1)


def _set_device(device: Any) -> None:
    """Which GPU this thread, the engine's, means where it names none."""
    import torch

    if device.type == "cuda":
        torch.cuda.set_device(device)


def _load(folder: ModelFolder, dtype: Any, auto: str) -> tuple[Any, dict[str, Any]]:
    import transformers

    try:
        with _LOADING, _quiet():
            model, report = getattr(transformers, auto).from_pretrained(
                folder.path,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # so that they are reported, and refused here by name
                output_loading_info=True,
            )
            return model, report
    except Exception as error:
        raise _fault(error, folder) from error


def _fault(error: Exception, folder: ModelFolder) -> LLMError:
    if isinstance(error, LLMError):
        return error
    if is_out_of_memory(error):
        hint = 'Choose a smaller model, quantize = "int8", dtype = "bfloat16", or a device with more memory.'
        return OutOfMemory(f"{folder.path} does not fit into memory", hint=hint)
    if isinstance(error, ImportError):
        return ModelFileError(f"{folder.path} needs another package: {_line(error)}", hint="Install it and try again.")
    return ModelFileError(f"{folder.path} cannot be loaded: {_line(error)}", hint="Download or copy the folder again.")


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


# --- architecture -------------------------------------------------------------------------------------------------


def check_config(folder: ModelFolder) -> None:
    """Check that the configuration is of a model of texts that transformers has built in.

    Raises:
        Unsupported: it is not.
        ModelFileError: it does not say what it is, or makes no sense.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = folder.config.get("model_type")
    if not isinstance(kind, str):
        hint = "It must name its model_type, such as 'llama'."
        raise ModelFileError(f"{folder.path / 'config.json'} does not say what model it is", hint=hint)
    if kind not in CONFIG_MAPPING:
        hint = "A newer transformers may know it: pip install -U transformers."
        raise Unsupported(f"transformers has no architecture {kind!r}", capability="architecture", hint=hint)
    names = folder.config.get("architectures") or []
    if "vision_config" in folder.config or not _known(purpose(folder).kind, kind, names):
        hint = "It runs causal language models (...ForCausalLM), translation models, encoders with a head for classes "
        hint += "or answers, and models of sentence vectors."
        what = ", ".join(map(str, names)) or kind
        raise Unsupported(f"{folder.path} holds {what}, no model that local runs", capability="architecture", hint=hint)
    try:
        AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelFileError(f"{folder.path / 'config.json'} makes no sense: {_line(error)}") from error


_TABLES = {
    "causal": "CAUSAL_LM",
    "seq2seq": "SEQ_TO_SEQ_CAUSAL_LM",
    "labels": "SEQUENCE_CLASSIFICATION",
    "entailment": "SEQUENCE_CLASSIFICATION",
    "spans": "QUESTION_ANSWERING",
}


def _known(purpose: Kind, kind: str, names: Sequence[str]) -> bool:
    """Whether transformers has such a model: by the names of its classes, else by its type."""
    from transformers.models.auto import modeling_auto as auto

    if purpose == "vectors":
        return kind in auto.MODEL_MAPPING_NAMES
    table = getattr(auto, f"MODEL_FOR_{_TABLES[purpose]}_MAPPING_NAMES")
    known = {name for value in table.values() for name in ([value] if isinstance(value, str) else value)}
    return bool(known.intersection(names)) if names else kind in table


def _bar(items: Sequence[int]) -> Iterable[int]:
    """The loading bar of transformers, for what we load ourselves."""
    from transformers.utils import logging

    shown: Any = logging.tqdm
    found: Iterable[int] = shown(items, desc="Loading weights")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's remarks to itself, and show its loading bar only on a terminal, when loading takes a while."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bar = logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    logging.set_verbosity_error()
    if bar:
        logging.disable_progress_bar()
    hook = logging.set_tqdm_hook(lambda make, args, options: make(*args, **{"delay": BAR_AFTER, **options}))
    try:
        yield
    finally:
        logging.set_tqdm_hook(hook)
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
