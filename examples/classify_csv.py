"""Add a label and its probability to every row of a CSV file.

python examples/classify_csv.py examples/reviews.csv --labels good,bad > labelled.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from llmsdk import Client


def read(path: Path, column: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has the column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if column not in (reader.fieldnames or ()):
            sys.exit(f"{path} has no column {column!r}; it has {', '.join(reader.fieldnames or ())}")
        return list(reader)


def show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify the rows of a CSV file.")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--labels", required=True, help="with commas between")
    parser.add_argument("--column", default="text")
    parser.add_argument("--model", default="local:pocket")
    args = parser.parse_args()
    rows, labels = read(args.csv, args.column), [label.strip() for label in args.labels.split(",")]
    with Client(args.model) as client:
        batch = client.classify([row[args.column] for row in rows], labels, progress=show)
    out = csv.DictWriter(sys.stdout, [*rows[0], "label", "probability", "how"], lineterminator="\n")
    out.writeheader()
    for row, item in zip(rows, batch, strict=True):
        out.writerow(
            {**row, "label": item.label, "probability": f"{item.scores[item.label]:.3f}", "how": item.probability}
        )
    print(f"{len(rows)} rows, {batch.usage.total_tokens} tokens, cost: {batch.cost}", file=sys.stderr)


if __name__ == "__main__":
    main()
