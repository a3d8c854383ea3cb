"""A server that speaks as Hugging Face's router does: chat under ``/v1``, and the endpoints of tasks.

Models that are made for one task know it by heart, as ``brain`` does; their replies have the forms that were recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from servers import brain
from servers.http_server import Answer, Recorded
from servers.openai_server import KEY, OpenAIServer, embedding

OPUS, NLLB = "Helsinki-NLP/opus-mt-en-zh", "facebook/nllb-200-distilled-600M"
SQUAD, MNLI = "deepset/roberta-base-squad2", "facebook/bart-large-mnli"
SST, SENTENCES = "distilbert/distilbert-base-uncased-finetuned-sst-2-english", "sentence-transformers/all-MiniLM-L6-v2"
TASKS = {
    OPUS: "translation", NLLB: "translation", SQUAD: "question-answering", MNLI: "zero-shot-classification",
    SST: "text-classification", SENTENCES: "feature-extraction",
}  # fmt: skip
CODES = {"zho_Hans": "Chinese", "deu_Latn": "German", "fra_Latn": "French"}
WINDOW = 512
"""Pieces of a text at most, but for question answering, which cuts documents up by itself."""


class HuggingFaceServer(OpenAIServer):
    """The server. ``listed`` sends the scores of labels in the newer of the two forms."""

    def __init__(self, key: str = KEY, *, listed: bool = False) -> None:
        super().__init__(key=key)
        self.listed = listed

    def handle(self, request: Recorded) -> Answer:
        base, _, model = request.path.partition("/hf-inference/models/")
        if not model:
            return super().handle(request)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, {"error": "Invalid username or password."})
        model, _, pipeline = model.partition("/pipeline/")
        task = TASKS.get(model)
        if base or task is None or (pipeline and pipeline != task):
            return Answer(404, b"Not Found", {"content-type": "text/plain"})
        return self._task(task, model, request.json)

    def _task(self, task: str, model: str, body: Mapping[str, Any]) -> Answer:
        known = {"inputs", "truncate"} if task == "feature-extraction" else {"inputs", "parameters"}
        if odd := body.keys() - known:
            return Answer(400, {"error": [f"Error in `{min(odd)}`: extra fields not permitted"]})
        inputs, parameters = body["inputs"], body.get("parameters", {})
        if isinstance(inputs, str) and (size := len(brain.pieces(inputs))) > WINDOW:
            text = (
                f"The size of tensor a ({size}) must match the size of tensor b ({WINDOW}) at non-singleton dimension 1"
            )
            return Answer(400, {"error": text})
        match task:
            case "translation":
                return self._translate(model, inputs, parameters)
            case "question-answering":
                return _json(_find(inputs["question"], inputs["context"]))
            case "zero-shot-classification":
                return _json(self._zero_shot(inputs, **parameters))
            case "text-classification":
                shares = dict(zip(("POSITIVE", "NEGATIVE"), _shares(inputs, ["positive", "negative"]), strict=True))
                return _json([_ranked(shares)])
            case _:
                return _json([embedding(text) for text in inputs])

    def _translate(self, model: str, text: str, parameters: Mapping[str, str]) -> Answer:
        language = "Chinese" if model == OPUS else CODES.get(parameters.get("tgt_lang", ""))
        if language is None or (model == NLLB and parameters.get("src_lang") != "eng_Latn"):
            return Answer(400, {"error": "unknown language"})
        return _json([{"translation_text": brain.translate(text, language, {}, self.known)}])

    def _zero_shot(self, text: str, candidate_labels: list[str], multi_label: bool) -> Any:
        shares = _shares(text, candidate_labels)
        if multi_label:
            shares = [min(1.0, 2 * share) for share in shares]
        ranked = _ranked(dict(zip(candidate_labels, shares, strict=True)))
        if self.listed:
            return ranked
        columns = {f"{name}s": [row[name] for row in ranked] for name in ("label", "score")}
        return {"sequence": text, **columns}


def _json(value: Any) -> Answer:
    """A reply that may be a list, which would be taken for the pieces of a stream."""
    return Answer(200, json.dumps(value).encode(), {"content-type": "application/json"})


def _shares(text: str, labels: list[str]) -> list[float]:
    return brain._softmax([brain._score(text, label) for label in labels])


def _ranked(shares: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": name, "score": shares[name]} for name in sorted(shares, key=lambda name: -shares[name])]


def _find(question: str, context: str) -> dict[str, Any]:
    """Where the words of an answer stand; an empty answer where there is none."""
    text = brain.answer(f"<document 1>\n{context}\n</document 1>\nQuestion: {question}").partition("\n[1]")[0]
    if text == "NOT FOUND":
        return {"score": 0.97, "start": 0, "end": 0, "answer": ""}
    start = context.index(text)
    return {"score": 0.875, "start": start, "end": start + len(text), "answer": text}
