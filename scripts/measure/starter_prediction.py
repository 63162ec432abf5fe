#!/usr/bin/env python3
"""Hold the speed predicted from the starter model alone against what other models reach on this machine.

Starter and model take turns, step by step, since a machine that others share changes its speed within seconds: what one
meets, the other meets too. Each round predicts from its own starter, and the medians of the rounds' errors count.
Speeds are tokens for each second of processor time with one thread: on a busy machine the wall clock says more about
the other programs.

    python scripts/measure/starter_prediction.py DIR/*.gguf [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgechat.board.probe.probe import probe
from edgechat.engine.native.context import Context
from edgechat.engine.native.model import Model
from edgechat.models.gguf.header import read_header
from edgechat.models.gguf.header_shape import shape_of, weight_bytes
from edgechat.models.planning.board_speed import starter_arithmetic
from edgechat.models.planning.model_work import model_work
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.planning.speed_model import decode_seconds, prefill_seconds
from edgechat.models.planning.starter_speed import STARTER_PROMPT, infer
from edgechat.models.store.installed import starter

if TYPE_CHECKING:
    from edgechat.board.board import Cpu

_STEP = 64
_ANSWER, _TURN = 24, 8
"""Tokens written, and how many before the other model's turn: the caches are the model's own again after one."""
_DECODE_LIMIT, _PREFILL_LIMIT = 0.20, 0.30


class Loaded:
    """One model with a context, and the processor seconds that it took."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = LoadSettings(512, n_batch=_STEP, n_ubatch=_STEP, n_seq_max=1, n_outputs_max=1)
        self.model = Model(path, self.settings)
        self.context = Context(self.model, self.settings)
        self._tokens = [(17 + 7919 * index) % self.model.n_vocab for index in range(STARTER_PROMPT)]
        self.prefill_s = self.decode_s = 0.0

    def begin(self) -> None:
        """Forget the sequence and the seconds."""
        self.context.drop(0)
        self.prefill_s = self.decode_s = 0.0

    def read(self, first: int) -> None:
        """One step of the prompt."""
        self.prefill_s += self._step(self._tokens[first : first + _STEP], first)

    def write(self, first: int) -> None:
        """A turn of single tokens."""
        for index in range(first, first + _TURN):
            self.decode_s += self._step([self._tokens[index]], STARTER_PROMPT + index)

    def speeds(self) -> tuple[float, float]:
        """Decode and prefill, in tokens for each second of processor time."""
        return _ANSWER / self.decode_s, STARTER_PROMPT / self.prefill_s

    def _step(self, tokens: list[int], position: int) -> float:
        self.context.clear()
        self.context.add(tokens, position, 0, want_logits=True)
        began = time.process_time()
        self.context.decode()
        return time.process_time() - began


class Round(NamedTuple):
    """Decode and prefill of one round, in tok/CPU-s."""

    starter: tuple[float, float]
    measured: tuple[float, float]
    predicted: tuple[float, float]
    careful: float

    def error(self, which: int) -> float:
        """Predicted / measured - 1."""
        return self.predicted[which] / self.measured[which] - 1


def in_turns(starter_model: Loaded, other: Loaded) -> None:
    """One round of both."""
    both = (starter_model, other)
    for each in both:
        each.begin()
    for first in range(0, STARTER_PROMPT, _STEP):
        for each in both:
            each.read(first)
    for first in range(0, _ANSWER, _TURN):
        for each in both:
            each.write(first)


def measure(starter_model: Loaded, other: Loaded, cpu: Cpu) -> Round:
    """One round, with what the starter alone predicts."""
    in_turns(starter_model, other)
    header = read_header(other.path)
    work = model_work(shape_of(header), weight_bytes(header, cpu.features), other.settings)
    on = infer(*starter_model.speeds(), arithmetic=starter_arithmetic(cpu))
    predicted = (
        1 / decode_seconds(work, on.likely, STARTER_PROMPT),
        1 / prefill_seconds(work, on.likely, STARTER_PROMPT),
    )
    careful = 1 / decode_seconds(work, on.careful, STARTER_PROMPT)
    return Round(starter_model.speeds(), other.speeds(), predicted, careful)


def main() -> int:
    """Measure in rounds and print a Markdown table; 1 when a prediction is further off than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    found = starter()
    if found is None:
        parser.error("the starter model is not installed")
    cpu = probe().cpu
    first, rest = Loaded(found.path), [Loaded(path) for path in args.files]
    in_turns(first, rest[0])  # pages come into memory
    rounds: dict[Path, list[Round]] = {each.path: [] for each in rest}
    for _ in range(args.rounds):
        for each in rest:
            rounds[each.path].append(measure(first, each, cpu))
    every = [one.starter for some in rounds.values() for one in some]
    decode, prefill = (statistics.median(one[which] for one in every) for which in (0, 1))
    print(f"{starter_arithmetic(cpu)}, one thread, {args.rounds} rounds, starter: "
          f"decode {decode:.1f}, prefill {prefill:.1f} tok/CPU-s\n")  # fmt: skip
    print("| model | decode | predicted | error (least to most) | prefill | predicted | error | careful decode |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    is_good = True
    for path, some in rounds.items():
        errors = [sorted(one.error(which) for one in some) for which in (0, 1)]
        middle = [statistics.median(each) for each in errors]
        is_good &= abs(middle[0]) <= _DECODE_LIMIT and abs(middle[1]) <= _PREFILL_LIMIT
        cells = [
            f"{statistics.median(one.measured[which] for one in some):.1f} "
            f"| {statistics.median(one.predicted[which] for one in some):.1f} "
            f"| {middle[which]:+.0%} ({errors[which][0]:+.0%} to {errors[which][-1]:+.0%})"
            for which in (0, 1)
        ]
        print(f"| {path.stem} | {' | '.join(cells)} | {statistics.median(one.careful for one in some):.1f} |")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
