"""Chat screen actions on settings: system prompt and sampling of the conversation, thinking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.tui.screens.chat_base import ChatBaseScreen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.config import Config
    from edgechat.tui.dialogs.chat_settings import ChatSettings


class SettingsActions(ChatBaseScreen):
    """Settings of the conversation on screen, or of the next one."""

    _config: Config
    presets: Mapping[str, str]
    """The user's own system prompts, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.thinks = False
        self._system = ""
        """System prompt of the next new conversation."""
        self._sampling: Mapping[str, float] = {}
        """Sampling parameters of the next new conversation."""

    @property
    def sampling(self) -> dict[str, float]:
        """What was set for this conversation, and below it what ``config.toml`` sets; with ``max_tokens``."""
        config = {"temperature": self._config.temperature, "max_tokens": self._config.max_tokens}
        own = self.conversation.sampling if self.conversation else self._sampling
        return {**{name: value for name, value in config.items() if value is not None}, **own}

    def action_think(self) -> None:
        """Let models that can think do so before they answer, or not, from the next question on."""
        self.thinks = not self.thinks
        self._show_title()

    def action_settings(self) -> None:
        """Edit the system prompt and the sampling parameters."""
        from edgechat.tui.dialogs.chat_settings import ChatSettings, ChatSettingsDialog  # noqa: PLC0415 - when needed

        system = self.conversation.system if self.conversation else self._system
        sampling = self.conversation.sampling if self.conversation else self._sampling
        self.app.push_screen(ChatSettingsDialog(ChatSettings(system, sampling), self.presets), self._set_settings)

    def _set_settings(self, chosen: ChatSettings | None) -> None:
        if chosen is None:
            return
        if self.conversation is None:
            self._system, self._sampling = chosen.system, chosen.sampling
        else:
            history, number = self._store.history, self.conversation.id
            try:
                history.set_system(number, chosen.system)
                self.conversation = history.set_sampling(number, chosen.sampling)
            except EdgechatError as error:
                self.show_error(error)
        self._show_title()
