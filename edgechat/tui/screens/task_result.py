"""The task result screen: one result as a table or as JSON, to copy and to save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean, clean_line
from edgechat.tui.screens.dialogs import AskLine
from edgechat.tui.screens.dismissal import DismissedOnce
from edgechat.tui.session.task_runner import result_rows, save_result
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult

_MIN_VALUE_WIDTH = 20
"""Columns for values on the narrowest screen."""
_OTHER_LINES = 8
"""Lines of the screen that a value must leave for heading, titles, footer and some other values."""
_CUT_NOTE = "… (j shows the rest)"


class TaskResultScreen(DismissedOnce, Screen[None]):
    """One result; its JSON fits the task's output schema."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", id="result.back", tooltip="Back to the form"),
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

    def __init__(self, task: Task[Any, Any], done: TaskResult) -> None:
        super().__init__()
        self.of, self.done = task, done
        self._head = Static(Content(_head(done)), id="head", markup=False)
        self._head.set_class(done.status != "ok", "-wrong")
        # Rich's Text, because Textual's Content does not wrap in a table cell.
        self.grid: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        self._text = clean(json.dumps(done.to_json(), ensure_ascii=False, indent=2))
        self.json = VerticalScroll(Static(Content(self._text), markup=False), id="json", can_focus=True)
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
        if not path:
            return
        file = Path(path).expanduser()
        try:
            save_result(self.of, self.done, file)
        except EdgechatError as error:
            self.banner.show_error(error)
        else:
            self.banner.show(f"Written to {file}")


def _head(done: TaskResult) -> str:
    parts = [f"{done.task}: {done.status}"]
    if done.model:
        parts.append(f"{done.model}:{done.quant}")
    else:
        parts.append("rules alone, no model")
    if (total := done.timing.get("total_s")) is not None:
        parts.append(f"{total:.1f} s")
    lines = [" · ".join(parts)]
    lines += [f"{problem.path or 'The record'}: {problem.message}" for problem in done.errors]
    return "\n".join(clean_line(line) for line in lines)
