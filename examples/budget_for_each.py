"""Answer questions of several customers, hold each to a budget of tokens, and show what each of them used.

python examples/budget_for_each.py [--model PROVIDER:MODEL] [--tokens 400] [--ledger usage.db]
Type lines such as `acme: Hello!`. An empty line, Ctrl-D or Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from llmsdk import Budget, Client
from llmsdk.errors import BudgetExceeded


def typed() -> Iterator[tuple[str, str]]:
    """Customers and what they ask, until there is no more."""
    while True:
        try:
            customer, colon, question = input("> ").strip().partition(": ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not customer:
            return
        if colon and question:
            yield customer, question


def reply(client: Client, customer: str, question: str, budget: Budget) -> str:
    """The answer, or why there is none: a budget that might not suffice refuses before anything is sent."""
    try:
        return client.chat(question, tags=[customer], budget=budget, max_tokens=60).text
    except BudgetExceeded as refused:
        return f"[{refused.message}]"


def show(client: Client) -> None:
    """What each customer used and what it cost, of all that is in the ledger."""
    for line in client.ledger.by("tag"):
        cost = "?" if line.unpriced else f"${line.cost:.6f}"  # an unknown price is not zero
        print(f"{line.name:<12} {line.requests:>4} requests {line.usage.total_tokens or 0:>8,} tokens {cost:>12}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer customers, each within a budget.")
    parser.add_argument("--model", default="local:pocket")
    parser.add_argument("--tokens", type=int, default=400, help="what each customer may use a day")
    parser.add_argument("--ledger", type=Path, help="a file that keeps what was used, also of other runs")
    args = parser.parse_args()
    budgets: defaultdict[str, Budget] = defaultdict(lambda: Budget(tokens=args.tokens, per="day"))
    config = {"ledger": {"path": str(args.ledger)}} if args.ledger else None
    with Client(args.model, config=config) as client:
        for customer, question in typed():
            print(f"{customer}> {reply(client, customer, question, budgets[customer])}")
        show(client)


if __name__ == "__main__":
    main()
