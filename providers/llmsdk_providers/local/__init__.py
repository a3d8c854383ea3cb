"""The built-in runtime: runs any causal language model of a Hugging Face folder or hub id in this process.

    provider   the contract's face: requests to sequences, deliveries to events
    models     names to opened models, each loaded once
    folder     what a model folder holds, checked without torch;  hub: folders from the Hugging Face hub
    loader     folder -> weights on a device
    text       tokenizer and chat template;  detokenizer: ids -> text, piece by piece;  writer: stop strings
    engine     one thread a model, every running sequence one token a step;  mailbox: from its thread to the caller
    generation, score   what the engine runs
    runner     the forward pass and its cache;  sampler: from logits to a token

Importing this package loads neither torch nor transformers.
"""

from llmsdk_providers.local.provider import Local
from llmsdk_providers.local.settings import LocalSettings

__all__ = ["Local", "LocalSettings"]
