"""The same program on any model: which one it is stands in llmsdk.toml, next to this file.

python examples/swap_by_config.py                      the default of llmsdk.toml
python examples/swap_by_config.py --model hosted       another alias
LLMSDK_MODEL=hosted python examples/swap_by_config.py  the same, without touching anything
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llmsdk import Client

REVIEW = "The room was dirty and the staff was rude."


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a review, on the model of llmsdk.toml.")
    parser.add_argument("--model", help="an alias of llmsdk.toml, or PROVIDER:MODEL")
    args = parser.parse_args()
    with Client(args.model, config=Path(__file__).with_name("llmsdk.toml")) as client:
        mood = client.classify(REVIEW, ["good", "bad"])
        chinese = client.translate(REVIEW, to="zh")
    print(f"{REVIEW}\n  {mood.label} ({mood.scores[mood.label]:.0%}, {mood.probability})\n  {chinese.text}")
    print(f"  by {chinese.provider}:{chinese.model}, {(mood.usage + chinese.usage).total_tokens} tokens")


if __name__ == "__main__":
    main()
