"""The dialog that attaches a file: a path with completion, and a tree of directories to pick from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import DirectoryTree, Input, Static

from edgechat.chat.conversation import Attachment
from edgechat.errors import EdgechatError
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.session.attachments import read_attachment
from edgechat.tui.session.typed_path import typed_path
from edgechat.tui.widgets.banner import error_text
from edgechat.tui.widgets.line_input import LineInput, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text, TextType
    from textual.app import ComposeResult


_HINT = "→ or Tab completes, ↓ goes to the tree, Enter attaches. Text, PNG or JPEG."


class PathSuggester(Suggester):
    """Completes a path to the first entry of its directory that begins so; directories end with a slash.

    Names with control characters are left out: no field can hold them.
    """

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The completed path, or None."""
        begin = value.rpartition("/")[2]
        start = value[: len(value) - len(begin)]
        try:
            with os.scandir(Path(start or ".").expanduser()) as entries:
                found = sorted(
                    (each.name, each.is_dir())
                    for each in entries
                    if each.name.startswith(begin)
                    and (begin or not each.name.startswith("."))
                    and each.name == one_line(each.name)
                )
        except (OSError, RuntimeError, ValueError):  # no such directory, no such user, a NUL
            return None
        paths = (f"{start}{name}{'/' * is_folder}" for name, is_folder in found)
        return next((path for path in paths if path != value), None)


class PathInput(LineInput):
    """The field for the path."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", id="attach.complete"),
        Binding("down", "screen.to_tree", "Tree", id="attach.tree"),
    ]

    def action_complete(self) -> None:
        """Take the suggestion."""
        self.action_end()
        self.action_cursor_right()


class VisibleTree(DirectoryTree):
    """A tree without hidden files, whose names are shown without control characters."""

    def process_label(self, label: TextType) -> Text:
        """A file's name as its label."""
        return super().process_label(one_line(str(label)))

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """All but the hidden ones."""
        return [path for path in paths if not path.name.startswith(".")]


class AttachFile(DismissedOnce, ModalScreen[Attachment | None]):
    """Ask for a file until one can be read, or Esc."""

    DEFAULT_CSS = """
    AttachFile { align: center middle; }
    AttachFile > Vertical {
        width: 84; max-width: 95%; height: 22; max-height: 95%;
        border: round $accent; padding: 0 1; background: $surface;
    }
    AttachFile .question { height: 1; }
    AttachFile .hint { height: auto; max-height: 3; color: $text-muted; }
    AttachFile .hint.-wrong { color: $text-error; }
    AttachFile DirectoryTree { height: 1fr; background: $surface; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="dialog.cancel")]

    def __init__(self) -> None:
        super().__init__()
        self.path = PathInput(compact=True, suggester=PathSuggester(), select_on_focus=False)
        self._hint = Static(Content(_HINT), classes="hint", markup=False)
        self.tree_view = VisibleTree(Path.cwd())

    def compose(self) -> ComposeResult:
        """Yield the field, the hint and the tree."""
        with Vertical():
            yield Static(Content("Attach which file?"), classes="question", markup=False)
            yield self.path
            yield self._hint
            yield self.tree_view

    def on_mount(self) -> None:
        """Focus the field."""
        self.path.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Attach the file that was typed; without one, close."""
        event.stop()
        if not event.value.strip():
            self.dismiss(None)
            return
        try:
            self._read(typed_path(event.value))
        except EdgechatError as error:
            self._show_wrong(error)

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        """Attach the file that was picked."""
        event.stop()
        self._read(event.path)

    def on_directory_tree_directory_selected(self, event: DirectoryTree.DirectorySelected) -> None:
        """Write the directory into the field, so that typing goes on there."""
        event.stop()
        self.path.value = f"{one_line(str(event.path))}/"

    def _read(self, path: Path) -> None:
        try:
            self.dismiss(read_attachment(path))
        except EdgechatError as error:
            self._show_wrong(error)

    def _show_wrong(self, error: EdgechatError) -> None:
        self._hint.add_class("-wrong")
        self._hint.update(Content(error_text(error)))

    def action_to_tree(self) -> None:
        """Focus the tree."""
        self.tree_view.focus()
        if self.tree_view.cursor_line <= 0:
            self.tree_view.cursor_line = 1  # below the directory itself, which Enter would fold
