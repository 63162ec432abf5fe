"""The chat screen's dealings with files and the system prompt: attach, save, set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from edgechat.errors import EdgechatError, StateError
from edgechat.plaintext import clean, clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.chat_part import Talk

if TYPE_CHECKING:
    from textual.widgets import Static

    from edgechat.tui.widgets.composer import Composer

_FILE_LIMIT = 1 << 20
"""Bytes of a text file that may be attached; no board's context holds more."""


class FileActions(Talk):
    """Handles what goes along with questions, and what leaves the history."""

    _attached: Static
    _system: str
    thinks: bool

    def action_attach(self) -> None:
        """Ask for a text file."""
        self._ask_file("", "A path; Enter takes it.")

    def _ask_file(self, path: str, hint: str) -> None:
        from edgechat.tui.screens.dialogs import AskLine  # noqa: PLC0415 - its widgets come when they are needed

        self.app.push_screen(AskLine("Attach which text file?", path, hint=hint), self._attach_file)

    def _attach_file(self, path: str | None) -> None:
        if path:
            try:
                file = Path(path).expanduser()
                self.composer.attach(clean_line(file.name), _read_text(file))
            except EdgechatError as error:
                # In place, or the mended path would be typed into the question.
                self._ask_file(path, trouble(error))
                return
        self.composer.focus()

    def on_composer_attachments_changed(self, event: Composer.AttachmentsChanged) -> None:
        """Show what goes along."""
        lines = [f"+ {clean_line(each.name)}" for each in event.attachments]
        self._attached.update(Content("\n".join(lines)))
        self._attached.display = bool(lines)
        self.composer.place_cursor()

    def action_think(self) -> None:
        """Let models that can do so think before they answer, or not, from the next question on."""
        self.thinks = not self.thinks
        self._show_title()

    def action_system(self) -> None:
        """Change what the model is told before everything else."""
        from edgechat.tui.screens.dialogs import AskText  # noqa: PLC0415 - as above

        now = self.conversation.system if self.conversation else self._system
        self.app.push_screen(AskText("System prompt of this conversation", now), self._set_system)

    def _set_system(self, text: str | None) -> None:
        if text is None:
            return
        self._system = text.strip()
        if self.conversation is not None:
            try:
                self.conversation = self._keeper.history.set_system(self.conversation.id, self._system)
            except EdgechatError as error:
                self._explain(error)

    def action_save(self) -> None:
        """Write the conversation to a file."""
        if self.conversation is None:
            self.banner.say("There is nothing to save yet.")
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
            transcript = self._keeper.history.transcript(self.conversation.id)
            text = to_json([transcript]) if file.suffix == ".json" else to_markdown([transcript])
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            self._ask_target(path, f"{file} is there already; choose another name.")
        except OSError as error:
            self._ask_target(path, f"Cannot write {file}: {error.strerror}.")
        except EdgechatError as error:
            self._explain(error)
        else:
            self.notify(f"Written to {clean_line(str(file.absolute()))}", timeout=4, markup=False)


def _read_text(file: Path) -> str:
    """A text file, cleaned.

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
