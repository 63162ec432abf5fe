"""The app: themes, global key bindings, screens, and the factory that creates it for the command and for tests."""

from __future__ import annotations

import gc
import signal
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from edgechat import config as settings
from edgechat.errors import ExitCode, StateError
from edgechat.garbage_collector import collect_normally
from edgechat.plaintext import clean_line
from edgechat.tui import markdown, preferences
from edgechat.tui.screens.chat import ChatScreen
from edgechat.tui.session.history_store import HistoryStore
from edgechat.tui.session.messages import SavingFailed
from edgechat.tui.themes import DEFAULT, role_colours, themes_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from textual.app import SystemCommand
    from textual.driver import Driver
    from textual.screen import Screen

    from edgechat.config import Config
    from edgechat.paths import Paths

_MAX_CONVERSATIONS = 10_000
"""Conversations that are searched for a model before it is removed."""

_SCREENS = frozenset(("chats", "models", "board", "tasks"))
"""Actions that open another screen."""


class EdgechatApp(App[None]):
    """The terminal UI."""

    TITLE = "edgechat"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    ToastRack { dock: top; align: right top; margin: 1 0 0 0; max-height: 30%; }
    TextArea > .text-area--placeholder, Input > .input--placeholder, Input > .input--suggestion { color: $text-muted; }
    TextArea > .text-area--cursor { color: $background; background: $foreground; }
    SelectCurrent Static#label, SelectCurrent .arrow { color: $text-muted; }
    SelectCurrent.-has-value Static#label { color: $foreground; }
    """
    """Toasts at the upper edge: at the lower one they cover the field. Textual's own placeholders have a contrast of 3
    and less to light areas."""
    NOTIFICATION_TIMEOUT = 4.0
    """Seconds that a toast is shown."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "chats", "Chats", id="app.chats", tooltip="Back to the chat, and all conversations"),
        Binding("f3", "models", "Models", id="app.models", tooltip="Models for this board: use, download, remove"),
        Binding("f4", "board", "Board", id="app.board", tooltip="This machine: load, temperature, memory"),
        Binding("f5", "tasks", "Tasks", id="app.tasks", tooltip="Run a task: a form, or a file of many records"),
        Binding("f1", "toggle_help", "Keys", id="app.help", tooltip="All keys of this screen"),
        Binding(
            "ctrl+q", "quit", "Quit", show=False, id="app.quit", priority=True, tooltip="Quit; everything is saved"
        ),
    ]

    def __init__(self, paths: Paths, config: Config, chosen: preferences.Preferences) -> None:
        super().__init__()
        self._paths = paths
        self._config = config
        self._chosen = chosen
        for theme in themes_for(self.console.color_system):
            self.register_theme(theme)
        theme_name = chosen.theme if chosen.theme in self.available_themes else DEFAULT
        # Set without a change event, which would compute every style twice before the first frame.
        self.set_reactive(EdgechatApp.theme, theme_name)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_keymap(dict(chosen.keys))
        self._sigterm: Any = None
        self.store = HistoryStore(paths, self._post_saving_failed)
        self.chat = ChatScreen(paths, self.store, config, chosen.presets)

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice; in a terminal, a driver that survives any input."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from edgechat.tui.terminal_input import TerminalDriver  # noqa: PLC0415 - not on Windows

        return TerminalDriver

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Variables for themes that do not define them, as Textual's own."""
        return role_colours(self.current_theme)

    @property
    def defect(self) -> Exception | None:
        """The error that ended the app; None when it ended as it should."""
        return self._exception

    def _fatal_error(self) -> None:
        """Leave the report to the command, which writes it to a file. Textual would print it and every variable."""
        self._close_messages_no_wait()

    def get_default_screen(self) -> ChatScreen:
        """The chat is the lowest screen. Textual's blank default screen would only cost a layout and a frame."""
        return self.chat

    def on_mount(self) -> None:
        """Install the signal handler; read the disk after the first frame."""
        self.chat.call_after_refresh(self._on_first_frame)
        if threading.current_thread() is threading.main_thread():
            # The command's own handler raises an exception, which would end the event loop.
            self._sigterm = signal.signal(signal.SIGTERM, self._on_sigterm)
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))

    def on_unmount(self) -> None:
        """Close the history."""
        if self._sigterm is not None:
            signal.signal(signal.SIGTERM, self._sigterm)
        self.chat.session.close()
        self.store.close()

    def _on_first_frame(self) -> None:
        if not gc.isenabled():
            # Switched off by ``edgechat.cli.tui`` for the start. The objects that exist now stay until the end; without
            # freezing them, collections would delay key presses.
            gc.freeze()
            gc.enable()
        collect_normally()
        self._read_disk()

    @work(thread=True)
    def _read_disk(self) -> None:
        """Open the history and look for a model; in a thread, because a disk may be slow."""
        from edgechat.models.store.installed import installed  # noqa: PLC0415 - the first frame need not wait for it

        assert self.store.history  # noqa: S101 - opens the history
        if self.is_running:
            self.call_from_thread(self.chat.find_next_answer)
        markdown.parser()  # created here, so that the first answer need not wait for it
        if self._config.model is not None:
            return
        try:
            has_model = bool(installed(self._paths))
        except StateError as error:
            if self.is_running:
                self.call_from_thread(self.chat.banner.show_error, error)
            return
        if not has_model and self.is_running:
            self.call_from_thread(self.action_welcome)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        """Quit as with Ctrl+Q, which restores the terminal."""
        self.exit(return_code=int(ExitCode.TERMINATED))

    def _post_saving_failed(self, error: StateError) -> None:
        self.chat.post_message(SavingFailed(error))

    def _keep_theme(self, name: str) -> None:
        if name == self._chosen.theme:
            return
        self._chosen = replace(self._chosen, theme=name)
        try:
            preferences.write(self._paths, self._chosen)
        except StateError as error:
            self.chat.banner.show(f"The theme is not saved and holds until you quit: {error.message}")

    def action_models(self) -> None:
        """Open the models screen."""
        from edgechat.tui.screens.models import ModelsScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self._may_open():
            listed = partial(self.store.history.conversations, _MAX_CONVERSATIONS)
            self._switch(ModelsScreen(self._paths, self._config, self.chat.model, listed), self.chat.use)

    async def action_chats(self) -> None:
        """Go back to the chat and open the list of conversations."""
        if self.screen is not self.chat and self._may_open():
            self.screen.dismiss(None)
            await self.chat.show_conversations()

    def action_welcome(self) -> None:
        """Open the first-run screen."""
        from edgechat.tui.screens.first_run import FirstRunScreen  # noqa: PLC0415 - the first frame need not wait for it

        if self.screen is self.chat:
            self.push_screen(FirstRunScreen(self._paths, self._config), self._welcomed)

    def _welcomed(self, chosen: str | None) -> None:
        if chosen == "models":
            self.action_models()
        else:
            self.chat.use(chosen)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the other screens in the chat and on each other; elsewhere their keys would crowd the footer."""
        if action in _SCREENS:
            # The chat has a key of its own for the list of chats, which also closes it.
            return self.screen_stack != [] and self._may_open() and not (action == "chats" and self.screen is self.chat)
        return super().check_action(action, parameters)

    def _may_open(self) -> bool:
        """Whether another screen may be opened from this one."""
        from edgechat.tui.dialogs.dismissal import SwitchableScreen  # noqa: PLC0415

        return self.screen is self.chat or (isinstance(self.screen, SwitchableScreen) and self.screen.may_switch)

    def _switch(self, screen: Screen[Any], done: Callable[[Any], None] | None = None) -> None:
        """Open a screen above the chat, in place of the one that may be there."""
        if self.screen is not self.chat:
            self.screen.dismiss(None)
        self.push_screen(screen, done)

    async def action_quit(self) -> None:
        """Quit; ask first while an answer or a task is running."""
        running = self._unfinished()
        if running is None:
            self.exit()
        elif not isinstance(self.screen, ModalScreen):
            from edgechat.tui.dialogs.questions import Confirm  # noqa: PLC0415 - opened rarely

            self.push_screen(Confirm(f"{running} Quit all the same?", yes="Quit", no="Stay"), self._quit)

    def _unfinished(self) -> str | None:
        """What would be interrupted by quitting; None when nothing runs."""
        if self.chat.is_answering:
            return "An answer is still being written; what there is of it stays saved."
        for screen in self.screen_stack:
            if getattr(screen, "task_run", None) is not None:
                return "A task is running; its result would be lost."
            if getattr(screen, "running", None) is not None:
                return "A file of records is being run; finished records are kept, and the run can be resumed."
        return None

    def _quit(self, is_sure: bool | None) -> None:
        if is_sure:
            self.exit()

    def action_board(self) -> None:
        """Open the board screen."""
        from edgechat.tui.screens.board import BoardScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self._may_open():
            self._switch(BoardScreen(self._paths, self._config))

    def action_tasks(self) -> None:
        """Open the tasks screen."""
        from edgechat.tui.screens.tasks import TasksScreen  # noqa: PLC0415 - pydantic's 0.3 s

        if self._may_open():
            self._switch(TasksScreen(self._paths, self._config, self.chat.model))

    def action_command_palette(self) -> None:
        """Open the command palette."""
        from textual.command import CommandPalette  # noqa: PLC0415

        from edgechat.tui.dialogs.command_palette import Palette  # noqa: PLC0415 - opened rarely

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Entries of the command palette."""
        from edgechat.tui.dialogs.command_palette import entries  # noqa: PLC0415 - opened rarely

        return entries(self, screen, super().get_system_commands(screen))

    def action_toggle_help(self) -> None:
        """Open the key help: the bindings of the current screen, of its widgets, and of the app."""
        from edgechat.tui.dialogs.key_help import KeyHelpScreen, key_rows  # noqa: PLC0415 - opened rarely
        from edgechat.tui.widgets.composer import Composer  # noqa: PLC0415
        from edgechat.tui.widgets.conversation_list import ConversationList  # noqa: PLC0415
        from edgechat.tui.widgets.message_view import MessageView  # noqa: PLC0415

        if isinstance(self.screen, ModalScreen):
            return
        own = dict(self._chosen.keys)
        groups = [("Here", key_rows(type(self.screen).BINDINGS, own))]
        focused = self.chat.focused
        if self.screen is self.chat:
            groups.insert(0, ("Writing", [*key_rows(Composer.BINDINGS, own), ("↑ ↓", "Earlier questions, and back")]))
            here = [each for each in self.BINDINGS if not isinstance(each, Binding) or each.action != "chats"]
            groups.append(("Everywhere", [*key_rows(here, own), ("Ctrl+P", "All commands, and themes")]))
            groups.append(("On a message (Ctrl+↑)", key_rows(MessageView.BINDINGS, own)))
            groups.append(("In the list of chats (F2)", key_rows(ConversationList.BINDINGS, own)))
            if isinstance(focused, MessageView):
                groups.insert(0, groups.pop(-2))  # the keys of the place that has the focus come first
            elif self.chat.sidebar.has_focus_within:
                groups.insert(0, groups.pop())
        else:
            others = [("Ctrl+P", "All commands, and themes"), ("Ctrl+Q", "Quit")]
            if self._may_open():
                active = self.screen.active_bindings.values()
                switches = [each.binding for each in active if each.node is self and each.binding.action in _SCREENS]
                others = [*key_rows(switches, own), *others]
            groups.append(("Everywhere", others))
        where = f"Esc closes this. Other keys: {self._paths.config / preferences.FILE} (docs/terminal.md)"
        self.push_screen(KeyHelpScreen(groups, clean_line(where)))


def make_app(paths: Paths, *, config: Config | None = None) -> EdgechatApp:
    """Create the app for one user's directories.

    Raises:
        UsageError: ``config.toml`` or the environment has a setting that does not exist or does not fit.
        StateError: ``config.toml`` or ``tui.json`` cannot be read.
    """
    config = settings.load(paths.config) if config is None else config
    return EdgechatApp(paths, config, preferences.read(paths))
