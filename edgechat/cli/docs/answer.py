"""``edgechat ask --docs``: an answer from the user's manuals, with where it stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from edgechat import config as settings
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

_NOT_TAKEN = {
    "system": "-s", "files": "-f", "images": "--image", "is_kept": "-c", "is_new": "--new", "overflow": "--overflow",
    "max_tokens": "-n", "temperature": "--temp", "top_k": "--top-k", "top_p": "--top-p", "min_p": "--min-p",
    "repeat_penalty": "--repeat-penalty", "schema": "--schema", "regex": "--text", "stops": "--stop",
    "think": "--think", "no_speculate": "--no-speculate", "no_switch": "--no-switch",
}  # fmt: skip
"""Options of ``ask`` that an answer from manuals has no use for: it is decoded greedily, in a form of its own."""
_STATS = (
    "prompt_tokens", "cached_tokens", "completion_tokens", "forced_tokens", "drafted_tokens", "accepted_tokens",
    "ttft_s", "prefill_tps", "decode_tps", "total_s",
)  # fmt: skip


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
    for name, option in _NOT_TAKEN.items():
        if options.get(name) not in {None, False, ()}:
            raise UsageError(f"--docs does not go with {option}.")
    question, documents = _question(paths, prompt, options["docs"])
    record = {"question": question, "strict": bool(options["strict"]), "documents": documents or None}
    wish = Wish.of(options["model"] or config.model, options["n_ctx"] or config.n_ctx)
    keep_alive = options["keep_alive"]
    generator = EngineGenerator(
        paths, wish, on_note=_note, keep_alive_s=None if keep_alive is None else settings.seconds(keep_alive)
    )
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
    if options["stats"]:
        _show_stats(done, as_json=options["stats"] == "json")
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


def _show_stats(done: TaskResult, *, as_json: bool) -> None:
    facts = {"model": done.model, "quant": done.quant, **{name: done.timing.get(name) for name in _STATS}}
    if as_json:
        click.echo(safe_json({**facts, "finish_reason": "stop" if done.status == "ok" else done.status}), err=True)
        return
    say(
        "  ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{value}" for name, value in facts.items() if value
        )
    )


def _note(text: str) -> None:
    say(clean_line(text), fg="yellow")
