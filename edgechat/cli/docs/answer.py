"""``edgechat ask --docs``: an answer from the user's manuals, with where it stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from edgechat.chat.export import safe_json
from edgechat.cli.output.terminal import say
from edgechat.documents.library import Library
from edgechat.engine.protocol.request import Wish
from edgechat.errors import AnswerError, InvalidInputError, UsageError
from edgechat.plaintext import clean_line
from edgechat.tasks.generator import EngineGenerator
from edgechat.tasks.language import locale_language
from edgechat.tasks.manual.task import Manual
from edgechat.tasks.manual.text import place
from edgechat.tasks.runner import run_in_stages

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tasks.result import TaskResult

_NOT_TAKEN = ("system", "files", "images", "is_kept", "is_new", "schema", "regex", "stops", "think", "temperature")
"""Options of ``ask`` that an answer from manuals has no use for."""


def answer(paths: Paths, config: Config, prompt: str | None, options: dict[str, Any]) -> None:
    """Print an answer from documents.

    Args:
        paths: of the user.
        config: the settings.
        prompt: the question, if it was given as an argument.
        options: of ``ask``; ``docs`` is the name behind ``--docs``, or ``""``.

    Raises:
        UsageError: there is no question, no such document, or an option that does not go with ``--docs``.
        AnswerError: there is no complete answer, or, with ``--strict``, a flagged one.
    """
    if options["docs"] is None:
        raise UsageError("--strict needs --docs.")
    for name in _NOT_TAKEN:
        if options.get(name):
            raise UsageError(f"--docs does not go with --{name.removeprefix('is_').replace('_', '-')}.")
    question, documents = _question(paths, prompt, options["docs"])
    record = {"question": question, "strict": bool(options["strict"]), "documents": documents or None}
    wish = Wish.of(options["model"] or config.model, options["n_ctx"] or config.n_ctx)
    generator = EngineGenerator(paths, wish, on_note=_note)
    task = Manual(paths)
    done: TaskResult | None = None
    try:
        context = generator.identify().context(locale_language())
        stages = run_in_stages(
            task, record, generator=generator, context=context, timeout_s=options["timeout_s"], seed=options["seed"]
        )
        for done in stages:
            if not done.is_final and done.result and sys.stderr.isatty():
                _note(f"Reading {place(done.result['nearest'][0])} …")
    finally:
        generator.close()
    assert done is not None  # noqa: S101 - there is always a final stage
    if done.status == "invalid_input":
        raise InvalidInputError("; ".join(problem.message for problem in done.errors))
    if options["as_json"]:
        click.echo(safe_json(_as_json(done)))
    else:
        click.echo(task.render(done, "text"), nl=False)
    if done.cause is not None:
        raise done.cause
    if done.status != "ok":
        raise AnswerError("; ".join(problem.message for problem in done.errors) or "There is no complete answer.")


def _question(paths: Paths, prompt: str | None, name: str) -> tuple[str, str]:
    """The question, and the documents it is for: ``--docs "How …?"`` names no documents."""
    if name and prompt is None:
        with Library.open_to_read(paths) as library:
            if not library.is_known(name):
                name, prompt = "", name
    if prompt is None and sys.stdin is not None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if prompt is None or not prompt.strip():
        raise UsageError("There is no question.", hint='Write: edgechat ask --docs NAME "…"')
    return prompt, name


def _as_json(done: TaskResult) -> dict[str, Any]:
    """The envelope of ``ask --json``, with the fields of the task's result."""
    timing = dict(done.timing)
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return {
        "answer": "",
        **(done.result or {}),
        "status": done.status,
        "model": done.model,
        "quant": done.quant,
        "finish_reason": "stop" if done.status == "ok" else done.status,
        "usage": {name: int(timing[name]) for name in counts if name in timing},
        "timing": timing,
        "errors": [problem.message for problem in done.errors],
    }


def _note(text: str) -> None:
    say(clean_line(text), fg="yellow")
