"""Greedy answers of one processor, and where those of two part: ``python -m scripts.emulated_boards.greedy_answers``.

Float additions happen in another order on another processor, so two tokens that are nearly as likely may change places.
Each token is therefore kept with the margin of the most likely token over the second, in logits.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

N_TOKENS = 14
# Chosen before any was answered: facts, sums and series with one right answer each.
PROMPTS = (
    "What is the capital of Italy?",
    "What is the capital of Japan?",
    "How many legs does a spider have?",
    "Continue the list: Monday, Tuesday, Wednesday,",
    "Continue: 2, 4, 6, 8,",
    "What is 2 + 3?",
    "Name the three primary colours.",
    "What is the first month of the year?",
    "Which gas do plants take in from the air?",
    "What is the freezing point of water in degrees Celsius?",
)


@dataclass(frozen=True)
class Answer:
    """One answer: its tokens as text, for each the second most likely one and the margin over it in logits."""

    prompt: str
    tokens: list[str]
    seconds: list[str]
    margins: list[float]


def answers(file: Path, prompts: tuple[str, ...], n_tokens: int) -> Iterator[Answer]:
    """Answer in this process, with the system prompt that the model's own template adds."""
    from edgechat.engine.native import logits
    from edgechat.engine.native.context import Context
    from edgechat.engine.native.model import Model
    from edgechat.engine.text.chat_template import ChatTemplate
    from edgechat.models.planning.plan import LoadSettings

    # One thread: those of an emulator that shares its processors would mostly wait for each other.
    settings = LoadSettings(256, n_batch=64, n_ubatch=64, n_threads=1, n_threads_batch=1, repack=True)
    model = Model(file, settings)
    context = Context(model, settings)
    template = ChatTemplate(model.chat_template or "", bos=model.bos_text, eos=model.eos_text)
    before: list[int] = []
    for prompt in prompts:
        text = template.render([{"role": "user", "content": prompt}], think=False)
        tokens = model.tokenize(text, add_special=model.adds_bos, parse_special=True)
        # The system prompt is read once: minutes, where it is emulated.
        position = len([*takewhile(lambda pair: pair[0] == pair[1], zip(before, tokens[:-1], strict=False))])
        pending, before = tokens[position:], tokens
        found = Answer(prompt, [], [], [])
        context.drop(0, position)
        while len(found.tokens) < n_tokens:
            for start in range(0, len(pending), settings.n_batch):
                piece = pending[start : start + settings.n_batch]
                context.clear()
                row = context.add(piece, position + start, 0, want_logits=True)
                context.decode()
            position += len(pending)
            likely = logits.row(context, row, model.n_vocab)
            second, first = (int(token) for token in likely.argsort()[-2:])
            found.tokens.append(model.piece(first, special=True).decode("utf-8", "replace"))
            found.seconds.append(model.piece(second, special=True).decode("utf-8", "replace"))
            found.margins.append(round(float(likely[first] - likely[second]), 3))
            if model.is_eog(first):
                break
            pending = [first]
        yield found


def compare(one: list[Answer], other: list[Answer]) -> str:
    """A Markdown table: which answers are the same, and for the others the token at which they part."""
    rows = ["| prompt | answer | other answer | parts at | margin |", "|---|---|---|---|---|"]
    n_same = 0
    for left, right in zip(one, other, strict=True):
        said = "".join(left.tokens).strip()
        pairs = zip(left.tokens, right.tokens, strict=False)
        parting = next((index for index, (a, b) in enumerate(pairs) if a != b), None)
        if parting is None and len(left.tokens) == len(right.tokens):
            n_same += 1
            rows.append(f"| {left.prompt} | {said} | the same | | smallest {min(left.margins)}, {min(right.margins)} |")
            continue
        at = min(len(left.tokens), len(right.tokens)) - 1 if parting is None else parting
        tokens = f"token {at + 1}: {left.tokens[at]!r}, {right.tokens[at]!r}"
        margins = f"{left.margins[at]}, {right.margins[at]}"
        rows.append(f"| {left.prompt} | {said} | {''.join(right.tokens).strip()} | {tokens} | {margins} |")
    return "\n".join([*rows, "", f"{n_same} of {len(one)} answers are the same."])


def load(file: Path) -> list[Answer]:
    """The answers that a run wrote."""
    return [Answer(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """Answer and write JSON lines, or compare two such files."""
    parser = argparse.ArgumentParser(prog="python -m scripts.emulated_boards.greedy_answers", description=__doc__)
    parser.add_argument("--model", type=Path, metavar="GGUF", help="answer with this model; a line of JSON for each")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="one prompt a line (default: ten of its own)")
    parser.add_argument("--tokens", type=int, default=N_TOKENS, help="default: %(default)s")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="JSON", help="show where two runs part")
    chosen = parser.parse_args()
    if chosen.compare:
        print(compare(*map(load, chosen.compare)))
    elif chosen.model:
        prompts = tuple(chosen.prompts.read_text(encoding="utf-8").splitlines()) if chosen.prompts else PROMPTS
        for each in answers(chosen.model, prompts, chosen.tokens):
            print(json.dumps(asdict(each)), flush=True)
    else:
        parser.error("give --model or --compare")
    return 0


if __name__ == "__main__":
    sys.exit(main())
