"""Settings of the provider."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from llmsdk.provider import setting
from llmsdk_providers.openai.settings import Settings as ChatSettings

BASE_URL = "https://router.huggingface.co/v1"
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TASK_PATH = "/hf-inference/models/{model}"

Task = Literal[
    "chat", "translation", "question-answering", "zero-shot-classification", "text-classification",
    "feature-extraction",
]  # fmt: skip
"""What a model is for, in the hub's own words (``pipeline_tag``), but for ``chat``."""
ModelId = Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)?$")]


class Purpose(BaseModel):
    """What one model is for, and for a translator which languages it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task
    pair: tuple[str, str] | None = None
    """From which language to which, as BCP-47 tags, for a model that knows no others."""
    codes: dict[str, str] = Field(default_factory=dict)
    """For a model of many languages: BCP-47 tags, and what the model calls them."""

    @model_validator(mode="after")
    def _speaks_only_if_it_translates(self) -> Self:
        if self.task != "translation" and (self.pair or self.codes):
            raise ValueError("pair and codes are for a translation model")
        return self


class Settings(ChatSettings):
    """What ``[providers.huggingface]`` may hold.

    ``base_url`` is what precedes ``/chat/completions``; tasks are at the same host, under ``task_path``::

        [providers.huggingface.tasks]
        "my-org/roberta-tickets" = "text-classification"
        "google-t5/t5-small" = { task = "translation", pair = ["en", "de"] }
    """

    tasks: dict[ModelId, Task | Purpose] = setting(factory=dict)
    """What models are for that are not known by their names."""
    task_path: str = setting(TASK_PATH, pattern=r"^(/.*)?$")
    """Where a task is, after ``base_url`` without its ``/v1``. A dedicated endpoint has it at ``""``."""
