"""Runs a task over a live stream: the rules' result of each line is written at once, the model's answer later.

The model gets the newest line when it is free. A line with an alert keeps its place in the queue of one until a newer
alert replaces it. Lines that the model never gets are counted. A pause of the input is reported as ``stale``, because
an old result without an alert must not look current.
"""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.plaintext import clean_line
from edgechat.tasks.contract import Ask, Context
from edgechat.tasks.json_input import DuplicateKeyError, parse_json
from edgechat.tasks.runner import TaskRun, empty_result, generate_answer, input_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

SILENT_S = 0.5
"""A result is stale when no input has come for longer."""
MAX_LINE = 1 << 20
"""Maximum bytes of one line; a longer line is split here."""


@dataclass(frozen=True, slots=True)
class StreamLine:
    """One line of output: a result, and how many records the model has skipped so far."""

    result: TaskResult
    dropped: int
    line: int
    """Of the input, from 1; of a pause, the last one before it."""
    before: TaskResult | None = None
    """The rules' result of the same line, which was written already."""

    def to_json(self) -> dict[str, Any]:
        """The result with ``final`` (no later line for this record), ``dropped`` and ``line``."""
        return {**self.result.to_json(), "final": self.result.is_final, "dropped": self.dropped, "line": self.line}

    def to_text(self, task: Task[Any, Any], fmt: str) -> str:
        """The result in one of the task's formats for people.

        Errors name their line. What was written of this line before is not repeated: only what the model added to it
        follows, with the line's number, or nothing.
        """
        if self.result.result is None:
            errors = [f"{problem.path}: {problem.message}".removeprefix(": ") for problem in self.result.errors]
            return self._numbered(errors)
        text = task.render(self.result, fmt)
        if self.before is None:
            return text
        old, new = task.render(self.before, fmt).splitlines(), text.splitlines()
        added = [each for each in new if each not in old]
        is_only_more = [each for each in new if each in old] == old
        return self._numbered(added) if is_only_more else text

    def _numbered(self, lines: list[str]) -> str:
        return "".join(f"line {self.line}: {clean_line(each)}\n" for each in lines)


class Follower:
    """Runs one task over one stream.

    Args:
        task: the task; an instance for this stream only.
        generator: asked in a second thread; None runs the rules only.
        write: receives every line at once; called from two threads, one at a time.
        language: used when a record names no language.
        timeout_s: seconds for one answer; None takes the task's own time limit.
        fields: fields that replace those of every record.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        generator: Generator | None,
        write: Callable[[StreamLine], None],
        *,
        language: Language = "en",
        timeout_s: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._task, self._generator, self._write = task, generator, write
        self._language, self._fields = language, dict(fields or {})
        self._timeout_s = task.timeout_s if timeout_s is None else timeout_s
        self._related = task.history()
        self._lock = threading.Lock()
        self._changed = threading.Condition(threading.Lock())
        self._queued: tuple[TaskRun[Any, Any], Ask[Any], bool, int] | None = None
        self._line = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self.lines = self.explained = self.unused = self.dropped = self.not_ok = self.silences = 0

    def run(self, descriptor: int) -> None:
        """Follow the stream behind a file descriptor to its end, then wait for the running answer.

        Raises:
            EdgechatError: raised by ``write`` in the second thread.
        """
        answering = threading.Thread(target=self._answer_queued, name="answers", daemon=True)
        answering.start()
        try:
            for line in timed_lines(descriptor, SILENT_S):
                if line is None:
                    self._report_silence()
                else:
                    self.process_line(line)
                if self._failure is not None:
                    break
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()
        answering.join()
        if self._failure is not None:
            raise self._failure

    def process_line(self, line: bytes) -> None:
        """Write the rules' result of one line, and queue its question to the model; a blank line is only counted."""
        now_s = time.monotonic()
        self._line += 1
        if not line.strip():
            return
        self.lines += 1
        try:
            raw = parse_json(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            fault = "cannot be used" if isinstance(error, DuplicateKeyError) else "is not JSON in UTF-8"
            message = f"The line {fault}: {error}."
            sha256 = input_sha256(line.decode("utf-8", "replace"))
            fault_result = empty_result(self._task, "invalid_input", message, record_id=self._line, input_sha256=sha256)
            self._emit(fault_result, self._line)
            return
        if self._fields and isinstance(raw, dict):
            raw = {**raw, **self._fields}
        known = getattr(self._generator, "identity", None)  # None until the first answer
        context = known.context(self._language) if known else Context(language=self._language)
        context = replace(context, now_s=now_s, live=True)
        run: TaskRun[Any, Any] = TaskRun(self._task, raw, record_id=self._line, context=context)
        self._emit(run.result(), self._line)
        if run.ask is None:
            return
        if self._generator is None:
            run.receive(*generate_answer(run.ask, None, timeout_s=None))
            return
        self._queue(run, run.ask, is_alert=bool((run.result().result or {}).get("alert")))

    def _queue(self, run: TaskRun[Any, Any], ask: Ask[Any], *, is_alert: bool) -> None:
        """Put a question into the queue of one; a queued alert is replaced only by an alert."""
        with self._changed:
            if self._queued is not None:
                self.dropped += 1
                if self._queued[2] and not is_alert:
                    return
            self._queued = (run, ask, is_alert, self._line)
            self._changed.notify()

    def _answer_queued(self) -> None:
        try:
            while True:
                with self._changed:
                    while self._queued is None and not self._is_over:
                        self._changed.wait()
                    if self._queued is None:
                        return
                    run, ask, _, line = self._queued
                    self._queued = None
                before = run.result()
                is_answered = self._ask(run, ask)
                result = run.result()
                if is_answered and result.status == "ok" and not result.errors:
                    self.explained += 1
                else:
                    self.unused += 1
                self._emit(result, line, before)
        except BaseException as error:  # noqa: BLE001 - raised again by run()
            self._failure = error

    def _ask(self, run: TaskRun[Any, Any], ask: Ask[Any]) -> bool:
        """Ask all questions of a record within its time limit; whether the last one has an answer."""
        until = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        following: Ask[Any] | None = ask
        is_answered = False
        while following is not None:
            left = None if until is None else until - time.monotonic()
            answer, cause = generate_answer(following, self._generator, timeout_s=left)
            run.receive(answer, cause)
            is_answered, following = answer.finish_reason == "stop", run.ask
        return is_answered

    def _emit(self, result: TaskResult, line: int, before: TaskResult | None = None) -> None:
        if result.is_final and result.status not in {"ok", "stale"}:
            self.not_ok += 1
        with self._lock:
            shown = self._related(result) if result.is_final else result
            self._write(StreamLine(shown, self.dropped, line, before))

    def _report_silence(self) -> None:
        self.silences += 1
        with self._lock:
            self._write(StreamLine(stale_result(self._task, self._line, SILENT_S), self.dropped, self._line))


def stale_result(task: Task[Any, Any], record_id: int, silent_s: float) -> TaskResult:
    """The result of a stream whose input has paused: status ``stale`` and no ``result``."""
    message = f"No input for {silent_s:.1f} s: the last result no longer describes the present."
    return empty_result(task, "stale", message, record_id=record_id)


def timed_lines(descriptor: int, silent_s: float) -> Iterator[bytes | None]:
    """Lines as they arrive, and one None for each pause longer than ``silent_s``; half a line does not end a pause."""
    held = b""
    last_s = time.monotonic()
    is_reported = False
    while True:
        wait_s = None if is_reported else max(last_s + silent_s - time.monotonic(), 0.0)
        if not select.select([descriptor], [], [], wait_s)[0]:
            is_reported = True
            yield None
            continue
        data = os.read(descriptor, 1 << 16)
        if not data:
            break
        *whole, held = (held + data).split(b"\n")
        if len(held) > MAX_LINE:
            whole, held = [*whole, held], b""
        if whole:
            last_s, is_reported = time.monotonic(), False
        elif not is_reported and time.monotonic() - last_s > silent_s:
            is_reported = True
            yield None
        yield from whole
    if held:
        yield held
