"""When the chat screen sends what is being typed to an idle engine, which reads it ahead."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from edgechat.tui.screens.chat_base import ChatBaseScreen

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.timer import Timer
    from textual.widgets import TextArea

    from edgechat.config import Config
    from edgechat.tui.session.chat_session import ChatSession, Question
    from edgechat.tui.widgets.composer import Composer

PAUSE_S = 0.3
"""Of typing, after which the draft is sent."""
EVERY_S = 1.0
"""While somebody types without a pause, the draft is sent with the first finished word after this time."""
PASTE_CHARS = 8
"""Characters that come at once only by a paste, which is sent without waiting."""
SENTENCE_ENDS = ".?!。？！"
"""A character of these may be the last before Enter, so the draft is sent without waiting."""


def when_to_send(text: str, n_new: int, since_last_s: float) -> tuple[float, bool]:
    """When a changed draft is sent, and whether it looks finished then.

    Args:
        text: the draft.
        n_new: characters that the change added.
        since_last_s: seconds since a draft was sent.

    Returns:
        Seconds until it is sent if nothing else changes, 0 for now; and whether it may well be asked as it is.
    """
    if n_new >= PASTE_CHARS or (n_new > 0 and text[-1] in SENTENCE_ENDS):
        return 0.0, True
    # A word that is not finished changes its tokens. Japanese and Chinese have no spaces to wait for.
    is_word_end = bool(text) and (text[-1].isspace() or not text[-1].isascii())
    return (0.0, False) if is_word_end and since_last_s >= EVERY_S else (PAUSE_S, True)


class DraftReading(ChatBaseScreen):
    """Sends drafts, and shows nothing of it."""

    _config: Config
    session: ChatSession
    is_answering: bool
    _draft_question: Callable[[], Question]
    """What stands in the field, as a question."""

    def __init__(self) -> None:
        super().__init__()
        self._draft_timer: Timer | None = None
        self._draft_sent_at = 0.0
        self._n_draft = 0
        """Characters of the draft at its last change."""
        self._was_draft_sent = False

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Note that the field's text has changed."""
        if event.text_area is self.composer:
            self._on_draft_changed(self.composer.text)

    def on_composer_attachments_changed(self, event: Composer.AttachmentsChanged) -> None:
        """Note that a file was attached, or a page was pasted."""
        self._on_draft_changed(self.composer.text, n_new=PASTE_CHARS if event.attachments else 0)

    def _read_typed_meanwhile(self) -> None:
        """Read what was typed while the engine answered."""
        if self.composer.text:
            self._on_draft_changed(self.composer.text)

    def _on_draft_changed(self, text: str, *, n_new: int | None = None) -> None:
        n_new = len(text) - self._n_draft if n_new is None else n_new
        self._n_draft = len(text)
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        has_draft = bool(text.strip() or self.composer.attachments)
        if not self._config.read_ahead or self.is_answering or not (has_draft or self._was_draft_sent):
            return
        wait_s, is_finished = when_to_send(text, n_new, time.monotonic() - self._draft_sent_at)
        send = partial(self._send_draft, is_finished=is_finished)
        if wait_s:
            self._draft_timer = self.set_timer(wait_s, send)
        else:
            send()

    def _send_draft(self, *, is_finished: bool) -> None:
        if self.is_answering:
            return
        self._draft_sent_at = time.monotonic()
        self._was_draft_sent = bool(self.composer.text.strip() or self.composer.attachments)
        read = partial(self.session.read_ahead, self._draft_question(), is_finished=is_finished)
        self.run_worker(read, thread=True, group="draft")
