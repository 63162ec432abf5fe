"""The tasks screen: a list of the installed tasks; Enter opens the form of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tasks.registry import InstalledTask, installed_tasks, load
from edgechat.tui.dialogs.dismissal import SwitchableScreen
from edgechat.tui.screens.task import TaskScreen
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.choice_list import ChoiceList
from edgechat.tui.widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.paths import Paths

_HEAD = (
    "Tasks turn a record into JSON that always fits their schema, or say what is wrong. Enter opens the form of the "
    "one that is marked; a file of many records is run from there."
)


class TasksScreen(SwitchableScreen, Screen[None]):
    """Names and descriptions of the tasks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f5", "dismiss", "Back", id="tasks.back", tooltip="Back to the chat"),
    ]

    DEFAULT_CSS = """
    TasksScreen #head { height: auto; padding: 0 1; background: $panel; }
    TasksScreen OptionList { height: 1fr; border: none; padding: 1 0; background: transparent; }
    """

    def __init__(self, paths: Paths, config: Config, model: str | None) -> None:
        super().__init__()
        self._paths, self._config, self._model = paths, config, model
        self.list = ChoiceList(markup=False, compact=True)
        self.tasks: list[InstalledTask] = []
        self.banner = Banner()

    def compose(self) -> ComposeResult:
        """Yield an introduction and the list."""
        yield Static(Content(_HEAD), id="head", markup=False)
        yield self.list
        yield self.banner
        yield KeyFooter()

    def on_mount(self) -> None:
        """List the tasks, without importing them."""
        self.tasks = installed_tasks()
        self.list.add_options([Option(_line(task)) for task in self.tasks])
        if not self.tasks:
            self.banner.show("No task is installed, not even edgechat's own: reinstall edgechat.", is_error=True)
        self.list.focus()
        if self.tasks:
            self.list.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the form on Enter."""
        event.stop()
        self._open(self.tasks[event.option_index].name)

    @work(thread=True, group="load", exclusive=True)
    def _open(self, name: str) -> None:
        # In a thread: importing a task may take a second on a board, a plugin even longer.
        try:
            task = load(name)
        except EdgechatError as error:
            self.app.call_from_thread(self.banner.show_error, error)
            return
        screen = TaskScreen(task, self._paths, self._config, self._model)
        self.app.call_from_thread(self.app.push_screen, screen)


def _line(task: InstalledTask) -> Content:
    origin = "" if task.package == "edgechat" else f" ({task.package} {task.package_version})"
    return Content.assemble((clean_line(task.name), "bold"), "\n  ", clean_line(task.help + origin), "\n")
