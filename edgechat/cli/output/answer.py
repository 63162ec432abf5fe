"""Prints one answer as it is made: text to standard output, progress and notes to standard error."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.output.terminal import say
from edgechat.engine.protocol.events import (
    Done,
    Event,
    Loading,
    Prefill,
    Queued,
    Recovered,
    Slowed,
    Started,
    Text,
    Trimmed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.errors import EdgechatError

STARTER_NOTE = (
    "Answering with the starter model: 135M parameters, English only, often wrong. "
    "Get a better one: edgechat models pull"
)


class AnswerView:
    """Prints the events of one answer.

    Args:
        question: its script is compared with the model's languages.
        is_streaming: print text as it is made.
        as_json: print one JSON object at the end.
        stats: ``text``, ``json`` or None.
        shows_thoughts: print a thinking model's thoughts to standard error.
        n_ctx: the requested context; a note is printed when it is smaller.
        check: returns the error of a complete answer, or None; a wrong answer is not printed.
    """

    def __init__(
        self,
        *,
        question: str,
        is_streaming: bool,
        as_json: bool,
        stats: str | None,
        shows_thoughts: bool,
        n_ctx: int | None = None,
        check: Callable[[str, str], EdgechatError | None] | None = None,
    ) -> None:
        self._check = check
        self.fault: EdgechatError | None = None
        self._question, self._requested_n_ctx = question, n_ctx or 0
        self._is_streaming, self._as_json = is_streaming, as_json
        self._stats, self._shows_thoughts = stats, shows_thoughts
        self._began = time.monotonic()
        self._first_text_s = 0.0
        self._answer: list[str] = []
        self._thought_open = False
        self._started: Started | None = None
        self._trimmed: Trimmed | None = None
        self._progress = _ProgressLine()
        self.finish_reason = ""

    def show(self, events: Iterator[Event]) -> None:
        """Print all events. After an error, the partial answer stays on standard output."""
        try:
            for event in events:
                self._on(event)
        finally:
            self._progress.clear()
            self._end_line()

    def _on(self, event: Event) -> None:
        if isinstance(event, Text):
            self._on_text(event)
        elif isinstance(event, Loading):
            self._progress.show(event.note)
        elif isinstance(event, Queued):
            self._progress.show(event.reason)
        elif isinstance(event, Prefill) and event.total >= 256:
            self._progress.show(event.note)
        elif isinstance(event, Trimmed):
            self._trimmed = event
        elif isinstance(event, Started):
            self._on_started(event)
        elif isinstance(event, Recovered):
            if self._answer and sys.stdout.isatty():
                click.echo(err=True)  # the answer continues below the note
            self._note(event.note)
        elif isinstance(event, Slowed):
            if event.level:
                threads = "1 thread" if event.n_threads == 1 else f"{event.n_threads} threads"
                self._note(f"Slowed to {threads} to protect the board: {event.reason}.")
        elif isinstance(event, Done):
            self._on_done(event)

    def _on_started(self, event: Started) -> None:
        before, self._started = self._started, event
        if before is not None and before.model == event.model:
            if event.stepped_down_from and (before.quant, before.n_ctx) != (event.quant, event.n_ctx):
                self._note(f"It continues with {event.model}:{event.quant}, n_ctx {event.n_ctx}.")
            return  # an answer that continues after a restart
        if event.step_down:
            self._note(event.step_down)
        if event.is_starter:
            self._note(STARTER_NOTE)
        if self._trimmed is not None:
            self._note(self._trimmed.note + self._larger_context_hint(event))
        if self._requested_n_ctx > event.n_ctx:
            is_trained = 0 < event.n_ctx_train <= event.n_ctx
            why = "the model was trained on no more" if is_trained else "more would not fit"
            self._note(f"n_ctx {event.n_ctx}: {why}.")
        from edgechat.cli.output.language_hint import script_warning  # noqa: PLC0415 - imported while the engine processes the prompt

        if warning := script_warning(self._question, event.languages, event.model):
            self._note(warning)

    def _on_text(self, event: Text) -> None:
        if not event.text:
            return
        self._first_text_s = self._first_text_s or time.monotonic() - self._began
        if event.is_thought:
            if self._shows_thoughts:
                self._progress.clear()
                self._thought_open = True
                click.secho(event.text, err=True, dim=True, nl=False)
            else:
                self._progress.show("thinking")
            return
        self._progress.clear()
        if self._thought_open:
            self._thought_open = False
            click.echo(err=True)
        self._answer.append(event.text)
        if self._is_streaming:
            sys.stdout.write(event.text)
            sys.stdout.flush()

    def _on_done(self, event: Done) -> None:
        self._progress.clear()
        self.finish_reason = event.finish_reason
        if self._check is not None:
            self.fault = self._check("".join(self._answer), event.finish_reason)
        if self.fault is not None:
            self._answer.clear()
        elif self._as_json:
            self._print_json(event)
        elif not self._is_streaming:
            sys.stdout.write("".join(self._answer))
        self._end_line()
        if event.is_context_full:
            self._note("The context is full: the answer was cut." + self._larger_context_hint(self._started))
        elif event.finish_reason == "length" and self.fault is None:
            self._note(f"The answer was cut at {event.usage['completion_tokens']} tokens. More: -n N")
        if self._stats == "json":
            click.echo(json.dumps(self.facts(event), ensure_ascii=False), err=True)
        elif self._stats == "text":
            say(self._summary(event))

    @staticmethod
    def _larger_context_hint(started: Started | None) -> str:
        """How to get a larger context, if the model supports one."""
        return "" if started and 0 < started.n_ctx_train <= started.n_ctx else " A larger one: --ctx N"

    def _end_line(self) -> None:
        """End the last line of a text answer, so that a note or the shell's prompt starts on a new line."""
        if self._answer and not self._as_json and not self._answer[-1].endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._answer.append("\n")

    def _print_json(self, event: Done) -> None:
        envelope = {
            "answer": "".join(self._answer),
            **self._model(),
            "finish_reason": event.finish_reason,
            "usage": event.usage,
            "timing": self._timing(event),
            "unread_messages": 0 if self._trimmed is None else self._trimmed.messages,
            "summary": self._trimmed.summary or None if self._trimmed else None,
        }
        sys.stdout.write(json.dumps(envelope, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def _timing(self, event: Done) -> dict[str, float]:
        measured = {
            **event.timing,
            "load_s": event.load_s,
            "ttft_s": self._first_text_s,
            "total_s": time.monotonic() - self._began,
        }
        return {name: round(value, 4) for name, value in measured.items()}

    def _model(self) -> dict[str, str | None]:
        started = self._started
        return {"model": started.model if started else None, "quant": started.quant if started else None}

    def facts(self, event: Done) -> dict[str, Any]:
        """The object of ``--stats=json``."""
        timing = self._timing(event)
        usage = {name: event.usage[name] for name in _USAGE_FIELDS}
        return {
            **self._model(),
            **usage,
            **{name: timing[name] for name in ("load_s", "ttft_s", "prefill_tps", "decode_tps", "total_s")},
            "peak_rss_bytes": event.peak_rss_bytes,
            "finish_reason": event.finish_reason,
            "stepped_down_from": self._started.stepped_down_from if self._started else None,
            "seed": event.seed,
            "n_ctx": self._started.n_ctx if self._started else None,
        }

    def _summary(self, event: Done) -> str:
        facts = self.facts(event)
        return (
            f"{facts['model']}:{facts['quant']}  "
            f"prompt {facts['prompt_tokens']} tokens ({facts['cached_tokens']} cached) "
            f"at {facts['prefill_tps']:.1f} tok/s  "
            f"answer {facts['completion_tokens']} at {facts['decode_tps']:.1f} tok/s  "
            f"first text {facts['ttft_s']:.2f} s  total {facts['total_s']:.2f} s  "
            f"peak {facts['peak_rss_bytes'] / 1e6:.0f} MB"
        )

    def _note(self, text: str) -> None:
        self._progress.clear()
        say(text, fg="yellow")


_USAGE_FIELDS = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "forced_tokens",
    "drafted_tokens",
    "accepted_tokens",
)


class _ProgressLine:
    """A line on standard error that is rewritten and finally removed; nothing if that is not a terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if self._is_terminal and text != self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown = text

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = ""
