"""Chat screen actions on files: attach a text file, save the conversation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from edgechat.errors import EdgechatError, StateError
from edgechat.plaintext import clean, clean_line
from edgechat.tui.screens.chat_base import ChatBaseScreen
from edgechat.tui.widgets.banner import error_text

if TYPE_CHECKING:
    from textual.widgets import Static

    from edgechat.tui.widgets.composer import Composer

_FILE_LIMIT = 1 << 20
"""Largest text file in bytes that can be attached; no board's context holds more."""


class FileActions(ChatBaseScreen):
    """Attaches files to questions and writes conversations to files."""

    _attached: Static

    def action_attach(self) -> None:
        """Ask for a text file."""
        self._ask_file("", "A path; Enter takes it.")

    def _ask_file(self, path: str, hint: str) -> None:
        from edgechat.tui.screens.dialogs import AskLine  # noqa: PLC0415 - imported when needed

        self.app.push_screen(AskLine("Attach which text file?", path, hint=hint), self._attach_file)

    def _attach_file(self, path: str | None) -> None:
        if path:
            try:
                file = Path(path).expanduser()
                self.composer.attach(clean_line(file.name), _read_text(file))
            except EdgechatError as error:
                # Ask again at once, or the corrected path would be typed into the question.
                self._ask_file(path, error_text(error))
                return
        self.composer.focus()

    def on_composer_attachments_changed(self, event: Composer.AttachmentsChanged) -> None:
        """List the attachments above the field."""
        lines = [f"+ {clean_line(each.name)}" for each in event.attachments]
        self._attached.update(Content("\n".join(lines)))
        self._attached.display = bool(lines)
        self.composer.place_cursor()

    def action_save(self) -> None:
        """Write the conversation to a file."""
        if self.conversation is None:
            self.banner.show("There is nothing to save yet.")
            return
        hint = "NAME.md is Markdown, NAME.json can be imported again."
        self._ask_target(f"conversation-{self.conversation.id}.md", hint)

    def _ask_target(self, path: str, hint: str) -> None:
        from edgechat.tui.screens.dialogs import AskLine  # noqa: PLC0415 - as above

        self.app.push_screen(AskLine("Write this conversation to which file?", path, hint=hint), self._save_to)

    def _save_to(self, path: str | None) -> None:
        if not path or self.conversation is None:
            return
        from edgechat.chat.export import to_json, to_markdown  # noqa: PLC0415 - as above

        file = Path(path).expanduser()
        try:
            transcript = self._store.history.transcript(self.conversation.id)
            text = to_json([transcript]) if file.suffix == ".json" else to_markdown([transcript])
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            self._ask_target(path, f"{file} is there already; choose another name.")
        except OSError as error:
            self._ask_target(path, f"Cannot write {file}: {error.strerror}.")
        except EdgechatError as error:
            self.show_error(error)
        else:
            self.notify(f"Written to {clean_line(str(file.absolute()))}", markup=False)


def _read_text(file: Path) -> str:
    """Read a text file and clean it of control characters.

    Raises:
        StateError: it cannot be read.
        EdgechatError: it is too large, or not text.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise StateError(f"Cannot read {file}: {error.strerror}.") from error
    if len(data) > _FILE_LIMIT:
        raise EdgechatError(f"{file} has more than 1 MiB; no context here holds that.")
    try:
        return clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise EdgechatError(f"{file} is not UTF-8 text.", hint="Convert it first, for example with iconv.") from error
