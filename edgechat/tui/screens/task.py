"""The task screen: the form of one task, and its run in a thread with progress and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.screens.task_file import TaskFileScreen
from edgechat.tui.screens.task_result import TaskResultScreen
from edgechat.tui.session.task_runner import TaskWorker
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.form import Form
from edgechat.tui.widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tasks.contract import Task
    from edgechat.tasks.result import TaskResult


class TaskScreen(DismissedOnce, Screen[None]):
    """The form of one task, made from its input schema."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="task.back", tooltip="Stop the run, else back to the tasks"),
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
        self._status = Static("", id="doing", markup=False)
        self.banner = Banner()
        self.task_run: TaskWorker | None = None
        self.result_screen: TaskResultScreen | None = None

    def compose(self) -> ComposeResult:
        """Yield the heading, the form, errors and progress."""
        yield Static(Content(_head(self.of)), id="head", markup=False)
        yield self.form
        yield self._whole
        yield self.banner
        yield self._status
        yield KeyFooter()

    def on_mount(self) -> None:
        """Focus the first field."""
        self.form.focus_first()

    def on_unmount(self) -> None:
        """Cancel a running task."""
        if self.task_run is not None:
            self.task_run.cancel()

    def on_form_validated(self, event: Form.Validated) -> None:
        """Show whether the record is valid, and the errors that belong to no field."""
        event.stop()
        self._whole.update(Content(event.whole))
        self._whole.display = bool(event.whole)
        if self.task_run is None:
            self._show_status(
                "Ctrl+R runs it."
                if not event.n_errors
                else f"* must be filled in · {event.n_errors} to fill in or mend"
            )

    def _show_status(self, words: str) -> None:
        self._status.update(Content(clean_line(words)))

    # Actions

    def action_leave(self) -> None:
        """Cancel a running task, else go back."""
        if self.task_run is not None:
            self.task_run.cancel()
            self._show_status("stopping")
        else:
            self.dismiss(None)

    async def action_example(self) -> None:
        """Fill in the task's example."""
        await self._refill(dict(self.of.example))

    async def action_clear(self) -> None:
        """Empty the form."""
        await self._refill({})

    async def _refill(self, values: dict[str, Any]) -> None:
        old, self.form = self.form, Form(self.of, values)
        await self.mount(self.form, after=old)
        await old.remove()
        self.form.focus_first()

    def action_file(self) -> None:
        """Open the screen that runs a file of records."""
        self.app.push_screen(TaskFileScreen(self.of, self._paths, self._config, self._model))

    def action_run(self) -> None:
        """Run the task, if the record is valid."""
        if self.task_run is not None:
            self.banner.show("One record at a time: Esc stops this one.")
            return
        if not self.form.validate(is_strict=True):
            self.banner.show("Not yet: the errors are shown under the fields.", is_error=True)
            self.form.focus_first(with_error=True)
            return
        self.banner.clear()
        app = self.app
        self.task_run = TaskWorker(
            self._paths,
            self._config,
            self._model,
            report=lambda words: app.call_from_thread(self._show_progress, words),
            show_partial=lambda done: app.call_from_thread(self._show_partial, done),
        )
        self.result_screen = None
        self._show_progress("beginning")
        self._run(self.task_run, self.form.record())

    @work(thread=True, group="task_run")
    def _run(self, task_run: TaskWorker, record: dict[str, Any]) -> None:
        done: TaskResult | None = None
        error: EdgechatError | None = None
        try:
            done = task_run.run(self.of, record)
        except EdgechatError as caught:
            error = caught
        if self.is_attached:
            self.app.call_from_thread(self._finish, done, error)

    def _show_partial(self, done: TaskResult) -> None:
        """Show the result of the rules at once; the model's part is added to it."""
        if done.result is None or self.task_run is None:
            return
        if self.result_screen is None:
            self.result_screen = TaskResultScreen(self.of, done, stop=self.task_run.cancel)
            self.app.push_screen(self.result_screen)
        else:
            self.result_screen.show(done)

    def _show_progress(self, words: str) -> None:
        self._show_status(f"{words} · Esc stops")
        if self.result_screen is not None:
            self.result_screen.show_progress(words)

    def _finish(self, done: TaskResult | None, error: EdgechatError | None) -> None:
        was_stopped = self.task_run is not None and self.task_run.is_cancelled
        shown, self.result_screen = self.result_screen, None
        self.task_run = None
        self._show_status("Ctrl+R runs it.")
        if error is not None:
            self.banner.show_error(error)
            if shown is not None:
                shown.end("The model failed; this is the result of the rules.", error=error)
        elif shown is not None:
            shown.show(done or shown.done)
            shown.end("Stopped: this is the result of the rules, without the model's part." if was_stopped else "")
        elif done is None:
            self.banner.show("Stopped; nothing was kept.")
        else:
            self.banner.clear()
            self.app.push_screen(TaskResultScreen(self.of, done))


def _head(task: Task[Any, Any]) -> str:
    words = (task.input_model.__doc__ or "").partition("\n")[0]
    return clean_line(f"{task.name}: {words} F6 fills in an example.")
