"""A task for the drill of batches: what kind of note is this, in one word of a list and one of the model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from edgechat.engine.request import Message
from edgechat.tasks.contract import Ask, Context, Outcome, Steps, Task
from edgechat.tasks.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["leak", "noise", "heat", "wear", "dirt", "other"]},
        "word": {"type": "string", "minLength": 1, "maxLength": 5},
    },
    "required": ["kind", "word"],
    "additionalProperties": False,
}


class Note(Strict):
    """A maintenance note."""

    note: Annotated[str, Field(max_length=200)]


class Kind(Strict):
    """What it is about; null where the model gave no answer."""

    kind: str | None
    word: str | None


class NoteKind(Task[Note, Kind]):
    """The task ``notekind``."""

    name: ClassVar[str] = "notekind"
    version: ClassVar[str] = "1"
    example: ClassVar[Mapping[str, Any]] = {"note": "Smoke from motor 3."}
    input_model = Note
    output_model = Kind

    def steps(self, record: Note, context: Context) -> Steps[Kind]:  # noqa: ARG002 - one language is enough here
        """Ask once; no rule decides anything."""
        nothing = Kind(kind=None, word=None)
        answer = yield Ask(
            messages=(Message("system", "What kind of note is this?"), Message("user", record.note)),
            schema=_SCHEMA,
            max_tokens=30,
            so_far=Outcome(nothing, "truncated"),
        )
        return Outcome(Kind(**answer.value)) if answer.finish_reason == "stop" else Outcome(nothing, "failed")
