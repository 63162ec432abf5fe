#!/usr/bin/env python3
"""Where the time of one decode step goes: llama.cpp, sampling, mask, and what Python adds to them.

    scripts/measure/profile_step.py FILE.gguf [--threads N] [--tokens N] [--json]

Runs the engine's own decode loop in this process, without a socket and without a client, and times the parts of each
step from inside: plain greedy, plain sampled, and under the JSON schema of a report, alone and four at once.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.probe import probe
from edgechat.config import Config
from edgechat.engine.decoding.loaded_model import LoadedModel
from edgechat.engine.decoding.loop import DecodeLoop
from edgechat.engine.decoding.request_loop import LoopServices
from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.native.context import Context
from edgechat.engine.native.sampler import Sampler
from edgechat.engine.protocol.events import Done, Event, Text
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.metrics import Metrics
from edgechat.engine.state.oom_history import OomHistory
from edgechat.engine.state.shared_status import SharedStatus
from edgechat.engine.text.constraint import Constraint
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.thread_governor import Governor
from edgechat.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.protocol.framing import Frame

PARTS = ("llama_decode", "sampler", "mask, llguidance", "mask, applied", "matcher", "Python")
"""``Python`` is the rest of a step: batch, bookkeeping, detokenizing, events, governor, and numpy's look for the best
token of a greedy answer under a schema."""

_STRING = {"type": "string", "minLength": 1, "maxLength": 400}
REPORT = {
    "type": "object",
    "properties": {
        "category": {"enum": ["man", "machine", "material", "method", "measurement", "environment"]},
        "statement": _STRING,
        "evidence": {"type": "array", "items": {"enum": ["N1", "N2", "L1"]}, "minItems": 2, "maxItems": 2},
        "check": _STRING,
        "summary": _STRING,
    },
    "required": ["category", "statement", "evidence", "check", "summary"],
    "additionalProperties": False,
}
_PROMPT = "Write a long report about a solder bridge that was found on a circuit board of the night shift. Number {n}."


@dataclass(slots=True)
class Clock:
    """Seconds spent in each part, summed over the steps that are counted."""

    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    steps: int = 0
    tokens: int = 0
    total: float = 0.0

    def wrap(self, owner: Any, method: str, part: str) -> Callable[[], None]:  # noqa: ANN401
        """Time every call of a method; returns what takes the timing off again."""
        inner = getattr(owner, method)

        def timed(*args: Any, **named: Any) -> Any:  # noqa: ANN401
            began = time.perf_counter()
            try:
                return inner(*args, **named)
            finally:
                self.spent[part] += time.perf_counter() - began

        setattr(owner, method, timed)
        return lambda: setattr(owner, method, inner)


class Reader:
    """Stands where a client's connection stands, and keeps nothing but whether the answer is done."""

    is_open = True
    keeps = False

    def __init__(self) -> None:
        self.done = 0
        self.said_anything = False

    def send(self, event: Event, request_id: int) -> None:  # noqa: ARG002
        """An event of an answer."""
        self.done += isinstance(event, Done)
        self.said_anything |= isinstance(event, Text)

    def send_frame(self, frame: Frame) -> None:
        """Only refusals come this way."""
        raise SystemExit(f"The engine refused: {frame}")


def residence(model: Path, threads: int, home: Path) -> LoadedModel:
    """The model, loaded as the engine would load it."""
    choice = choose(
        Wish(str(model)),
        paths=_paths(home),
        config=Config(threads=threads),
        board=probe(),
        offload=False,
        oom_history=OomHistory(),
    )
    return LoadedModel(choice, _paths(home), on_progress=lambda _fraction: True)


def profile(home: LoadedModel, *, sampling: dict[str, float], schema: object, answers: int, tokens: int) -> Clock:
    """Run answers together and time their decode steps; steps that also read a prompt are not counted."""
    requests = RequestQueue()
    settings = home.choice.plan.settings
    governor = Governor(max(settings.n_threads, settings.n_threads_batch))
    # Without a state directory neither looks at the board nor writes anything.
    services = LoopServices(
        requests,
        governor,
        SharedStatus(),
        mismatch=lambda _wish, _connection: None,
        monitor=ThrottleMonitor(),
        metrics=Metrics(),
    )
    loop = DecodeLoop(home, services)
    reader = Reader()
    for n in range(answers):
        request = Request(
            (Message("user", _PROMPT.format(n=n)),),
            sampling=sampling,
            max_tokens=tokens,
            constraint=None if schema is None else {"json_schema": schema},
        )
        requests.put(reader, n + 1, request)  # type: ignore[arg-type]
    while not (reader.said_anything and _all_decode(loop)):
        loop.step(0.0)
    clock = Clock()
    undo = [
        clock.wrap(Context, "decode", "llama_decode"),
        clock.wrap(Sampler, "sample", "sampler"),
        clock.wrap(Constraint, "_forbid", "mask, applied"),
        clock.wrap(Constraint, "advance", "matcher"),
        clock.wrap(Constraint, "forced", "matcher"),
    ]
    matchers = [_Matcher(sequence.constraint, clock) for sequence in loop._running if sequence.constraint]
    generated = _generated(loop)
    try:
        while reader.done == 0 and clock.steps < tokens:
            began = time.perf_counter()
            loop.step(0.0)
            clock.total += time.perf_counter() - began
            clock.steps += 1
            if reader.done == 0:
                clock.tokens = _generated(loop) - generated
    finally:
        for each in undo:
            each()
        for matcher in matchers:
            matcher.restore()
    while reader.done < answers:
        loop.step(0.0)
    clock.spent["mask, applied"] -= clock.spent["mask, llguidance"]
    clock.spent["Python"] = clock.total - sum(clock.spent.values())
    return clock


class _Matcher:
    """llguidance's matcher of one answer, with its mask computation timed apart from ours."""

    def __init__(self, constraint: Constraint, clock: Clock) -> None:
        self._constraint, self._inner = constraint, constraint._matcher
        self._clock = clock
        constraint._matcher = self  # type: ignore[assignment]

    def unsafe_compute_mask_ptr(self, address: int, size: int) -> None:
        """As the original."""
        began = time.perf_counter()
        self._inner.unsafe_compute_mask_ptr(address, size)
        self._clock.spent["mask, llguidance"] += time.perf_counter() - began

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)

    def restore(self) -> None:
        """Take the timing off."""
        self._constraint._matcher = self._inner


def _all_decode(loop: DecodeLoop) -> bool:
    return loop.n_active == len(loop._running) and all(each.timing.first_token for each in loop._running)


def _generated(loop: DecodeLoop) -> int:
    return sum(len(sequence.generated) for sequence in loop._running)


def _paths(home: Path) -> Paths:
    return Paths.from_env({"EDGECHAT_HOME": str(home)})


CASES: dict[str, dict[str, Any]] = {
    "greedy": {"sampling": {"temperature": 0.0}, "schema": None, "answers": 1},
    "sampled": {"sampling": {"temperature": 0.7, "seed": 1}, "schema": None, "answers": 1},
    "greedy, JSON": {"sampling": {"temperature": 0.0}, "schema": REPORT, "answers": 1},
    "greedy, four at once": {"sampling": {"temperature": 0.0}, "schema": None, "answers": 4},
    "greedy, JSON, four at once": {"sampling": {"temperature": 0.0}, "schema": REPORT, "answers": 4},
}


def row(name: str, clock: Clock) -> str:
    """One line of the table: milliseconds of a step by part, and the share that Python adds."""
    cells = [f"{clock.spent[part] / clock.steps * 1e3:.3f}" for part in PARTS]
    whole = clock.total / clock.steps * 1e3
    share = clock.spent["Python"] / clock.total
    return f"| {name} | {clock.steps} | {clock.tokens} | {whole:.2f} | {' | '.join(cells)} | {share:.1%} |"


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="FILE.gguf")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tokens", type=int, default=160, help="longest answer (160)")
    parser.add_argument("--json", action="store_true", help="print seconds by part as JSON")
    args = parser.parse_args()
    clocks = {}
    with tempfile.TemporaryDirectory(prefix="edgechat-profile-") as home:
        loaded = residence(args.model, args.threads, Path(home))
        for name, case in CASES.items():
            clocks[name] = profile(loaded, tokens=args.tokens, **case)
        loaded.close()
    if args.json:
        print(json.dumps({name: {"steps": c.steps, "total": c.total, **c.spent} for name, c in clocks.items()}))
        return
    print(f"Milliseconds of one step, {args.model.name}, {args.threads} threads\n")
    print(f"| answer | steps | tokens | step | {' | '.join(PARTS)} | Python's share |")
    print("|---" * (len(PARTS) + 5) + "|")
    for name, clock in clocks.items():
        print(row(name, clock))


if __name__ == "__main__":
    main()
