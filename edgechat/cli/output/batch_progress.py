"""Progress of a run over many records: one line on a terminal's standard error that is rewritten."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from edgechat.cli.output.answer import STARTER_NOTE
from edgechat.cli.output.terminal import say
from edgechat.errors import InvalidInputError, UsageError
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths
    from edgechat.tasks.batch.batch_run import Tally
    from edgechat.tasks.batch.job import Job, JobReport
    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.generator import ModelIdentity

REDRAW_S = 0.2
_SMOOTHING_S = 30.0
"""The rate is averaged over about half a minute, because records differ and a hot board gets slower."""


class BatchPrinter:
    """Shows count, rate and remaining time; nothing if standard error is not a terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._total: int | None = None
        self._done = self._shown_done = 0
        self._rate = 0.0
        self._drawn_s = self._began_s = time.monotonic()
        self._is_shown = False

    def begin(self, total: int | None, done: int) -> None:
        """Start with about ``total`` records, of which ``done`` are finished already."""
        self._total, self._skip = total, done
        self._drawn_s = self._began_s = time.monotonic()

    def advance(self, done: int, not_ok: int) -> None:
        """Show that ``done`` records are finished."""
        self._done = done
        now = time.monotonic()
        passed_s = now - self._drawn_s
        if not self._is_terminal or passed_s < REDRAW_S:
            return
        new = max(done - max(self._shown_done, self._skip), 0)
        weight = min(passed_s / min(_SMOOTHING_S, now - self._began_s), 1.0)
        self._rate += (new / passed_s - self._rate) * weight
        self._drawn_s, self._shown_done = now, done
        sys.stderr.write(f"\r\x1b[K{progress_line(done, self._total, self._rate, not_ok)}")
        sys.stderr.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_shown = False


def progress_line(done: int, total: int | None, rate: float, not_ok: int) -> str:
    """``812 of 2,000 records, 3.1/s, 6 min 23 s left, 2 not ok``."""
    parts = [f"{done:,} of {total:,} records" if total is not None and total >= done else f"{done:,} records"]
    if rate > 0:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
        if total is not None and total > done:
            parts.append(f"{_duration((total - done) / rate)} left")
    if not_ok:
        parts.append(f"{not_ok:,} not ok")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def run_with_progress(
    job: Job,
    task: Task[Any, Any],
    paths: Paths,
    wish: Wish,
    *,
    stdin: BinaryIO,
    stdout: BinaryIO,
    total: int | None = None,
    first_note: str = "",
    generator: Callable[[], Generator] | None = None,
) -> JobReport:
    """Run a task over many records, with progress and notes on standard error.

    ``total`` is the number of records, where the job cannot estimate it.
    """
    from edgechat.tasks import measured  # noqa: PLC0415
    from edgechat.tasks.batch.job import JobCallbacks, run_job  # noqa: PLC0415 - 0.3 s of imports
    from edgechat.tasks.batch.journal import SUFFIX  # noqa: PLC0415

    progress = BatchPrinter()
    notes_at_first_answer: list[str] = []

    def note(text: str) -> None:
        progress.clear()
        say(clean_line(text), fg="yellow")

    def model(identity: ModelIdentity) -> None:
        if identity.is_starter:
            notes_at_first_answer.append(STARTER_NOTE)  # it says more than that nobody has measured it
        elif unmeasured := measured.note(task.name, identity.label, identity.sha256):
            notes_at_first_answer.append(unmeasured)

    def advance(tally: Tally) -> None:
        if tally.answered and notes_at_first_answer:  # not for results of rules or of the cache
            note(notes_at_first_answer.pop())
        progress.advance(tally.total, tally.not_ok)

    if first_note:
        note(first_note)
    callbacks = JobCallbacks(
        note=note,
        begin=lambda estimate, done: progress.begin(estimate if total is None else total, done),
        advance=advance,
        model=model,
    )
    try:
        return run_job(job, task, paths, wish, stdin=stdin, stdout=stdout, callbacks=callbacks, generator=generator)
    except BaseException as error:
        progress.clear()
        # These errors already say what to do about the journal.
        says_what_to_do = isinstance(error, (UsageError, InvalidInputError))
        if job.out is not None and job.out.with_name(job.out.name + SUFFIX).exists() and not says_what_to_do:
            say(f"The finished records are in {job.out.name}{SUFFIX}. To continue, repeat the command with --resume.")
        raise
    finally:
        progress.clear()
