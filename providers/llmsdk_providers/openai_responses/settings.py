"""Settings of the dialect."""

from __future__ import annotations

from typing import Literal

from llmsdk_providers.openai.settings import HostSettings


class Settings(HostSettings):
    """What ``[providers.NAME]`` may hold with ``kind = "openai-responses"``.

    ``base_url`` is what precedes ``/responses``. OpenAI, Azure (``https://NAME.openai.azure.com/openai/v1``) and xAI
    are known; of another host it is taken that it can do what OpenAI's plain models can.
    """

    store: bool = False
    """Let the host keep each reply, so that it can be referred to later by its id."""
    encrypted_reasoning: bool | None = None
    """Ask for the reasoning in a form that can be sent back where nothing is stored. Default: for the models that are
    known to have it."""
    summary: Literal["auto", "concise", "detailed"] | None = None
    """Ask for a summary of the reasoning. OpenAI gives it to verified organizations only."""
