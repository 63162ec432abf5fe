"""The app: themes, keys and screens, and the one factory that makes it, for the command and for tests."""

from __future__ import annotations

import gc
import signal
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from edgechat import config as settings
from edgechat.errors import ExitCode, StateError
from edgechat.garbage_collector import collect_normally
from edgechat.plaintext import clean_line
from edgechat.tui import markdown, preferences
from edgechat.tui.labels import trouble
from edgechat.tui.screens.chat import ChatScreen
from edgechat.tui.session.history_store import Keeper
from edgechat.tui.session.messages import NotKept
from edgechat.tui.themes import THEMES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from textual.screen import Screen

    from edgechat.config import Config
    from edgechat.paths import Paths

_CONVERSATIONS = 10_000
"""Looked through for what the removal of a model would touch."""


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
        Binding("f3", "models", "Models", id="app.models", tooltip="What this board can run; use, fetch, remove"),
        Binding("f4", "board", "Board", id="app.board", tooltip="What this machine is, and how it feels"),
        Binding("f5", "tasks", "Tasks", id="app.tasks", tooltip="Run a task: a form, or a file of many records"),
        Binding("f1", "toggle_help", "Keys", id="app.help", tooltip="All keys of this place"),
        Binding(
            "ctrl+q", "quit", "Quit", show=False, id="app.quit", priority=True, tooltip="Leave; everything is kept"
        ),
    ]

    def __init__(self, paths: Paths, config: Config, chosen: preferences.Preferences) -> None:
        super().__init__()
        self._paths = paths
        self._config = config
        self._chosen = chosen
        for theme in THEMES:
            self.register_theme(theme)
        look = chosen.theme if chosen.theme in self.available_themes else THEMES[0].name
        # Set as a change, it would have every style worked out twice before the first frame.
        self.set_reactive(EdgechatApp.theme, look)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_keymap(dict(chosen.keys))
        self._sigterm: Any = None
        self.keeper = Keeper(paths, self._on_fault)
        self.chat = ChatScreen(paths, self.keeper, config)

    def get_default_screen(self) -> ChatScreen:
        """The chat lies below all others. A blank screen below it would be laid out and drawn for nobody."""
        return self.chat

    def on_mount(self) -> None:
        """Look around once the chat is on screen."""
        self.chat.call_after_refresh(self._on_first_frame)
        if threading.current_thread() is threading.main_thread():
            # The command's own handler raises, which an event loop does not survive.
            self._sigterm = signal.signal(signal.SIGTERM, self._on_sigterm)
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))

    def on_unmount(self) -> None:
        """Close the history."""
        if self._sigterm is not None:
            signal.signal(signal.SIGTERM, self._sigterm)
        self.chat.dialogue.close()
        self.keeper.close()

    def _on_first_frame(self) -> None:
        if not gc.isenabled():
            # Switched off by ``edgechat.cli.tui`` for the start. The objects that exist now stay until the end; without
            # freezing them, collections would delay key presses.
            gc.freeze()
            gc.enable()
        collect_normally()
        self._look_around()

    @work(thread=True)
    def _look_around(self) -> None:
        """What takes a disk, behind the first frame: the history, and whether there is a model."""
        from edgechat.models.store.installed import installed  # noqa: PLC0415 - as said above

        assert self.keeper.history  # noqa: S101 - opens it
        markdown.parser()  # and what the first answer on the screen would otherwise wait for
        if self._config.model is not None:
            return
        try:
            has_model = bool(installed(self._paths))
        except StateError as error:
            if self.is_running:
                self.call_from_thread(self.chat.banner.say, trouble(error), is_trouble=True)
            return
        if not has_model and self.is_running:
            self.call_from_thread(self.action_welcome)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        """Leave as on Ctrl+Q, with the terminal as it was."""
        self.exit(return_code=int(ExitCode.TERMINATED))

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

    def action_models(self) -> None:
        """What this board can run."""
        from edgechat.tui.screens.models import ModelsScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self.screen is self.chat:
            listed = partial(self.keeper.history.conversations, _CONVERSATIONS)
            self.push_screen(ModelsScreen(self._paths, self._config, self.chat.model, listed), self.chat.use)

    def action_welcome(self) -> None:
        """The ways to a first model."""
        from edgechat.tui.screens.first_run import FirstRunScreen  # noqa: PLC0415 - as said above

        if self.screen is self.chat:
            self.push_screen(FirstRunScreen(self._paths, self._config), self._welcomed)

    def _welcomed(self, chosen: str | None) -> None:
        if chosen == "models":
            self.action_models()
        else:
            self.chat.use(chosen)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Other places are reached from the chat: elsewhere their keys would only crowd the footer."""
        if action in {"models", "board", "tasks"}:
            return self.screen_stack != [] and self.screen is self.chat
        return super().check_action(action, parameters)

    def action_board(self) -> None:
        """What this machine is, and how it feels."""
        from edgechat.tui.screens.board import BoardScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self.screen is self.chat:
            self.push_screen(BoardScreen(self._paths, self._config))

    def action_tasks(self) -> None:
        """Run a task."""
        from edgechat.tui.screens.tasks import TasksScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self.screen is self.chat:
            self.push_screen(TasksScreen(self._paths, self._config, self.chat.model))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers: the keys of this place first, then the app's own."""
        seen = set()
        for _, binding, is_enabled, _ in screen.active_bindings.values():
            if is_enabled and binding.tooltip and binding.action not in seen:
                seen.add(binding.action)
                run = partial(self.run_action, binding.action, screen)
                yield SystemCommand(binding.description, binding.tooltip, run)
        for command in super().get_system_commands(screen):
            if command.title in {"Theme", "Screenshot"}:
                yield command

    def action_toggle_help(self) -> None:
        """All keys: of this place, of what stands in it, of the app."""
        from edgechat.tui.screens.keys import KeysScreen, rows  # noqa: PLC0415 - opened now and then
        from edgechat.tui.widgets.composer import Composer  # noqa: PLC0415
        from edgechat.tui.widgets.message_view import MessageView  # noqa: PLC0415
        from edgechat.tui.widgets.sidebar import ConversationList  # noqa: PLC0415

        if isinstance(self.screen, ModalScreen):
            return
        own = dict(self._chosen.keys)
        groups = [("Here", rows(type(self.screen).BINDINGS, own))]
        if self.screen is self.chat:
            groups.insert(0, ("Writing", [*rows(Composer.BINDINGS, own), ("↑ ↓", "Earlier questions, and back")]))
            groups.append(("Everywhere", [*rows(self.BINDINGS, own), ("Ctrl+P", "All commands, and themes")]))
            groups.append(("On a message (Ctrl+↑)", rows(MessageView.BINDINGS, own)))
            groups.append(("In the list of talks (F2)", rows(ConversationList.BINDINGS, own)))
        else:
            groups.append(("Everywhere", [("Ctrl+P", "All commands, and themes"), ("Ctrl+Q", "Leave")]))
        where = f"Esc closes this. Other keys: {self._paths.config / preferences.FILE} (docs/terminal.md)"
        self.push_screen(KeysScreen(groups, clean_line(where)))


def make_app(paths: Paths, *, config: Config | None = None) -> EdgechatApp:
    """The app for one user's directories.

    Raises:
        UsageError: ``config.toml`` or the environment has a setting that does not exist or does not fit.
        StateError: ``config.toml`` or ``tui.json`` cannot be read.
    """
    config = settings.load(paths.config) if config is None else config
    return EdgechatApp(paths, config, preferences.read(paths))
