"""What a model's ``generation_config.json`` forbids and forces at each token, by the classes of transformers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any


def rules(config: Any, ends: Collection[int], begin: int, read: Callable[[], Any], device: Any) -> Any:
    """The rules for the next token of replies that begin with ``begin`` ids of ours; empty where there are none.

    ``read`` gives what was read, a row for each reply. What ``config`` would force at the end is left out: a reply that
    is cut says so, and is not made to look whole.
    """
    from transformers import LogitsProcessorList

    return LogitsProcessorList([*_against_repeats(config, read), *_against_tokens(config, ends, begin, device)])


def _against_repeats(config: Any, read: Callable[[], Any]) -> Iterator[Any]:
    import transformers

    if config.encoder_repetition_penalty not in (None, 1.0):
        yield transformers.EncoderRepetitionPenaltyLogitsProcessor(config.encoder_repetition_penalty, read())
    if config.repetition_penalty not in (None, 1.0):
        yield transformers.RepetitionPenaltyLogitsProcessor(config.repetition_penalty)
    if config.no_repeat_ngram_size:
        yield transformers.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size)
    if config.encoder_no_repeat_ngram_size:
        yield transformers.EncoderNoRepeatNGramLogitsProcessor(config.encoder_no_repeat_ngram_size, read())


def _against_tokens(config: Any, ends: Collection[int], begin: int, device: Any) -> Iterator[Any]:
    import transformers

    last = sorted(ends)
    if config.bad_words_ids:
        yield transformers.NoBadWordsLogitsProcessor(config.bad_words_ids, last)
    if config.min_length and ends:
        yield transformers.MinLengthLogitsProcessor(config.min_length, last, device=device)
    if config.min_new_tokens and ends:
        yield transformers.MinNewTokensLengthLogitsProcessor(1, config.min_new_tokens, last, device=device)
    if config.suppress_tokens:
        yield transformers.SuppressTokensLogitsProcessor(config.suppress_tokens, device=device)
    if config.begin_suppress_tokens:
        yield transformers.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin, device=device)
