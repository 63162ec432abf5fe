"""``edgechat run --follow``: a live stream from standard input, one line of JSON out for every change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from edgechat.cli.output.terminal import say
from edgechat.errors import AnswerError
from edgechat.models.store.installed import installed
from edgechat.plaintext import clean_line
from edgechat.tasks.batch.follow import Follower, StreamLine
from edgechat.tasks.batch.output import json_text
from edgechat.tasks.generator import EngineGenerator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.engine.protocol.request import Wish
    from edgechat.paths import Paths
    from edgechat.tasks.contract import Task
    from edgechat.tasks.language import Language


def follow(
    task: Task[Any, Any],
    paths: Paths,
    wish: Wish,
    *,
    fields: Mapping[str, Any],
    language: Language,
    timeout_s: float | None,
) -> None:
    """Follow standard input to its end, then say how much of it was explained.

    Raises:
        AnswerError: a line was no valid record.
    """
    generator = EngineGenerator(paths, wish, on_note=_note) if wish.model or installed(paths) else None
    if generator is None:
        _note("No model is installed: the rules speak alone. Fetch one with `edgechat models pull`.")
    follower = Follower(task, generator, _write, language=language, timeout_s=timeout_s, fields=fields)
    try:
        follower.run(sys.stdin.fileno())
    finally:
        if generator is not None:
            generator.close()
        say(
            f"{follower.lines} lines, {follower.explained} answered by the model, {follower.dropped} dropped, "
            f"{follower.silences} silences, {follower.not_ok} not ok."
        )
    if follower.not_ok:
        raise AnswerError(
            f"{follower.not_ok} of {follower.lines} records are not ok.", hint="Each says why in its `errors`."
        )


def _write(line: StreamLine) -> None:
    sys.stdout.buffer.write(json_text(line.to_json()).encode() + b"\n")
    sys.stdout.buffer.flush()


def _note(text: str) -> None:
    say(clean_line(text), fg="yellow")
