"""The built-in runtime: runs models of a Hugging Face folder or hub id in this process.

    provider   the contract's face: requests to sequences, deliveries to events
    models     names to opened models, each loaded once
    folder     what a model folder holds, checked without torch;  hub: folders from the Hugging Face hub
    loader     folder -> weights on a device
    text       tokenizer and chat template;  guard: templates that do not end
    detokenizer  ids -> text, piece by piece;  writer: stop strings
    engine     one thread a model;  mailbox: from its thread to the caller;  faults: whatever was raised -> typed errors
    scheduler  what one step computes, for all sequences together;  context: one sequence, as far as it is computed
    generation, score   what is to be computed, and what becomes of it;  sampler: from logits to tokens
    native     our own decoder with its memory:
      shape      which models it runs;  weights: safetensors -> fused tensors
      decoder    the forward pass;  attention: of rows to the sequences they belong to
      arena      keys and values of what runs;  prefix: of what has run
    runner     every other model, through its module in transformers
    purpose    what a model was made for;  verbs: the face of those that were made for one task
      reader     texts as such a model reads them;  languages, pooling, spans: what it says of its tasks
      heads      folder -> model;  errand: what their requests share
      seq2seq    models that rewrite texts;  rewriting: one text;  beams: the search;  rules: what is forbidden
      encoders   models that read: classes, answers, vectors

Importing this package loads neither torch nor transformers.
"""

from llmsdk_providers.local.provider import Local
from llmsdk_providers.local.settings import LocalSettings

__all__ = ["Local", "LocalSettings"]
