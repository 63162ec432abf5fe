"""Chat screen actions on models: which one answers next, and why; use another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.screens.chat_base import ChatBaseScreen
from edgechat.tui.session.messages import NextAnswer

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.paths import Paths


class ModelActions(ChatBaseScreen):
    """The model of the next question."""

    _paths: Paths
    _config: Config
    model: str | None
    """None leaves the choice to the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.next_answer: NextAnswer | None = None
        self.answered_by: str | None = None
        """``NAME:QUANT`` of the last answer since the app was opened."""

    def use(self, model: str | None) -> None:
        """Use another model from the next question on; None changes nothing."""
        if model is None:
            return
        self.model = model
        self._show_title()
        self.find_next_answer()
        self.banner.show(f"{model} answers from the next question on.")
        self.composer.focus()

    def _model_text(self) -> str:
        """The model that answers next, and why."""
        following = self.next_answer
        if following is None or (self.model is not None and self.model.lower() != following.label):
            return self.model or "model: automatic"
        return f"{following.label} ({following.reason})" if following.label else following.reason

    @work(thread=True, group="next", exclusive=True)
    def find_next_answer(self) -> None:
        """Find out which model answers next, and offer a better one that is installed."""
        from edgechat.tui.session.next_answer import next_answer  # noqa: PLC0415 - 0.3 s that the first frame need not wait for

        try:
            found = next_answer(self._paths, self._config, self.model, self.answered_by)
        except EdgechatError as error:
            found = NextAnswer("", clean_line(error.message))
        if self.is_attached and self.app.is_running:
            self.app.call_from_thread(self._show_next_answer, found)

    def _show_next_answer(self, found: NextAnswer) -> None:
        was, self.next_answer = self.next_answer, found
        self._show_title()
        if found.better is not None and (was is None or was.better != found.better) and not self.banner.text:
            self.banner.show(f"{found.better} is installed and better for this board than {found.label}: F10 uses it.")
        self.refresh_bindings()

    def action_use_better(self) -> None:
        """Use the better model that was offered."""
        if self.next_answer is not None and self.next_answer.better is not None:
            self.use(self.next_answer.better)

    def on_screen_resume(self) -> None:
        """Models may have been added or removed on another screen."""
        if self.next_answer is not None:
            self.find_next_answer()
