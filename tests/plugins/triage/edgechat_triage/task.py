"""Sorts a maintenance note: a rule says whether it is urgent, a model gives it a title.

The smallest task that has every part: input, rule, question, check, rendering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from edgechat.tasks.contract import Ask, Context, Message, Outcome, Steps, Task
from edgechat.tasks.strict import Strict
from edgechat.tasks.token_limit import answer_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.tasks.contract import TaskResult

_URGENT = ("smoke", "leak", "burning", "stopped")
_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "minLength": 1, "maxLength": 60}},
    "required": ["title"],
    "additionalProperties": False,
}


class Note(Strict):
    """A maintenance note."""

    note: Annotated[str, Field(min_length=1, max_length=2000)]


class Sorted(Strict):
    """The note, sorted."""

    urgent: bool
    title: str | None
    """The model's; null when it gave none."""


class Triage(Task[Note, Sorted]):
    """The task ``triage``."""

    name: ClassVar[str] = "triage"
    version: ClassVar[str] = "1"
    example: ClassVar[Mapping[str, Any]] = {"note": "Smoke from motor 3, line stopped."}
    formats: ClassVar[tuple[str, ...]] = ("json", "text")
    input_model = Note
    output_model = Sorted

    def steps(self, record: Note, context: Context) -> Steps[Sorted]:
        """Decide urgency by rule, ask for a title."""
        urgent = any(word in record.note.lower() for word in _URGENT)
        answer = yield Ask(
            messages=(Message("system", "Give the note a title."), Message("user", record.note)),
            schema=_SCHEMA,
            max_tokens=answer_tokens(_SCHEMA, context.language),
            so_far=Outcome(Sorted(urgent=urgent, title=None)),
        )
        title = answer.value["title"] if answer.finish_reason == "stop" else None
        return Outcome(Sorted(urgent=urgent, title=title))

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, or one line."""
        if fmt == "text" and done.result is not None:
            return f"{'URGENT ' if done.result['urgent'] else ''}{done.result['title']}\n"
        return super().render(done, fmt)
