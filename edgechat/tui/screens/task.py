"""One task: its form, judged as one types, then its run in a thread, with progress and a way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.task_file import TaskFileScreen
from edgechat.tui.screens.task_result import TaskResultScreen
from edgechat.tui.session.task_runner import Errand
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.form import Form
from edgechat.tui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult


class TaskScreen(Screen[None]):
    """The form of one task, made from its input schema."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="task.back", tooltip="Stop what runs, else back to the tasks"),
        Binding("ctrl+r", "run", "Run", priority=True, id="task.run", tooltip="Run the task over this record"),
        Binding("f6", "example", "Example", priority=True, id="task.example", tooltip="Fill in the task's example"),
        Binding("f7", "file", "File", priority=True, id="task.file", tooltip="Run a file of many records"),
        Binding("f8", "clear", "Clear", priority=True, id="task.clear", tooltip="Empty the form"),
    ]

    DEFAULT_CSS = """
    TaskScreen #head { height: auto; padding: 0 1; background: $panel; }
    TaskScreen #whole { height: auto; max-height: 4; padding: 0 1; color: $text-error; display: none; }
    TaskScreen #doing { height: 1; padding: 0 1; color: $text-accent; }
    """

    def __init__(self, task: Task[Any, Any], paths: Paths, config: Config, model: str | None) -> None:
        super().__init__()
        self.of = task
        self._paths, self._config, self._model = paths, config, model
        self.form = Form(task)
        self._whole = Static("", id="whole", markup=False)
        self._doing = Static("", id="doing", markup=False)
        self.banner = Banner()
        self.errand: Errand | None = None

    def compose(self) -> ComposeResult:
        """What it is, the form, what is being done."""
        yield Static(Content(_head(self.of)), id="head", markup=False)
        yield self.form
        yield self._whole
        yield self.banner
        yield self._doing
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin in the first field."""
        self.form.focus_first()

    def on_unmount(self) -> None:
        """What runs ends with its screen."""
        if self.errand is not None:
            self.errand.cancel()

    def on_form_judged(self, event: Form.Judged) -> None:
        """Say whether it can be run, and what is wrong with no field in particular."""
        event.stop()
        self._whole.update(Content(event.whole))
        self._whole.display = bool(event.whole)
        if self.errand is None:
            self._tell(
                "Ctrl+R runs it." if not event.wrong else f"* must be filled in · {event.wrong} to fill in or mend"
            )

    def _tell(self, words: str) -> None:
        self._doing.update(Content(clean_line(words)))

    # Actions

    def action_leave(self) -> None:
        """Stop what runs, else go back."""
        if self.errand is not None:
            self.errand.cancel()
            self._tell("stopping")
        else:
            self.dismiss(None)

    async def action_example(self) -> None:
        """Fill in the task's own example."""
        await self._refill(dict(self.of.example))

    async def action_clear(self) -> None:
        """Begin anew."""
        await self._refill({})

    async def _refill(self, values: dict[str, Any]) -> None:
        old, self.form = self.form, Form(self.of, values)
        await self.mount(self.form, after=old)
        await old.remove()
        self.form.focus_first()

    def action_file(self) -> None:
        """A file of many records."""
        self.app.push_screen(TaskFileScreen(self.of, self._paths, self._config, self._model))

    def action_run(self) -> None:
        """Run it, if the form is right."""
        if self.errand is not None:
            self.banner.say("One record at a time: Esc stops this one.")
            return
        if not self.form.judge(is_strict=True):
            self.banner.say("Not yet: what is wrong stands under the fields.", is_trouble=True)
            self.form.focus_first(is_wrong=True)
            return
        self.banner.clear()
        app = self.app
        self.errand = Errand(
            self._paths,
            self._config,
            self._model,
            tell=lambda words: app.call_from_thread(self._tell, f"{words} · Esc stops"),
            show=lambda done: app.call_from_thread(self._show_so_far, done),
        )
        self._tell("beginning · Esc stops")
        self._run(self.errand, self.form.record())

    @work(thread=True, group="errand")
    def _run(self, errand: Errand, record: dict[str, Any]) -> None:
        done: TaskResult | None = None
        fault: EdgechatError | None = None
        try:
            done = errand.run(self.of, record)
        except EdgechatError as error:
            fault = error
        if self.is_attached:
            self.app.call_from_thread(self._ran, done, fault)

    def _show_so_far(self, done: TaskResult) -> None:
        if done.result is not None:
            self.banner.say("The rules have spoken; the model is writing its part.")

    def _ran(self, done: TaskResult | None, fault: EdgechatError | None) -> None:
        self.errand = None
        self._tell("Ctrl+R runs it.")
        if fault is not None:
            self.banner.say(trouble(fault), is_trouble=True)
        elif done is None:
            self.banner.say("Stopped; nothing was kept.")
        else:
            self.banner.clear()
            self.app.push_screen(TaskResultScreen(self.of, done))


def _head(task: Task[Any, Any]) -> str:
    words = (task.input_model.__doc__ or "").partition("\n")[0]
    return clean_line(f"{task.name}: {words} F6 fills in an example.")
