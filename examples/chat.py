"""A chat in the terminal; replies appear as they come.

python examples/chat.py [--model PROVIDER:MODEL] [--system INSTRUCTIONS]
An empty line, Ctrl-D or Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from llmsdk import Client, LLMError, Message


def typed() -> Iterator[str]:
    """The lines that the user types, until there are no more."""
    while True:
        try:
            line = input("you> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not line:
            return
        yield line


def reply(client: Client, conversation: list[Message]) -> Message:
    """Print the next turn as it comes, and return it."""
    with client.chat(conversation, stream=True) as stream:
        for event in stream:
            print(event.text, end="", flush=True)
        print()
        return stream.result.message


def main() -> None:
    parser = argparse.ArgumentParser(description="Chat in the terminal.")
    parser.add_argument("--model", default="local:pocket")
    parser.add_argument("--system", help="instructions for the model")
    args = parser.parse_args()
    conversation = [Message("system", args.system)] if args.system else []
    with Client(args.model) as client:
        for line in typed():
            conversation.append(Message("user", line))
            try:
                conversation.append(reply(client, conversation))
            except LLMError as error:
                conversation.pop()  # so that the next turn does not stumble over it too
                print(f"[{error}]")
        print(f"{client.usage.input_tokens or 0} tokens in, {client.usage.output_tokens or 0} out")


if __name__ == "__main__":
    main()
