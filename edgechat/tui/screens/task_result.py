"""The task result screen: one result as a table or as JSON, to copy and to save."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean, clean_line
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.dialogs.questions import AskLine
from edgechat.tui.session.result_rows import result_rows
from edgechat.tui.session.task_runner import save_result
from edgechat.tui.session.typed_path import typed_path
from edgechat.tui.widgets.banner import Banner, error_text
from edgechat.tui.widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

_MIN_VALUE_WIDTH = 20
"""Columns for values on the narrowest screen."""
_OTHER_LINES = 8
"""Lines of the screen that a value must leave for heading, titles, footer and some other values."""
_CUT_NOTE = "… (j shows the rest)"


class TaskResultScreen(DismissedOnce, Screen[None]):
    """One result; its JSON fits the task's output schema.

    Args:
        task: the task.
        done: the result; that of the rules while the model still writes its part.
        stop: stops the model; None for a final result.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="result.back", tooltip="Stop the model and keep this, else back"),
        Binding("j", "toggle_json", "Table/JSON", id="result.turn", tooltip="Show it as JSON, or as a table again"),
        Binding("c", "copy", "Copy JSON", id="result.copy", tooltip="Copy the whole record as JSON"),
        Binding("s", "save", "Save", id="result.save", tooltip="Write it to a file"),
    ]

    DEFAULT_CSS = """
    TaskResultScreen #head { height: auto; padding: 0 1; background: $panel; }
    TaskResultScreen #head.-wrong { color: $text-error; }
    TaskResultScreen DataTable { height: 1fr; background: transparent; }
    TaskResultScreen #json { height: 1fr; padding: 0 1; display: none; }
    """

    def __init__(self, task: Task[Any, Any], done: TaskResult, stop: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.of, self.done = task, done
        self._stop = stop
        self._head = Static(Content(_head(done)), id="head", markup=False)
        self._head.set_class(done.status != "ok", "-wrong")
        # Rich's Text, because Textual's Content does not wrap in a table cell.
        self.grid: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        self._text = _json_text(done)
        self._json_view = Static(Content(self._text), markup=False)
        self.json = VerticalScroll(self._json_view, id="json", can_focus=True)
        self.banner = Banner()

    def compose(self) -> ComposeResult:
        """Yield heading, table and JSON."""
        yield self._head
        yield self.grid
        yield self.json
        yield self.banner
        yield KeyFooter()

    def on_mount(self) -> None:
        """Fill the table."""
        self._fill()
        self.grid.focus()
        if self.is_model_running:
            self.show_progress("the model is asked")

    @property
    def is_model_running(self) -> bool:
        """Whether the model still writes its part."""
        return self._stop is not None

    def show(self, done: TaskResult) -> None:
        """Show a newer result of the same record."""
        self.done = done
        self._head.update(Content(_head(done)))
        self._head.set_class(done.status != "ok", "-wrong")
        self._text = _json_text(done)
        self._json_view.update(Content(self._text))
        if self.is_mounted:
            self._fill()

    def show_progress(self, words: str) -> None:
        """Say what the model is doing."""
        if self.is_model_running:
            self.banner.show(f"The result of the rules. The model adds its part: {words} · Esc keeps this.")

    def end(self, words: str, *, error: EdgechatError | None = None) -> None:
        """The model has ended; ``words`` say why when its part is missing."""
        self._stop = None
        if error is not None:
            self.banner.show(f"{words} {error_text(error)}", is_error=True)
        elif words:
            self.banner.show(words)
        else:
            self.banner.clear()

    def action_leave(self) -> None:
        """Stop the model and keep the result of the rules; else go back."""
        if self._stop is not None:
            self._stop()
        else:
            self.dismiss(None)

    def on_resize(self) -> None:
        """Wrap values at the new width."""
        self._fill()

    def _fill(self) -> None:
        found = result_rows(self.done)
        at = self.grid.cursor_row
        self.grid.clear(columns=True)
        place = min(max((len(name) for name, _ in found), default=5), self.size.width // 2 - 4)
        room = max(_MIN_VALUE_WIDTH, self.size.width - place - 6)
        self.grid.add_column("FIELD", width=place)
        self.grid.add_column("VALUE", width=room)
        most = max(3, self.size.height - _OTHER_LINES)
        for name, value in found:
            self.grid.add_row(Text(clean_line(name)), self._fitted(clean(value), room, most), height=None)
        if found:
            self.grid.move_cursor(row=min(at, len(found) - 1))

    def _fitted(self, value: str, width: int, most: int) -> Text:
        """A wrapped value of at most ``most`` lines; a longer one is cut with a note."""
        lines = Text(value).wrap(self.app.console, width)
        if len(lines) <= most:
            return Text(value)
        return Text("\n").join([*lines[: most - 1], Text(_CUT_NOTE)])

    def action_toggle_json(self) -> None:
        """Switch between table and JSON."""
        self.json.display = not self.json.display
        self.grid.display = not self.json.display
        (self.json if self.json.display else self.grid).focus()

    def action_copy(self) -> None:
        """Copy the record."""
        self.app.copy_to_clipboard(self._text)
        self.notify("Copied.")

    def action_save(self) -> None:
        """Ask for a file name and write the result."""
        endings = {"text": ".txt"}
        kinds = dict.fromkeys(("json", "csv", *self.of.formats))
        hint = "The ending says how: " + ", ".join(endings.get(kind, f".{kind}") for kind in kinds)
        self.app.push_screen(AskLine("Write this result to which file?", f"{self.of.name}.json", hint=hint), self._save)

    def _save(self, path: str | None) -> None:
        if not path or not path.strip():
            return
        try:
            file = typed_path(path)
            save_result(self.of, self.done, file)
        except EdgechatError as error:
            self.banner.show_error(error)
        else:
            self.banner.show(f"Written to {file}")


def _json_text(done: TaskResult) -> str:
    return clean(json.dumps(done.to_json(), ensure_ascii=False, indent=2))


def _head(done: TaskResult) -> str:
    parts = [f"{done.task}: {done.status}"]
    if done.model:
        parts.append(f"{done.model}:{done.quant}")
    else:
        parts.append("rules alone, no model" if done.is_final else "rules so far")
    if (total := done.timing.get("total_s")) is not None:
        parts.append(f"{total:.1f} s")
    lines = [" · ".join(parts)]
    lines += [f"{problem.path or 'The record'}: {problem.message}" for problem in done.errors]
    return "\n".join(clean_line(line) for line in lines)
