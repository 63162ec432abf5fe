#!/usr/bin/env python3
"""Hold the speed predicted from the starter model alone against what other models reach on this machine.

Starter and models take turns within each round, so that what else the machine does meets all of them; medians are
compared. Speeds are tokens for each second of processor time with one thread: on a busy machine the wall clock says
more about the other programs.

    python scripts/measure/starter_prediction.py DIR/*.gguf [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

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

_ANSWER = 24
_STEP = 64
_DECODE_LIMIT, _PREFILL_LIMIT = 0.20, 0.30


class Loaded:
    """One model with a context, and the speeds that it reached."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = LoadSettings(512, n_batch=_STEP, n_ubatch=_STEP, n_seq_max=1, n_outputs_max=1)
        self.model = Model(path, self.settings)
        self.context = Context(self.model, self.settings)
        self.decode: list[float] = []
        self.prefill: list[float] = []

    def measure(self) -> None:
        """Read a prompt and write a few tokens."""
        tokens = [(17 + 7919 * index) % self.model.n_vocab for index in range(STARTER_PROMPT)]
        self.context.drop(0)
        began = time.process_time()
        for first in range(0, STARTER_PROMPT, _STEP):
            self._step(tokens[first : first + _STEP], first)
        self.prefill.append(STARTER_PROMPT / (time.process_time() - began))
        began = time.process_time()
        for index in range(_ANSWER):
            self._step([tokens[index]], STARTER_PROMPT + index)
        self.decode.append(_ANSWER / (time.process_time() - began))

    def _step(self, tokens: list[int], position: int) -> None:
        self.context.clear()
        self.context.add(tokens, position, 0, want_logits=True)
        self.context.decode()


def main() -> int:
    """Measure in rounds and print a Markdown table; 1 when a prediction is further off than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    found = starter()
    if found is None:
        parser.error("the starter model is not installed")
    first, rest = Loaded(found.path), [Loaded(path) for path in args.files]
    for _ in range(args.rounds):
        for each in rest:
            first.measure()
            each.measure()
    cpu = probe().cpu
    start = statistics.median(first.decode), statistics.median(first.prefill)
    on = infer(*start, arithmetic=starter_arithmetic(cpu))
    print(f"{starter_arithmetic(cpu)}, one thread, starter: decode {start[0]:.1f}, prefill {start[1]:.1f} tok/CPU-s\n")
    print("| model | decode | predicted | error | prefill | predicted | error | careful decode |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    is_good = True
    for each in rest:
        header = read_header(each.path)
        work = model_work(shape_of(header), weight_bytes(header, cpu.features), each.settings)
        decode, prefill = statistics.median(each.decode), statistics.median(each.prefill)
        likely = (
            1 / decode_seconds(work, on.likely, STARTER_PROMPT),
            1 / prefill_seconds(work, on.likely, STARTER_PROMPT),
        )
        careful = 1 / decode_seconds(work, on.careful, STARTER_PROMPT)
        errors = likely[0] / decode - 1, likely[1] / prefill - 1
        is_good &= abs(errors[0]) <= _DECODE_LIMIT and abs(errors[1]) <= _PREFILL_LIMIT
        print(
            f"| {each.path.stem} | {decode:.1f} | {likely[0]:.1f} | {errors[0]:+.0%} "
            f"| {prefill:.1f} | {likely[1]:.1f} | {errors[1]:+.0%} | {careful:.1f} |"
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
