#!/usr/bin/env python3
"""Is every token of a drafted greedy answer the best of the row it was checked in, and the text that without drafts?

    scripts/measure/check_drafts.py [FILE.gguf] [--tokens 96]

An engine answers each question without drafts, then with drafts made from that answer, some of them spoilt, and writes
down every row of logits that it samples from. A batch rounds otherwise than a single token does, so on a model of near
ties the two texts may part; then the row where they do is shown with the distance between its two best logits. The exit
status is 1 when a token was not the best of its row, or when texts part where both rows' best are 0.1 or more apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.edgechat_driver import Edgechat
from scripts.benchmarks.machine_info import usable_cores
from scripts.benchmarks.parameters import Model
from scripts.benchmarks.sections.speculation import ECHOES, OTHERS, Answered, ask
from scripts.workshop import shape_models

NEAR = 0.1
"""Logits that are nearer than this may change places with the size of the batch."""
_HOOK = """\
import sys
if "edgechat.engine.process.main" in getattr(sys, "orig_argv", ()):
    sys.path.insert(0, {root!r})
    from scripts.benchmarks import logits_log
    logits_log.install()
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of logits that was sampled from."""

    token: int
    """What was chosen; -1 for the end of the answer."""
    argmax: int
    gap: float
    """Between the two best logits."""
    row: int
    """0 for the row that every step has, from 1 on those of drafted tokens."""
    drafted: int

    @property
    def is_best(self) -> bool:
        """True when the best token was taken; the one that ends an answer is not written down."""
        return self.token in {self.argmax, -1}


@dataclass(frozen=True, slots=True)
class Compared:
    """One question's two answers, row by row."""

    name: str
    drafted: Answered
    with_drafts: list[Row]
    without: list[Row]

    @property
    def wrong(self) -> int:
        """Tokens that were not the best of their row."""
        return sum(not row.is_best for row in self.with_drafts + self.without)

    @property
    def parting(self) -> int:
        """Index of the first token that differs, or -1."""
        pairs = zip(self.with_drafts, self.without, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a.argmax != b.argmax), -1)

    @property
    def gap(self) -> float:
        """Where the answers part, the smaller of the two rows' gaps; 0 where they do not."""
        at = self.parting
        return 0.0 if at < 0 else min(self.with_drafts[at].gap, self.without[at].gap)

    def line(self) -> str:
        """A line of the table."""
        at = self.parting
        both = "" if at < 0 else f"{self.with_drafts[at].gap:.3f} with, {self.without[at].gap:.3f} without"
        steps = sum(row.row == 0 for row in self.with_drafts)
        parts = "no" if at < 0 else f"at token {at}"
        counts = f"{self.drafted.tokens} | {steps} | {self.drafted.drafted} | {self.drafted.accepted}"
        return f"| {self.name} | {counts} | {self.wrong} | {parts} | {both} |"


def compare(edgechat: Edgechat, model: Model, log: Path, tokens: int) -> list[Compared]:
    """Ask everything twice, printing as it goes."""
    found = []
    with closing(edgechat.client()) as client:
        for name, prompt in (ECHOES | OTHERS).items():
            # Read once before: a prompt that is read in other pieces rounds otherwise, too.
            ask(client, model, prompt, speculate=False, max_tokens=1)
            begins = [len(_rows(log))]
            ask(client, model, prompt, speculate=False, max_tokens=tokens)
            begins.append(len(_rows(log)))
            drafted = ask(client, model, prompt, speculate=True, max_tokens=tokens)
            rows = _rows(log)
            found.append(Compared(name, drafted, rows[begins[1] :], rows[begins[0] : begins[1]]))
            print(found[-1].line(), flush=True)
    return found


def _rows(log: Path) -> list[Row]:
    if not log.exists():
        return []
    lines = (json.loads(line) for line in log.read_text(encoding="ascii").splitlines())
    return [Row(each["token"], each["argmax"], each["gap"], each["row"], each["drafted"]) for each in lines]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", metavar="FILE.gguf", help="(the starter model)")
    parser.add_argument("--tokens", type=int, default=96, help="longest answer (96)")
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    path = (args.model or shape_models.starter_model()).absolute()
    with tempfile.TemporaryDirectory(prefix="edgechat-drafts-") as home:
        log = Path(home) / "rows.jsonl"
        hook = Path(home) / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(
            _HOOK.format(root=str(Path(__file__).resolve().parents[2])), encoding="utf-8"
        )
        os.environ |= {"ROW_LOG": str(log), "PYTHONPATH": f"{hook}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        edgechat = Edgechat(Path(home), args.threads)
        print(f"Greedy answers of up to {args.tokens} tokens, {path.name}\n")
        print("| question | tokens | steps | drafted | accepted | not the best | parts | gap there |")
        print("|---|---|---|---|---|---|---|---|")
        try:
            found = compare(edgechat, Model(path.stem, path), log, args.tokens)
        finally:
            edgechat.stop()
    wrong, parted = sum(each.wrong for each in found), [each for each in found if each.parting >= 0]
    accepted = sum(each.drafted.accepted for each in found)
    print(f"\n{accepted} accepted tokens; {wrong} of all were not the best of their row.")
    widest = max((each.gap for each in parted), default=0.0)
    print(f"{len(parted)} of {len(found)} pairs part" + (f", at gaps of at most {widest:.3f}." if parted else "."))
    return 1 if wrong or widest >= NEAR else 0


if __name__ == "__main__":
    sys.exit(main())
