"""The contract between llmsdk and a backend.

A provider has one generating method. Whatever else it can do (score candidates, embed, count tokens, list models,
translate without being asked in words) it shows by implementing one more small protocol; there are no flags for methods
and none that only raise.

Writing one: see docs/providers/writing-one.md. A host that speaks HTTP subclasses ``HTTPProvider`` and gives pure
functions: a request to bytes, bytes to events.
"""

from llmsdk.provider.contract import (
    CONTRACT,
    Answers,
    Capabilities,
    Classifies,
    Counts,
    CountsExactly,
    Describes,
    Embeds,
    Lists,
    Native,
    Provider,
    Scores,
    Translates,
)
from llmsdk.provider.http import LARGE, HTTPProvider, HTTPSettings
from llmsdk.provider.reading import Frames, StreamDecoder
from llmsdk.secret import Secret
from llmsdk.settings import Settings, setting

__all__ = [
    "CONTRACT",
    "LARGE",
    "Answers",
    "Capabilities",
    "Classifies",
    "Counts",
    "CountsExactly",
    "Describes",
    "Embeds",
    "Frames",
    "HTTPProvider",
    "HTTPSettings",
    "Lists",
    "Native",
    "Provider",
    "Scores",
    "Secret",
    "Settings",
    "StreamDecoder",
    "Translates",
    "setting",
]
