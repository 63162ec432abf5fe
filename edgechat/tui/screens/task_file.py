"""A file of many records through one task: where from, where to, how far. The run is that of ``edgechat run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from edgechat.errors import EdgechatError, UsageError
from edgechat.files import replaceable
from edgechat.plaintext import clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.dialogs import Confirm
from edgechat.tui.session.task_runner import Batch, Order, Pace
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tasks.batch.job import JobReport
    from edgechat.tasks.contract import Task

_BAR = 30
_HINT = """Each line of a .jsonl file, each row of a .csv file, is a record. The output's ending says its form:
.jsonl, .csv, .json. Fields are set for every record: target=ja source=en
A run that is stopped, or killed, keeps what was done beside the output and goes on from there."""


class TaskFileScreen(Screen[None]):
    """Runs a batch."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="batch.back", tooltip="Stop the run, else back to the form"),
        Binding("ctrl+r", "run", "Run", priority=True, id="batch.run", tooltip="Run the file, or go on with it"),
    ]

    DEFAULT_CSS = """
    TaskFileScreen #head { height: auto; padding: 0 1; background: $panel; }
    TaskFileScreen VerticalScroll { height: 1fr; padding: 0 1; }
    TaskFileScreen Horizontal { height: 1; }
    TaskFileScreen .label { width: 22; }
    TaskFileScreen Input { width: 1fr; background: $surface; }
    TaskFileScreen Input:focus { background: $panel; }
    TaskFileScreen .hint { color: $text-muted; height: auto; margin: 1 0; }
    TaskFileScreen #bar { height: 2; color: $text-accent; padding: 0 1; }
    """

    def __init__(self, task: Task[Any, Any], paths: Paths, config: Config, model: str | None) -> None:
        super().__init__()
        self.of = task
        self._paths, self._config, self._model = paths, config, model
        self.source = Input(placeholder="records.jsonl or records.csv", compact=True)
        self.out = Input(placeholder="where the results go", compact=True)
        self.fields = Input(placeholder="none", compact=True)
        self._bar = Static("", id="bar", markup=False)
        self._proposed = ""
        self.banner = Banner()
        self.running: Batch | None = None

    def compose(self) -> ComposeResult:
        """Three lines to fill in, the bar."""
        yield Static(Content(clean_line(f"{self.of.name} over a file of records")), id="head", markup=False)
        with VerticalScroll(can_focus=False):
            for label, editor in (("Input file *", self.source), ("Output file *", self.out), ("Fields", self.fields)):
                with Horizontal():
                    yield Static(Content(label), classes="label", markup=False)
                    yield editor
            yield Static(Content(_HINT), classes="hint", markup=False)
        yield self._bar
        yield self.banner
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin with the input."""
        self.source.focus()

    def on_unmount(self) -> None:
        """What runs ends with its screen; its journal stays."""
        if self.running is not None:
            self.running.cancel()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Propose a name for the output as the input is named."""
        event.stop()
        if event.input is not self.source or self.out.value not in {"", self._proposed}:
            return
        name = event.value.strip()
        path = Path(name)
        self._proposed = str(path.with_name(f"{path.stem}.results.jsonl")) if path.name else ""
        self.out.value = self._proposed

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes on to the next line, and from the last one runs it."""
        event.stop()
        if event.input is self.fields:
            self.action_run()
        else:
            self.focus_next()

    def action_leave(self) -> None:
        """Stop the run, else go back."""
        if self.running is not None:
            self.running.cancel()
            self._bar.update(Content("stopping"))
        else:
            self.dismiss(None)

    def action_run(self) -> None:
        """Run it, after asking what to do with an interrupted run or an output that is there."""
        if self.running is not None:
            self.banner.say("It is running: Esc stops it.")
            return
        source, out = self.source.value.strip(), self.out.value.strip()
        if not source or not out:
            self.banner.say("Name an input file and an output file.", is_trouble=True)
            (self.out if source else self.source).focus()
            return
        try:
            order = Order(_place(source), replaceable(_place(out)), self.fields.value)
        except EdgechatError as error:
            self.banner.say(trouble(error), is_trouble=True)
            self.out.focus()
            return
        if order.journal.exists():
            question = f"An earlier run to {order.out.name} was interrupted. Go on with it?\nNo leaves it as it is."
            self.app.push_screen(Confirm(question, yes="Go on", no="No"), lambda yes: self._resume(order, yes))
        elif order.out.exists():
            question = f"{order.out} is there already. Replace it when the run is done?"
            self.app.push_screen(Confirm(question, yes="Replace", no="No"), lambda yes: self._begin(order, yes))
        else:
            self._begin(order, is_sure=True)

    def _resume(self, order: Order, is_sure: bool | None) -> None:
        self._begin(Order(order.source, order.out, order.fields, is_resumed=True), is_sure)

    def _begin(self, order: Order, is_sure: bool | None) -> None:
        if not is_sure:
            return
        app = self.app
        self.banner.clear()
        self.running = Batch(
            self._paths,
            self._config,
            self._model,
            tell=lambda pace: app.call_from_thread(self._show, pace),
            note=lambda text: app.call_from_thread(self.banner.say, text),
        )
        self._bar.update(Content("beginning · Esc stops"))
        self._run(self.running, order)

    @work(thread=True, group="batch")
    def _run(self, batch: Batch, order: Order) -> None:
        report: JobReport | None = None
        fault: EdgechatError | None = None
        try:
            report = batch.run(self.of, order)
        except EdgechatError as error:
            fault = error
        if self.is_attached:
            self.app.call_from_thread(self._ran, order, report, fault)

    def _show(self, pace: Pace) -> None:
        failed = f" · {pace.not_ok} not ok" if pace.not_ok else ""
        if pace.total:
            share = min(1.0, pace.done / pace.total)
            filled = round(_BAR * share)
            words = f"{'▰' * filled}{'▱' * (_BAR - filled)} {pace.done:,} of {pace.total:,}{failed} · Esc stops"
        else:
            words = f"{pace.done:,} done{failed} · Esc stops"
        self._bar.update(Content(words))

    def _ran(self, order: Order, report: JobReport | None, fault: EdgechatError | None) -> None:
        self.running = None
        if fault is not None:
            self.banner.say(trouble(fault), is_trouble=True)
        elif report is None:
            self._bar.update(Content(""))
            self.banner.say("Stopped. What is done is kept beside the output; Ctrl+R goes on.")
        else:
            tally = report.tally
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.by_status.items()))
            self.banner.say(f"Done: {counts or 'no record'}. Written to {order.out}", is_trouble=bool(tally.not_ok))


def _place(typed: str) -> Path:
    """A path as a shell would read it.

    Raises:
        UsageError: it begins with a user that this machine does not have.
    """
    try:
        return Path(typed).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{typed}: there is no such user.", hint="Write the path in full.") from error
