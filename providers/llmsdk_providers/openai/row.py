"""One host of the dialect, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from llmsdk.provider import Capabilities
from llmsdk_providers.openai.capabilities import BASIC, TOOLS
from llmsdk_providers.openai.reasoning import Switch, effort


@dataclass(frozen=True, slots=True)
class Row:
    """What cannot be seen in a host's replies, and so must be known before it is asked.

    All else that differs among hosts (where usage stands in a stream and whether reasoning is inside the output count,
    which field reasoning comes in, how tool calls are numbered, whether the stream has a terminator, what an error and
    a hint to retry look like) shows in what they send, and is read for any host.
    """

    base_url: str
    """What precedes ``/chat/completions``."""
    key_variables: tuple[str, ...]
    options: frozenset[str] = BASIC | TOOLS
    """Options that the host honours, but for ``reasoning``."""
    reasoning: Switch | None = None
    """How it is asked to reason; ``None``: the option is not for this host."""
    returns_reasoning: str | None = None
    """The field of an assistant's message in which reasoning goes back."""
    schema: Literal["none", "json", "strict"] = "strict"
    strict_models: re.Pattern[str] | None = None
    """Models that are held to a schema where the others are not."""
    schema_field: Literal["json_schema", "value"] = "json_schema"
    """Where the schema stands in ``response_format``."""
    fetches_files: bool = False
    """A PDF may be given by its address."""
    tools: bool = True
    logprobs: int = 0
    complete: bool = False
    """``/completions`` continues a raw prompt."""
    embeddings: bool = False
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    stream_usage: bool = True
    """Usage in a stream must be asked for; ``False``: it comes by itself, and asking is an error."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            complete=self.complete,
            schema=self.schema,
            logprobs=self.logprobs,
            tools=self.tools,
            options=self.options | ({"reasoning"} if self.reasoning else frozenset()),
        )

    @property
    def switch(self) -> Switch:
        """How it is asked to reason, where the settings declare that option for a host that is not known to have it."""
        return self.reasoning or effort
