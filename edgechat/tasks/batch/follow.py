"""A live stream: what the rules say about each line goes out at once, what the model says about it when it comes.

The model gets the newest line when it is free; an alert waits for it unless a newer alert comes. What it never got to
is counted. Silence is said, because it must not look safe.
"""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.errors import EdgechatError
from edgechat.tasks.contract import Ask, Context, GeneratedJson, Problem
from edgechat.tasks.result import TaskResult, timestamp
from edgechat.tasks.runner import Performance, input_sha256, stale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.tasks.contract import Generator, Task
    from edgechat.tasks.language import Language

SILENT_S = 0.5
"""Input that pauses for longer no longer describes the present."""
MAX_LINE = 1 << 20
"""Bytes of one line; a stream that sends more without a line's end is cut there."""


@dataclass(frozen=True, slots=True)
class Line:
    """What to write: a record's result as it stands, and how many were never explained so far."""

    result: TaskResult
    dropped: int

    def to_json(self) -> dict[str, Any]:
        """The line's object: the result, whether it is the last word on its record, and the count."""
        return {**self.result.to_json(), "final": self.result.is_final, "dropped": self.dropped}


class Follower:
    """Takes one stream through one task.

    Args:
        task: this stream's own instance.
        generator: asked in a thread of its own; None lets rules speak alone.
        write: gets every line at once, from two threads but never from both together.
        language: used where a record names none.
        timeout_s: seconds for one explanation; the task's own budget when None.
        fields: what every record has over its own.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        generator: Generator | None,
        write: Callable[[Line], None],
        *,
        language: Language = "en",
        timeout_s: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._task, self._generator, self._write = task, generator, write
        self._language, self._fields = language, dict(fields or {})
        self._timeout_s = task.budget_s if timeout_s is None else timeout_s
        self._lock = threading.Lock()
        self._changed = threading.Condition(threading.Lock())
        self._waiting: tuple[Performance[Any, Any], Ask[Any], bool] | None = None
        self._is_over = False
        self._failure: BaseException | None = None
        self.lines = self.explained = self.dropped = self.not_ok = self.silences = 0

    def run(self, descriptor: int) -> None:
        """Follow the stream behind a file descriptor to its end, then wait for the explanation that is being made.

        Raises:
            EdgechatError: what ``write`` raised in the explaining thread.
        """
        explainer = threading.Thread(target=self._explain, name="explain", daemon=True)
        explainer.start()
        try:
            for line in timed_lines(descriptor, SILENT_S):
                if line is None:
                    self._say_silence()
                elif line.strip():
                    self.take(line)
                if self._failure is not None:
                    break
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()
        explainer.join()
        if self._failure is not None:
            raise self._failure

    def take(self, line: bytes) -> None:
        """One line: its numbers out at once, its question to the model when that is free."""
        import json  # noqa: PLC0415

        now_s = time.monotonic()
        self.lines += 1
        try:
            raw = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            self._emit(self._refused(line, error))
            return
        if self._fields and isinstance(raw, dict):
            raw = {**raw, **self._fields}
        context = Context(language=self._language, now_s=now_s, live=True)
        run: Performance[Any, Any] = Performance(self._task, raw, record_id=self.lines, context=context)
        self._emit(run.result())
        if run.ask is None:
            return
        if self._generator is None:
            run.receive(GeneratedJson(finish_reason="no_model", error="There is no model to ask."))
            return
        self._offer(run, run.ask, is_alert=bool((run.result().result or {}).get("alert")))

    def _offer(self, run: Performance[Any, Any], ask: Ask[Any], *, is_alert: bool) -> None:
        with self._changed:
            if self._waiting is not None:
                self.dropped += 1
                if self._waiting[2] and not is_alert:
                    return
            self._waiting = (run, ask, is_alert)
            self._changed.notify()

    def _explain(self) -> None:
        try:
            while True:
                with self._changed:
                    while self._waiting is None and not self._is_over:
                        self._changed.wait()
                    if self._waiting is None:
                        return
                    run, ask, _ = self._waiting
                    self._waiting = None
                run.receive(*self._ask(ask))
                self.explained += 1
                self._emit(run.result())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
            self._failure = error

    def _ask(self, ask: Ask[Any]) -> tuple[GeneratedJson, EdgechatError | None]:
        assert self._generator is not None  # noqa: S101 - nothing is offered without one
        try:
            answer = self._generator.generate(
                ask.messages, schema=ask.schema, max_tokens=ask.max_tokens, timeout_s=self._timeout_s, seed=None
            )
        except EdgechatError as error:
            return GeneratedJson(finish_reason="failed", error=str(error)), error
        return answer, None

    def _emit(self, result: TaskResult) -> None:
        if result.is_final and result.status not in {"ok", "stale"}:
            self.not_ok += 1
        with self._lock:
            self._write(Line(result, self.dropped))

    def _say_silence(self) -> None:
        self.silences += 1
        with self._lock:
            self._write(Line(stale(self._task, record_id=self.lines, silent_s=SILENT_S), self.dropped))

    def _refused(self, line: bytes, error: Exception) -> TaskResult:
        return TaskResult(
            id=self.lines,
            task=self._task.name,
            task_version=self._task.version,
            status="invalid_input",
            result=None,
            errors=(Problem("", f"The line is not JSON in UTF-8: {error}."),),
            input_sha256=input_sha256(line.decode("utf-8", "replace")),
            created_at=timestamp(time.time()),
        )


def timed_lines(descriptor: int, silent_s: float) -> Iterator[bytes | None]:
    """Lines as they arrive, and one None for each pause longer than ``silent_s``; half a line ends no pause."""
    held = b""
    last_s = time.monotonic()
    was_told = False
    while True:
        patience_s = None if was_told else max(last_s + silent_s - time.monotonic(), 0.0)
        if not select.select([descriptor], [], [], patience_s)[0]:
            was_told = True
            yield None
            continue
        data = os.read(descriptor, 1 << 16)
        if not data:
            break
        *whole, held = (held + data).split(b"\n")
        if len(held) > MAX_LINE:
            whole, held = [*whole, held], b""
        if whole:
            last_s, was_told = time.monotonic(), False
        elif not was_told and time.monotonic() - last_s > silent_s:
            was_told = True
            yield None
        yield from whole
    if held:
        yield held
