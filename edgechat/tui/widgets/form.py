"""A form made from a task's input schema, checked by the task as one types. Knows no engine."""

from __future__ import annotations

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
    """What a task takes, the required first.

    Args:
        task: whose input.
        initial: values to begin with, by field.
    """

    DEFAULT_CSS = """
    Form { height: 1fr; padding: 0 1; }
    Form .optional { height: auto; }
    Form Collapsible { border: none; padding: 0; margin: 0; background: transparent; }
    Form Collapsible CollapsibleTitle { padding: 0; }
    Form Collapsible Contents { padding: 0; }
    """

    class Judged(Message):
        """The record was looked at.

        Args:
            wrong: how many fields keep it from being run, and what is wrong with none of them: what a person counts.
            whole: what is wrong with no field in particular; ``""`` for nothing.
        """

        def __init__(self, wrong: int, whole: str) -> None:
            super().__init__()
            self.wrong = wrong
            self.whole = whole

    def __init__(self, task: Task[Any, Any], initial: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._judge_of = task
        known = initial or {}
        fields = fields_of(published_schema(task, "input"))
        self.views = [field_view(field, known.get(field.name, LEFT_OUT)) for field in fields]
        self._opens = any(not field.is_required and field.name in known for field in fields)
        self._is_waiting = False
        self.wrong: tuple[Problem, ...] = ()

    def compose(self) -> ComposeResult:
        """What must be filled in, and folded below it what may."""
        yield from (view for view in self.views if view.field.is_required)
        if optional := [view for view in self.views if not view.field.is_required]:
            with Collapsible(title=f"{len(optional)} that may be left out", collapsed=not self._opens):
                yield Vertical(*optional, classes="optional")

    def on_mount(self) -> None:
        """Judge what it begins with."""
        self.judge()

    def on_field_view_changed(self, event: FieldView.Changed) -> None:
        """Look at the record again, once for all that changed together."""
        event.stop()
        if not self._is_waiting:
            self._is_waiting = True
            self.call_later(self._judge_later)

    def _judge_later(self) -> None:
        self._is_waiting = False
        self.judge()

    def record(self) -> dict[str, Any]:
        """What stands in the form."""
        return record_of(self.views)

    def judge(self, *, is_strict: bool = False) -> bool:
        """Show what is wrong under the fields; whether the record can be run.

        Args:
            is_strict: also tell fields that nobody has touched yet that they are missing.
        """
        self.wrong = problems(self._judge_of, self.record())
        places = [place for view in self.views for place in view.places(f"/{view.field.name}")]
        words: dict[FieldView, str] = {}
        whole: list[str] = []
        for problem in self.wrong:
            owner = _owner(places, problem.path)
            if owner is None:
                whole.append(problem.message)
            elif owner not in words:
                words[owner] = problem.message
        for _, view in places:
            view.say(words.get(view, "") if is_strict or view.is_touched else "")
        self.post_message(self.Judged(len(words) + len(whole), clean_line(" ".join(whole))))
        return not self.wrong

    def focus_first(self, *, is_wrong: bool = False) -> None:
        """Go to the first field, or to the first in which something is wrong."""
        places = [view for each in self.views for _, view in each.places("")]
        for view in places:
            if view.editor.focusable and (view.error or not is_wrong):
                view.editor.focus()
                return


def _owner(places: Sequence[tuple[str, FieldView]], path: str) -> FieldView | None:
    """The field that a problem belongs to: the one at its path, else the nearest around it."""
    holding: Iterable[tuple[str, FieldView]] = (
        place for place in places if path == place[0] or path.startswith(f"{place[0]}/")
    )
    return max(holding, key=lambda place: len(place[0]), default=("", None))[1]
