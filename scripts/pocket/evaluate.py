"""Measure ``local:pocket`` on the held-out part of its world: ``python scripts/pocket/evaluate.py``.

Everything runs on the exported folder through transformers, as a user would load it: greedy replies in batches, and
labels by the sum of their log-probabilities with the end token. Writes the figures as JSON and prints a table.

``--by float32`` and ``--by int8`` ask our own engine the same; ``--against FILE`` then says what was lost to the figures
in another file, and ends with 1 if that is more than a point in any task.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import world_chat as chat
from examples import answers, fits, memories, picks, refusals, talk_prompt, texts, translations
from rendering import BEGIN, END, TONGUES, Example, render
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from world_parse import fluent
from world_talk import REFUSAL

from llmsdk import Client
from llmsdk.io.drive import iterate
from llmsdk.io.sync import SyncIO
from llmsdk.tasks import answer
from llmsdk.types import Message, Output, Request
from llmsdk_providers.local import Local

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "providers" / "llmsdk_providers" / "local" / "pocket"
DATA = ROOT.parent / "shared" / "data"


def _turns(task: str, makers: Sequence[Callable[..., chat.Turn]]) -> Callable[..., list[Example]]:
    """Held-out turns of these kinds, each the beginning of a conversation."""

    def make(rng: random.Random, test: bool) -> list[Example]:
        turn = rng.choice(makers)(rng, rng.choice(TONGUES))
        system = rng.choice((*chat.SYSTEMS, answer.PLAIN, answer.PLAIN))
        return [Example(task, talk_prompt(turn.said, system), turn.replies[0], turn.replies)] if turn.held == test else []

    return make


MAKERS: dict[str, Callable[..., list[Example]]] = {
    "pick sentiment": picks, "pick topic": picks, "fits": fits, "translate to zh": translations, "translate to en": translations,
    "answer en": answers, "answer zh": answers, "answer nothing": answers, "own beyond": refusals,
    "talk": _turns("talk", (chat.small_talk,) * 5 + (chat.order,)), "question": _turns("question", (chat.knowledge,)),
}  # fmt: skip


class Runner:
    """The exported model, asked in batches."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "left"
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def _padded(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        return dict(self.tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=False))

    @torch.inference_mode()
    def replies(self, prompts: Sequence[str], limit: int = 100, batch: int = 32, whole: bool = False) -> list[str]:
        """The greedy reply to each prompt, in the order of the prompts; ``whole`` gives the prompt with it."""
        order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
        found = [""] * len(prompts)
        for start in range(0, len(order), batch):
            numbers = order[start : start + batch]
            inputs = self._padded([prompts[n] for n in numbers])
            inputs.pop("token_type_ids", None)
            made = self.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
            for n, row in zip(numbers, made if whole else made[:, inputs["input_ids"].shape[1] :], strict=True):
                found[n] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    @torch.inference_mode()
    def best(self, prompt: str, labels: Sequence[str]) -> str:
        """The label with the greatest log-probability, its end token included."""
        begin = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ends = [self.tokenizer(label + END, add_special_tokens=False)["input_ids"] for label in labels]
        width = max(map(len, ends))
        rows = torch.tensor([begin + end + [0] * (width - len(end)) for end in ends])
        scores = self.model(rows).logits.log_softmax(-1)
        sums = [
            sum(scores[n, len(begin) - 1 + at, token].item() for at, token in enumerate(end)) for n, end in enumerate(ends)
        ]
        return labels[sums.index(max(sums))]


class Engine:
    """The same model, run by our own engine."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self._model = str(folder)
        self._local = Local("local", Local.Settings(threads=1, quantize="int8" if dtype == "int8" else None))
        self._client = Client(f"local:{folder}", provider=self._local)

    def replies(self, prompts: Sequence[str], limit: int = 100, batch: int = 16, whole: bool = False) -> list[str]:
        """As above; the engine makes batches by itself, and puts the beginning of a text before a raw prompt."""
        asked = [prompt.removeprefix(BEGIN) for prompt in prompts]
        made = [result.text for result in self._client.complete(asked, max_tokens=limit)]
        if not whole:  # as texts of their own
            return [text.removeprefix(" ") for text in made]
        ids = [self.tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        begun = [self.tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        return [begin + text for begin, text in zip(begun, made, strict=True)]

    def best(self, prompt: str, labels: Sequence[str]) -> str:
        """As above."""
        asked = self._local.score(Request(self._model, prompt.removeprefix(BEGIN)), [label + END for label in labels], SyncIO())
        (output,) = [event for event in iterate(asked) if isinstance(event, Output)]
        sums = [score.logprob for score in output.value]
        return labels[sums.index(max(sums))]


def lost(figures: dict[str, dict[str, object]], before: dict[str, dict[str, object]]) -> int:
    """1 if more than a point was lost in any task."""
    points = {
        task: 100 * (figure["right"] / figure["of"] - before[task]["right"] / before[task]["of"])
        for task, figure in figures.items() if task in before
    }  # fmt: skip
    for task, change in points.items():
        print(f"{task:20} {change:+.2f} points")
    return int(min(points.values()) < -1)


def drawn(task: str, count: int, seed: int) -> list[Example]:
    """Held-out examples of one task."""
    rng, found = random.Random(f"{task}.{seed}"), []
    while len(found) < count:
        make = memories if task == "talk" and rng.random() < 0.15 else MAKERS[task]
        found += [e for e in make(rng, test=True) if e.task in (task, task.removeprefix("own "))][:3]
    return found[:count]


def prompts_of_others(count: int = 200, seed: int = 1) -> list[str]:
    """Prompts from MT-bench and Self-Instruct, read where they lie."""
    found = [json.loads(line)["turns"][0] for line in _lines("mt-bench/question.jsonl")]
    for name in ("self-instruct/seed_tasks.jsonl", "self-instruct/user_oriented_instructions.jsonl"):
        for row in map(json.loads, _lines(name)):
            found.append(f"{row['instruction']}\n{row['instances'][0]['input']}".strip())
    return random.Random(seed).sample(found, count)


def _lines(name: str) -> Iterable[str]:
    return (DATA / name).read_text("utf-8").splitlines()


def _continued(runner: Runner | Engine, count: int, seed: int) -> dict[str, object]:
    """How many held-out beginnings are continued by the grammar's own sentences."""
    rng = random.Random(f"text.{seed}")
    starts = ["今天是星期五，", "Once upon a time", "Today is Friday"]
    while len(starts) < count:
        text = texts(rng, test=True)[0]
        if text.prompt == BEGIN:
            ids = runner.tokenizer(text.reply, add_special_tokens=False)["input_ids"]
            starts.append(runner.tokenizer.decode(ids[: rng.randint(3, 8)]))
    made = runner.replies([BEGIN + start for start in starts], limit=140, whole=True)
    good = [fluent(text) for text in made]
    wrong = [text for text, ok in zip(made, good, strict=True) if not ok]
    return {"right": sum(good), "of": len(made), "wrong": wrong[:12], "first": made[:3]}


def _task(runner: Runner | Engine, task: str, count: int, seed: int) -> dict[str, object]:
    """How many held-out items of a task are right, a few wrong ones, and how many were refused."""
    items = drawn(task, count, seed)
    scored = bool(items[0].labels)
    got = [runner.best(e.prompt, e.labels) for e in items] if scored else runner.replies([e.prompt for e in items])
    right = [reply in e.accept for reply, e in zip(got, items, strict=True)]
    wrong = [(e.prompt[-160:], e.reply, g) for e, g, ok in zip(items, got, right, strict=True) if not ok]
    figure: dict[str, object] = {"right": sum(right), "of": len(items), "wrong": wrong[:12]}
    if task in ("answer en", "answer zh"):
        figure["first line right"] = sum(
            reply.split("\n")[0] == e.reply.split("\n")[0] for reply, e in zip(got, items, strict=True)
        )
    if not scored and task != "own beyond":
        figure["refused"] = sum(reply in REFUSAL.values() for reply in got)
    return figure


def measure(runner: Runner | Engine, tasks: Iterable[str], count: int, seed: int) -> dict[str, dict[str, object]]:
    """The figures of these tasks."""
    figures: dict[str, dict[str, object]] = {}
    for task in tasks:
        if task == "text":
            figures[task] = _continued(runner, count, seed)
        elif task != "beyond":
            figures[task] = _task(runner, task, count, seed)
        elif DATA.exists():
            figures[task] = _beyond(runner)
        if task in figures:
            print(f"{task:20} {figures[task]['right']}/{figures[task]['of']}", flush=True)
    return figures


def _beyond(runner: Runner | Engine) -> dict[str, object]:
    asked = prompts_of_others()
    prompts = [
        render((Message("user", p),)) if n % 2 else render(answer.prompt(p)) for n, p in enumerate(asked)
    ]
    got = runner.replies([_short(runner, p) for p in prompts], limit=50, batch=8)
    right = [reply in REFUSAL.values() for reply in got]
    wrong = [(p[:160], reply) for p, reply, ok in zip(asked, got, right, strict=True) if not ok]
    return {"right": sum(right), "of": len(asked), "wrong": wrong}


def _short(runner: Runner | Engine, prompt: str, limit: int = 960) -> str:
    """The prompt, cut in the middle where it is longer than the window."""
    ids = runner.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if len(ids) <= limit:
        return prompt
    keep = len(prompt) * limit // len(ids) // 2
    return prompt[:keep] + prompt[-keep:]


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--tasks", nargs="+", default=[*MAKERS, "text", "beyond"], help="which tasks to measure again")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "pocket" / "figures.json")
    parser.add_argument("--by", choices=["transformers", "float32", "int8"], default="transformers")
    parser.add_argument("--against", type=Path, help="figures to compare with")
    options = parser.parse_args()
    figures = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    runner = Runner(options.folder) if options.by == "transformers" else Engine(options.folder, options.by)
    figures |= measure(runner, options.tasks, options.count, options.seed)
    refusable = [figure for figure in figures.values() if "refused" in figure]
    figures["in-world refused"] = {
        "right": sum(figure["refused"] for figure in refusable), "of": sum(figure["of"] for figure in refusable),
    }  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(lost(figures, json.loads(options.against.read_text("utf-8"))) if options.against else 0)


if __name__ == "__main__":
    main()
