"""A form made from a task's input schema, validated by the task while the user types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Collapsible

from edgechat.plaintext import clean_line
from edgechat.tasks.contract import published_schema
from edgechat.tasks.runner import problems
from edgechat.tui.form_fields import LEFT_OUT, fields_of
from edgechat.tui.widgets.field_view import FieldView, field_view, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from textual.app import ComposeResult

    from edgechat.tasks.contract import Problem, Task


class Form(VerticalScroll, can_focus=False):
    """The input fields of a task, required ones first."""

    DEFAULT_CSS = """
    Form { height: 1fr; padding: 0 1; }
    Form .optional { height: auto; }
    Form Collapsible { border: none; padding: 0; margin: 0; background: transparent; }
    Form Collapsible CollapsibleTitle { padding: 0; }
    Form Collapsible Contents { padding: 0; }
    """

    @dataclass
    class Validated(Message):
        """The record was validated."""

        n_errors: int
        """Fields with an error, plus errors that belong to no field."""
        whole: str
        """The errors that belong to no field; ``""`` for none."""

    def __init__(self, task: Task[Any, Any], initial: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._task_checked = task
        known = initial or {}
        fields = fields_of(published_schema(task, "input"))
        self.views = [field_view(field, known.get(field.name, LEFT_OUT)) for field in fields]
        self._opens = any(not field.is_required and field.name in known for field in fields)
        self._is_waiting = False
        self.errors: tuple[Problem, ...] = ()

    def compose(self) -> ComposeResult:
        """Yield the required fields, and below them the optional ones, folded."""
        yield from (view for view in self.views if view.field.is_required)
        if optional := [view for view in self.views if not view.field.is_required]:
            with Collapsible(title=f"{len(optional)} that may be left out", collapsed=not self._opens):
                yield Vertical(*optional, classes="optional")

    def on_mount(self) -> None:
        """Validate the initial values."""
        self.validate()

    def on_field_view_changed(self, event: FieldView.Changed) -> None:
        """Validate the record again, once for all fields that changed together."""
        event.stop()
        if not self._is_waiting:
            self._is_waiting = True
            self.call_later(self._validate_later)

    def _validate_later(self) -> None:
        self._is_waiting = False
        self.validate()

    def record(self) -> dict[str, Any]:
        """The record that the form holds."""
        return record_of(self.views)

    def validate(self, *, is_strict: bool = False) -> bool:
        """Show errors under their fields; returns whether the record is valid.

        Args:
            is_strict: show errors of fields that the user has not touched yet, too.
        """
        self.errors = problems(self._task_checked, self.record())
        places = [place for view in self.views for place in view.pointers(f"/{view.field.name}")]
        words: dict[FieldView, str] = {}
        whole: list[str] = []
        for problem in self.errors:
            owner = _owner(places, problem.path)
            if owner is None:
                whole.append(problem.message)
            elif owner not in words:
                words[owner] = problem.message
        for _, view in places:
            view.show_note(words.get(view, "") if is_strict or view.is_touched else "")
        self.post_message(self.Validated(len(words) + len(whole), clean_line(" ".join(whole))))
        return not self.errors

    def focus_first(self, *, with_error: bool = False) -> None:
        """Focus the first field, or the first one with an error."""
        places = [view for each in self.views for _, view in each.pointers("")]
        for view in places:
            if view.editor.focusable and (view.error or not with_error):
                view.editor.focus()
                return


def _owner(places: Sequence[tuple[str, FieldView]], path: str) -> FieldView | None:
    """The field at the path of a problem, else the nearest field that contains it."""
    holding: Iterable[tuple[str, FieldView]] = (
        place for place in places if path == place[0] or path.startswith(f"{place[0]}/")
    )
    return max(holding, key=lambda place: len(place[0]), default=("", None))[1]
