"""Question answering: from documents with verified quotes, or from what the model knows."""

from __future__ import annotations

from collections.abc import Sequence

from llmsdk.types import Message

NOT_FOUND = "NOT FOUND"

PLAIN = "Answer the question briefly."
FROM_DOCUMENTS = f"""\
Answer the question briefly, from the documents only.
Then copy each sentence that proves the answer, word for word, on a line of its own after the number of its document:
[1] sentence
If the documents do not answer the question, reply only: {NOT_FOUND}"""


def prompt(question: str, documents: Sequence[str] = ()) -> tuple[Message, ...]:
    """The conversation that asks one question, of the documents where there are any."""
    if not documents:
        return Message("system", PLAIN), Message("user", question)
    pages = [f"<document {n}>\n{text}\n</document {n}>" for n, text in enumerate(documents, start=1)]
    return Message("system", FROM_DOCUMENTS), Message("user", "\n".join([*pages, f"Question: {question}"]))
