"""The app: themes, keys and screens, and the one factory that makes it, for the command and for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from edgechat import config as settings
from edgechat.errors import StateError
from edgechat.tui import preferences
from edgechat.tui.keeping import Keeper
from edgechat.tui.messages import NotKept
from edgechat.tui.screens.chat import ChatScreen
from edgechat.tui.themes import THEMES

if TYPE_CHECKING:
    from edgechat.config import Config
    from edgechat.paths import Paths


class EdgechatApp(App[None]):
    """The terminal UI.

    Args:
        paths: whose models and conversations.
        config: settings that hold for every question.
        chosen: theme and keys.
    """

    TITLE = "edgechat"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "toggle_help", "Keys", id="app.help", tooltip="All keys of this place"),
        Binding("ctrl+q", "quit", "Quit", id="app.quit", priority=True, tooltip="Leave; everything is kept"),
    ]

    def __init__(self, paths: Paths, config: Config, chosen: preferences.Preferences) -> None:
        super().__init__()
        self._paths = paths
        self._chosen = chosen
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = chosen.theme if chosen.theme in self.available_themes else THEMES[0].name
        self.set_keymap(dict(chosen.keys))
        self.keeper = Keeper(paths, self._on_fault)
        self.chat = ChatScreen(paths, self.keeper, config)

    def on_mount(self) -> None:
        """Open the chat."""
        self.push_screen(self.chat)
        if self.keeper.fault is not None:
            self.chat.post_message(NotKept(self.keeper.fault))
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))

    def on_unmount(self) -> None:
        """Close the history."""
        self.chat.dialogue.close()
        self.keeper.close()

    def _on_fault(self, error: StateError) -> None:
        self.chat.post_message(NotKept(error))

    def _keep_theme(self, name: str) -> None:
        if name == self._chosen.theme:
            return
        self._chosen = replace(self._chosen, theme=name)
        try:
            preferences.write(self._paths, self._chosen)
        except StateError as error:
            self.chat.banner.say(f"The theme holds until you leave: {error.message}")

    def action_toggle_help(self) -> None:
        """Show or hide the keys of what has the focus."""
        if self.screen.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()


def make_app(paths: Paths, *, config: Config | None = None) -> EdgechatApp:
    """The app for one user's directories.

    Raises:
        UsageError: ``config.toml`` or the environment has a setting that does not exist or does not fit.
        StateError: ``config.toml`` or ``tui.json`` cannot be read.
    """
    config = settings.load(paths.config) if config is None else config
    return EdgechatApp(paths, config, preferences.read(paths))
