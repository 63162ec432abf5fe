"""Chat screen actions on files: attach a text file, save the conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.screens.chat_base import ChatBaseScreen
from edgechat.tui.session.typed_path import typed_path
from edgechat.tui.widgets.banner import error_text
from edgechat.tui.widgets.message_view import attachment_line

if TYPE_CHECKING:
    from textual.widgets import Static

    from edgechat.chat.conversation import Attachment
    from edgechat.tui.widgets.composer import Composer


class FileActions(ChatBaseScreen):
    """Attaches files to questions and writes conversations to files."""

    _attached: Static

    def action_attach(self) -> None:
        """Ask for a text file or an image."""
        from edgechat.tui.dialogs.attach_file import AttachFile  # noqa: PLC0415 - imported when needed

        self.app.push_screen(AttachFile(), self._take_file)

    def _take_file(self, attachment: Attachment | None) -> None:
        if attachment is not None:
            self.composer.attach(attachment)
        self.composer.focus()

    def on_composer_attachments_changed(self, event: Composer.AttachmentsChanged) -> None:
        """List the attachments above the field."""
        lines = [attachment_line(each) for each in event.attachments]
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
        from edgechat.tui.dialogs.questions import AskLine  # noqa: PLC0415 - as above

        self.app.push_screen(AskLine("Write this conversation to which file?", path, hint=hint), self._save_to)

    def _save_to(self, path: str | None) -> None:
        if not path or not path.strip() or self.conversation is None:
            return
        from edgechat.chat.export import to_json, to_markdown  # noqa: PLC0415 - as above

        try:
            file = typed_path(path)
        except EdgechatError as error:
            self._ask_target(path, error_text(error))
            return
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
