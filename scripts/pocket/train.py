"""Train ``local:pocket`` from nothing on two CPU cores: ``python scripts/pocket/train.py --minutes 100``.

The data are generated while training runs, from one seed. The learning rate warms up, stays, and falls to zero over
the last quarter of the time, so that a run can be continued (``--resume``) with more minutes. Checkpoints go to
``--work``; every three minutes the weights are exported to ``--out`` as a Hugging Face folder: their running mean while
the rate is high, themselves at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Full
from typing import NamedTuple

import numpy as np
import torch
from examples import group, long_group
from model import Learnt, Pocket, Shape, export
from rendering import END, Example
from tokenizers import Tokenizer
from tokens import build, save
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "providers" / "llmsdk_providers" / "local" / "pocket"
LENGTH, ROWS, PARTS = 288, 5, 2
"""Tokens in a row, rows in a part, parts in a step: two processes take parts until the step has all of them."""
LONG, LONG_ROWS, LONG_SHARE = 768, 2, 0.06
"""The same for the few batches of long conversations, and their share."""
EARLY = 600
"""So many batches at the beginning teach looking back more than anything else."""
PROMPT_WEIGHT = 0.15
"""What a token of a prompt counts: questions repeat words of their documents, and so teach where to look."""
RATE, WARM_STEPS, DECAY_SHARE, AVERAGE = 3e-3, 100, 0.3, 0.995


# --- batches ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Laid:
    """A group laid out as a common beginning and branches, each with how many of its tokens are to be learnt."""

    shared: list[int]
    branches: list[tuple[list[int], int, Sources]]
    """Each with its tokens, how many of them are to be learnt, and where in the common beginning these come from."""

    @property
    def size(self) -> int:
        return len(self.shared) + sum(len(ids) for ids, *_ in self.branches)


def _common(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with."""
    size = 0
    for column in zip(*rows, strict=False):
        if any(token != column[0] for token in column):
            break
        size += 1
    return size


def lay(tokenizer: Tokenizer, examples: list[Example], length: int = LENGTH) -> Laid:
    """Lay a group out; branches that do not fit a row are left out."""
    prompts = [row.ids for row in tokenizer.encode_batch([e.prompt for e in examples], add_special_tokens=False)]
    replies = [row.ids for row in tokenizer.encode_batch([e.reply + END for e in examples], add_special_tokens=False)]
    shared = _common(prompts) if len(prompts) > 1 else 0
    shared = min(shared, min(map(len, prompts)) - 1)
    branches, size = [], shared
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = prompt[shared:] + reply
        if size + len(ids) <= length:
            branches.append((ids, len(reply), sources(prompts[0][:shared], prompt, reply)))
            size += len(ids)
    return Laid(prompts[0][:shared], branches)


def _pack(laid: Iterator[Laid], length: int = LENGTH) -> Iterator[list[Laid]]:
    """Fill rows with whole groups, best fit first among a few open rows."""
    rows: list[list[Laid]] = []
    for one in laid:
        if not one.branches:
            continue
        fitting = [row for row in rows if sum(g.size for g in row) + one.size <= length]
        if fitting:
            max(fitting, key=lambda row: sum(g.size for g in row)).append(one)
        else:
            rows.append([one])
        if len(rows) > 24:
            fullest = max(rows, key=lambda row: sum(g.size for g in row))
            rows.remove(fullest)
            yield fullest


class Sources(NamedTuple):
    """Where in the common beginning each token of a reply comes from; -1 for nowhere."""

    words: list[int]
    """The token that it repeats."""
    sentences: list[int]
    """The end of the sentence that proves it, or the very beginning where no sentence does."""


def sources(shared: list[int], prompt: list[int], reply: list[int]) -> Sources:
    """Where the tokens of the reply stand in ``shared``, as far as the tokens around them tell.

    A line of the reply that is a sentence of the documents is found as a whole, and the short answer inside of the first
    such sentence; the number before it is to be learnt from the sentence's end, which knows its document. A reply of one
    line that stands in the instructions is taken from there. Otherwise a token is found by the two before it.
    """
    words, sentences = [-1] * len(reply), [-1] * len(reply)
    lines = _lines(reply)
    for start, end in lines[1:]:
        begin = start + 3 + (reply[start + 3 : start + 4] == SPACE)
        if end - begin > 1 and (at := _find(shared, reply[begin:end])) is not None:
            last = at + end - begin - 1
            words[begin:end] = range(at, last + 1)
            words[start + 1] = last
            sentences[: begin + 3] = [last if now < 0 else now for now in sentences[: begin + 3]]
            first, stop = lines[0]
            first += reply[:1] == SPACE
            inside = _find(shared[at : last + 1], reply[first:stop]) if words[first] < 0 else None
            if inside is not None:
                words[first:stop] = range(at + inside, at + inside + stop - first)
    if len(lines) == 1 and (at := _find(shared, reply[:-1])) is not None:
        words[:-1] = range(at, at + len(reply) - 1)
        sentences[0] = 0
    elif len(lines) == 1:
        text = prompt[-2:] + reply
        for n in range(len(reply) - 1):
            at = _find(shared, text[n : n + 3])
            words[n] = -1 if at is None else at + 2
    return Sources(words, sentences)


def numbers(shared: list[int]) -> list[tuple[int, int]]:
    """From each token of the documents to the number in the tag of its document."""
    tags = [n for n in range(2, len(shared)) if shared[n - 2 : n] == TAG]
    return [(n, tag) for tag, end in pairwise([*tags, len(shared)]) for n in range(tag + 1, end)]


TAG: list[int] = []
"""The tokens before the number of a document; set once the tokenizer is known."""


def _lines(reply: list[int]) -> list[tuple[int, int]]:
    """Where the lines of a reply begin and end, the token of the line break and the last one left out."""
    breaks = [n for n, token in enumerate(reply) if token == BREAK[0]]
    return list(zip([0, *(n + 1 for n in breaks)], [*breaks, len(reply) - 1], strict=True))


BREAK, SPACE = [-1], [-1]
"""The tokens of a line break and of a space by itself, with which a Chinese line begins."""


def _find(text: list[int], piece: list[int]) -> int | None:
    """Where ``piece`` stands in ``text``, if it stands there once."""
    size = len(piece)
    hits = [n for n in range(len(text) - size + 1) if text[n] == piece[0] and text[n : n + size] == piece] if size else []
    return hits[0] if len(hits) == 1 else None


@dataclass(slots=True)
class Batch:
    """Arrays of one step. ``part`` and ``branch`` say which tokens may see each other."""

    tokens: np.ndarray
    positions: np.ndarray
    part: np.ndarray
    branch: np.ndarray
    at: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    looks: list[np.ndarray]
    """(3, n) for each guide of the model: rows, columns, and the columns at which to look from there."""


def weights(reply: list[int]) -> list[float]:
    """How much each token of a reply counts: more in a short one, which decides, than in a long one, which repeats.

    Where a sentence proves the answer, the beginning of the short answer counts as much as the beginning of the reply that
    there is none, or the model would lean to one of them; the number of the document is a single token that says much.
    """
    each = min(4.0, max(1.0, 12 / len(reply))) if len(reply) < 40 else 0.5
    found = [2 * each, *[each] * (len(reply) - 1)]
    lines = _lines(reply)
    for start, end in lines[1:]:
        if end - start > 4:
            found[start + 1] = 6.0
            found[:2] = [8.0, 8.0]
            found[2 : lines[0][1]] = [2.0] * (lines[0][1] - 2)
    return found


def _hole(ids: list[int], learnt: int) -> tuple[int, int]:
    """Where in a prompt to leave out positions and how many, so that replies to prompts longer than a row are learnt."""
    gap = sum(ids) * 31 % 1000
    return sum(ids) % max(1, len(ids) - learnt), gap if gap < 700 else 0


def collate(rows: list[list[Laid]], length: int = LENGTH) -> Batch:
    """Write rows of groups as arrays. All of a branch but its first token is learnt, what is prompt only a little."""
    shape = (len(rows), length)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    part, branch = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    at: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    tags: list[tuple[int, int, int]] = []
    sentences: list[tuple[int, int, int]] = []
    points: list[tuple[int, int, int]] = []
    for r, row in enumerate(rows):
        cursor = 0
        for g, laid in enumerate(row):
            begin, base = len(laid.shared), cursor
            tags += [(r, base + n, base + tag) for n, tag in numbers(laid.shared)]
            for b, (ids, learnt, found) in enumerate([(laid.shared, 0, Sources([], [])), *laid.branches]):
                span = slice(cursor, cursor + len(ids))
                start = 0 if b == 0 else begin
                tokens[r, span], part[r, span], branch[r, span] = ids, g, b
                positions[r, span] = np.arange(start, start + len(ids))
                if learnt > 40:
                    positions[r, cursor + _hole(ids, learnt)[0] : cursor + len(ids)] += _hole(ids, learnt)[1]
                if learnt:
                    at += range(r * length + cursor, r * length + cursor + len(ids) - 1)
                    target += ids[1:]
                    weight += [PROMPT_WEIGHT] * (len(ids) - 1 - learnt) + weights(ids[len(ids) - learnt :])
                    last = cursor + len(ids) - learnt - 1
                    points += [(r, last + n, base + source) for n, source in enumerate(found.words) if source >= 0]
                    sentences += [(r, last + n, base + source) for n, source in enumerate(found.sentences) if source >= 0]
                cursor += len(ids)
    looks = [np.array(pairs, np.int64).reshape(-1, 3).T.copy() for pairs in (tags, sentences, points)]
    return Batch(tokens, positions, part, branch, np.array(at), np.array(target), np.array(weight, np.float32), looks)


def _batches(tokenizer: Tokenizer, seed: int, made: int) -> Iterator[Batch]:
    rng = random.Random(seed + made)
    rows = _pack(lay(tokenizer, group(rng, early=made < EARLY)) for _ in iter(int, 1))
    long = _pack((lay(tokenizer, long_group(rng), LONG) for _ in iter(int, 1)), LONG)
    while True:
        made += 1
        if rng.random() < LONG_SHARE:
            yield collate([next(long) for _ in range(LONG_ROWS)], LONG)
        else:
            yield collate([next(rows) for _ in range(ROWS)])


def _produce(path: str, seed: int, made: int, queue: multiprocessing.Queue[Batch]) -> None:
    """Fill the queue for as long as the parent lives."""
    parent = os.getppid()
    tokenizer = Tokenizer.from_file(path)
    tag = tokenizer.encode("<document 7>", add_special_tokens=False).ids
    TAG[:] = tag[tag.index(tokenizer.token_to_id("7")) - 2 : tag.index(tokenizer.token_to_id("7"))]
    BREAK[0], SPACE[0] = tokenizer.token_to_id("\n"), tokenizer.token_to_id(" ")
    for batch in _batches(tokenizer, seed, made):
        while True:
            try:
                queue.put(batch, timeout=5)
                break
            except Full:
                if os.getppid() != parent:
                    return


def _sight(batch: Batch) -> Tensor:
    """What to add to the attention scores: nothing where a token may look, minus infinity elsewhere."""
    part, branch = torch.from_numpy(batch.part), torch.from_numpy(batch.branch)
    length = part.shape[1]
    same = (part[:, :, None] == part[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
    seen = same & ((branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :]))
    return torch.zeros(seen.shape).masked_fill_(~seen, -1e9)[:, None]


# --- optimiser ----------------------------------------------------------------------------------------------------


def _orthogonal(update: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with orthogonal rows, roughly (Newton-Schulz, as in Muon)."""
    x = update.T if update.shape[0] > update.shape[1] else update
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return x.T if update.shape[0] > update.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, one square block of a fused matrix at a time."""

    def __init__(self, weights: list[tuple[nn.Parameter, int]], lr: float) -> None:
        super().__init__([{"params": [weight], "blocks": blocks} for weight, blocks in weights], {"lr": lr})
        for weight, _ in weights:
            self.state[weight]["momentum"] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group_ in self.param_groups:
            for weight in group_["params"]:
                momentum = self.state[weight]["momentum"]
                momentum.lerp_(weight.grad, 0.05)
                update = weight.grad.lerp(momentum, 0.95)
                weight.mul_(1 - 0.05 * group_["lr"])
                for piece, into in zip(update.chunk(group_["blocks"]), weight.chunk(group_["blocks"]), strict=True):
                    into.add_(_orthogonal(piece), alpha=-group_["lr"] * 0.2 * max(piece.shape) ** 0.5)


def optimisers(model: Pocket) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, half for each process, and Adam for the rest."""
    fused = {"qkv": 3, "gate_up": 2}
    inside = [(w, fused.get(n.split(".")[-2], 1)) for n, w in model.blocks.named_parameters() if w.dim() == 2]
    rest = [w for n, w in model.named_parameters() if w.dim() < 2 or n.startswith("embed")]
    half = len(inside) // 2
    return [Muon(inside[:half], RATE), Muon(inside[half:], RATE), torch.optim.AdamW(rest, RATE, betas=(0.9, 0.98), weight_decay=0.0)]


# --- the run ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Progress:
    """How far training has come."""

    step: int = 0
    tokens: int = 0
    learnt: int = 0
    minutes: float = 0.0


def _rate(progress: Progress, minutes: float) -> float:
    left = (minutes - progress.minutes) / (minutes * DECAY_SHARE)
    return RATE * min(1.0, (progress.step + 1) / WARM_STEPS, max(left, 0.0))


def _checkpoint(work: Path, model: Pocket, mean: Pocket, opts: list[torch.optim.Optimizer], progress: Progress) -> None:
    state = {
        "model": model.state_dict(), "mean": mean.state_dict(), "optimisers": [o.state_dict() for o in opts],
        "progress": [progress.step, progress.tokens, progress.learnt, progress.minutes],
    }  # fmt: skip
    torch.save(state, work / "checkpoint.new")
    (work / "checkpoint.new").replace(work / "checkpoint.pt")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "pocket")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Build the tokenizer, then train until the time is up."""
    options = _arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "tokenizer.json"
    if not path.exists():
        save(build(options.seed), options.work)
    tokenizer = Tokenizer.from_file(str(path))
    shape = Shape(vocabulary=tokenizer.get_vocab_size())
    model, mean = Pocket(shape), Pocket(shape)
    mean.load_state_dict(model.state_dict())
    opts, progress = optimisers(model), Progress()
    if options.resume:
        state = torch.load(options.work / "checkpoint.pt")
        model.load_state_dict(state["model"])
        mean.load_state_dict(state["mean"])
        for optimiser, saved in zip(opts, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        progress = Progress(*state["progress"])
    print(f"{sum(w.numel() for w in model.parameters())} parameters, {shape}", flush=True)
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Batch] = context.Queue(16)
    producer = context.Process(target=_produce, args=(str(path), options.seed, PARTS * progress.step, queue), daemon=True)
    producer.start()
    _run(options, model, mean, opts, progress, queue)
    producer.terminate()


@dataclass(slots=True)
class Team:
    """What the two training processes share: the work of a step, the gradients of each, and when to go on."""

    queue: multiprocessing.Queue[Batch]
    taken: Synchronized[int]
    loss: Synchronized[float]
    rate: Synchronized[float]
    counted: SynchronizedArray[int]
    gradients: Tensor
    met: Barrier

    def share(self, model: Pocket) -> None:
        """Take parts of the step until none is left, adding up gradients."""
        while True:
            with self.taken:
                if self.taken.value >= PARTS:
                    return
                self.taken.value += 1
            batch = self.queue.get()
            arrays = (torch.from_numpy(a) for a in (batch.tokens, batch.positions))
            learnt = Learnt(*(torch.from_numpy(a) for a in (batch.at, batch.target, batch.weight)))
            loss = model.loss(*arrays, _sight(batch), learnt, map(torch.from_numpy, batch.looks)) / PARTS
            loss.backward()
            with self.loss, self.counted:
                self.loss.value += loss.item()
                self.counted[0] += int((batch.part >= 0).sum())
                self.counted[1] += len(batch.target)

    def step(self, model: Pocket, mine: int, opts: list[torch.optim.Optimizer]) -> None:
        """Do this process's parts, then its half of the update from the gradients of both."""
        self.share(model)
        own = [torch.zeros_like(w) if w.grad is None else w.grad for w in model.parameters()]
        self.gradients[mine].copy_(nn.utils.parameters_to_vector(own))
        self.met.wait()
        total = self.gradients.sum(0)
        total *= min(1.0, 1.0 / (total.norm().item() + 1e-6))
        at = 0
        for weight in model.parameters():
            weight.grad = total[at : at + weight.numel()].view_as(weight)
            at += weight.numel()
        for optimiser in opts:
            for settings in optimiser.param_groups:
                settings["lr"] = self.rate.value
            optimiser.step()
        model.zero_grad()
        self.met.wait()


def _help(team: Team, model: Pocket, opts: list[torch.optim.Optimizer]) -> None:
    """The second process: its half of every step, no decisions."""
    while True:
        team.step(model, 1, opts)
        team.met.wait()


def _compile(model: Pocket) -> None:
    """Fuse the small operations, which is a fifth faster, where there is a compiler; both processes inherit it."""
    if shutil.which("g++"):
        model.hidden = torch.compile(model.hidden, dynamic=False)  # type: ignore[method-assign]
        for rows, length in ((ROWS, LENGTH), (LONG_ROWS, LONG)):
            at = torch.zeros(rows, length, dtype=torch.long)
            states, scores = model.hidden(at, at.clone(), torch.zeros(rows, 1, length, length))
            sum((s.sum() for s in scores), start=states.sum()).backward()
        model.zero_grad()


def _run(
    options: argparse.Namespace, model: Pocket, mean: Pocket, opts: list[torch.optim.Optimizer], progress: Progress,
    queue: multiprocessing.Queue[Batch],
) -> None:  # fmt: skip
    _compile(model)
    states = (value for optimiser in opts for state in optimiser.state.values() for value in state.values())
    for shared in (*model.parameters(), *filter(torch.is_tensor, states)):
        shared.data.share_memory_()
    forks = multiprocessing.get_context("fork")
    gradients = torch.zeros(2, sum(w.numel() for w in model.parameters())).share_memory_()
    values = (forks.Value("i", 0), forks.Value("d", 0.0), forks.Value("d", 0.0), forks.Array("q", 2))
    team = Team(queue, *values, gradients, forks.Barrier(2))
    forks.Process(target=_help, args=(team, model, opts[1:2]), daemon=True).start()
    last, saved, losses, before = time.monotonic(), progress.minutes, [], (progress.tokens, progress.learnt)
    while progress.minutes < options.minutes:
        team.rate.value = rate = _rate(progress, options.minutes)
        team.step(model, 0, [opts[0], opts[2]])
        losses.append(team.loss.value)
        team.loss.value, team.taken.value = 0.0, 0
        team.met.wait()
        with torch.no_grad():
            keep = min(AVERAGE, progress.step / (progress.step + 10))
            for slow, fast in zip(mean.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        now = time.monotonic()
        progress.step += 1
        progress.tokens, progress.learnt = before[0] + team.counted[0], before[1] + team.counted[1]
        progress.minutes += (now - last) / 60
        last = now
        if progress.step % 50 == 0:
            print(
                f"{progress.minutes:6.1f} min  step {progress.step}  loss {sum(losses[-50:]) / 50:.4f}  rate {rate:.5f}  "
                f"{progress.tokens / 1e6:.2f} M tokens, {progress.learnt / 1e6:.2f} M learnt", flush=True,
            )  # fmt: skip
        if progress.minutes - saved >= 3 or progress.minutes >= options.minutes:
            saved = progress.minutes
            _checkpoint(options.work, model, mean, opts, progress)
            save(Tokenizer.from_file(str(options.work / "tokenizer.json")), options.out)
            export(mean if rate > RATE / 8 else model, options.out)
            record = {
                "minutes": progress.minutes, "steps": progress.step, "tokens": progress.tokens, "learnt": progress.learnt,
                "parameters": gradients.shape[1], "seed": options.seed,
            }  # fmt: skip
            (options.work / "training.json").write_text(json.dumps(record) + "\n", "utf-8")


if __name__ == "__main__":
    main()
