"""Runs a batch in a process of its own, with a SCRIPTED generator that writes down each question; for killing it.

Arguments: INPUT OUT PAUSE_S PARALLEL QUESTIONS [--resume]. Prints the peak of its memory in bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from edgechat.engine.protocol.request import Wish
from edgechat.paths import Paths
from edgechat.tasks.batch.job import Job, run_job
from edgechat.tasks.contract import GeneratedJson
from edgechat.tasks.registry import load


class Writing:
    """Answers at once, or after a pause that depends on the question, and remembers on disk that it was asked."""

    def __init__(self, questions: Path, pause_s: float) -> None:
        self._file = questions.open("a", encoding="utf-8")
        self._pause_s = pause_s

    def generate(self, ask: Any, **_: Any) -> GeneratedJson:
        digest = hashlib.sha256(ask.messages[-1].content.encode()).hexdigest()
        self._file.write(digest + "\n")
        self._file.flush()
        time.sleep(self._pause_s * (int(digest[:2], 16) / 128))
        value = {"sentence": "The vehicle is 0.2 m right of the lane centre in rain."}
        return GeneratedJson(value, json.dumps(value), model="scripted", quant="NONE", model_sha256="0" * 64, seed=1)


def main() -> None:
    source, out, pause_s, parallel, questions, *flags = sys.argv[1:]
    job = Job(
        source=source,
        out=Path(out),
        parallel=int(parallel),
        resume="--resume" in flags,
        keeps_answers="--answers" in flags,
    )
    run_job(
        job,
        load("driving"),
        Paths.from_env(os.environ),
        Wish(),
        stdin=sys.stdin.buffer,
        stdout=sys.stdout.buffer,
        generator=lambda: Writing(Path(questions), float(pause_s)),
    )
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}\n")


main()
