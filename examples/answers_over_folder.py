"""Answer questions from a folder of text files, with the sentences that prove the answer.

python examples/answers_over_folder.py examples/documents "What did Lucy see?" "Where is the museum?"
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llmsdk import Answer, Client


def read(folder: Path) -> dict[str, str]:
    """The text files of a folder by their names, empty ones left out."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md") and path.is_file())
    texts = {str(path.relative_to(folder)): path.read_text(encoding="utf-8-sig") for path in paths}
    return {name: text for name, text in texts.items() if text.strip()}


def show(question: str, answer: Answer, names: list[str], texts: list[str]) -> None:
    """The answer, and each quote with its file and line."""
    print(f"{question}\n  {answer.text or 'The documents do not say.'}")
    for evidence in answer.evidence:
        line = texts[evidence.source].count("\n", 0, evidence.start) + 1
        print(f"    {names[evidence.source]}:{line}: {evidence.quote}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer questions from a folder of .txt and .md files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("questions", nargs="+", metavar="question")
    parser.add_argument("--model", default="local:pocket")
    args = parser.parse_args()
    documents = read(args.folder)
    if not documents:
        sys.exit(f"no .txt or .md files in {args.folder}")
    names, texts = list(documents), list(documents.values())
    with Client(args.model) as client:
        answers = client.answer(args.questions, context=texts)
    for question, answer in zip(args.questions, answers, strict=True):
        show(question, answer, names, texts)


if __name__ == "__main__":
    main()
