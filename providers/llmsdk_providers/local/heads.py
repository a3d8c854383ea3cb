"""From a folder to what runs it, for models that were made for one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmsdk.errors import Unsupported
from llmsdk_providers.local import loader
from llmsdk_providers.local.encoders import Encoder
from llmsdk_providers.local.folder import ModelFolder
from llmsdk_providers.local.reader import Reader
from llmsdk_providers.local.seq2seq import Seq2Seq
from llmsdk_providers.local.settings import LocalSettings, choose_device, choose_dtype, kv_bytes

if TYPE_CHECKING:
    from torch import Tensor

_AUTO = {
    "seq2seq": "AutoModelForSeq2SeqLM",
    "labels": "AutoModelForSequenceClassification",
    "entailment": "AutoModelForSequenceClassification",
    "spans": "AutoModelForQuestionAnswering",
    "vectors": "AutoModel",
}


def load(folder: ModelFolder, reader: Reader, settings: LocalSettings) -> Seq2Seq | Encoder:
    """The folder's model on its device, ready to run.

    Raises:
        ConfigError: this machine lacks the device.
        ModelFileError: the weights do not fit the configuration, or cannot be read.
        OutOfMemory: it does not fit.
        Unsupported: ``quantize``, which such models do not have.
    """
    kind = reader.purpose.kind
    if settings.quantize is not None:
        hint = 'Leave quantize out; in dtype = "bfloat16" the weights of any model take 16 bits.'
        verbs = " and ".join(reader.purpose.verbs)
        raise Unsupported(f"quantize is not for models that {verbs}", capability="quantize", hint=hint)
    device = choose_device(settings.device)
    auto = "AutoModelForTextEncoding" if kind == "vectors" and _encodes_only(folder) else _AUTO[kind]
    spare = "pooler." if kind == "vectors" else ""  # we pool by ourselves
    module = loader.load_module(folder, settings, device, choose_dtype(settings.dtype, device), auto, spare)
    if kind == "seq2seq":
        return Seq2Seq(module, device, settings.beams, kv_bytes(settings, 2**62, device))
    if kind == "spans":
        return Encoder(module, device, _ends, by_token=True)
    return Encoder(module, device, reader.pooled if kind == "vectors" else _logits)


def _encodes_only(folder: ModelFolder) -> bool:
    """It is the half of a model with a decoder."""
    return any(str(name).endswith("EncoderModel") for name in folder.config.get("architectures") or ())


def _logits(output: Any, mask: Tensor) -> Tensor:
    found: Tensor = output.logits
    return found


def _ends(output: Any, mask: Tensor) -> Tensor:
    """``[rows, tokens, 2]``: how well an answer begins and ends with each token."""
    import torch

    return torch.stack([output.start_logits, output.end_logits], -1)
