"""The task file screen: run one task over a file of records, as ``edgechat run`` does, with progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from edgechat.errors import EdgechatError
from edgechat.files import replaceable
from edgechat.plaintext import clean_line
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.dialogs.questions import Confirm
from edgechat.tui.session.batch_preview import result_preview
from edgechat.tui.session.task_runner import BatchProgress, BatchRequest, BatchRun
from edgechat.tui.session.typed_path import typed_path
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.key_footer import KeyFooter
from edgechat.tui.widgets.line_input import PlainInput

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tasks.batch.job import JobReport
    from edgechat.tasks.contract import Task

_BAR = 30
_CELL = 60
"""Longest text of a cell in the table of results."""
_HINT = """Each line of a .jsonl file, each row of a .csv file, is a record. The output's ending says its form:
.jsonl, .csv, .json. Fields are set for every record: target=ja source=en
A run that is stopped, or killed, keeps what was done beside the output and goes on from there."""


class TaskFileScreen(DismissedOnce, Screen[None]):
    """Input file, output file, fields, and the progress of the run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="batch.back", tooltip="Stop the run, else back to the form"),
        Binding("ctrl+r", "run", "Run", priority=True, id="batch.run", tooltip="Run the file, or resume it"),
    ]

    DEFAULT_CSS = """
    TaskFileScreen #head { height: auto; padding: 0 1; background: $panel; }
    TaskFileScreen VerticalScroll { height: 1fr; padding: 0 1; }
    TaskFileScreen Horizontal { height: 1; }
    TaskFileScreen .label { width: 22; }
    TaskFileScreen Input { width: 1fr; background: $surface; }
    TaskFileScreen Input:focus { background: $panel; }
    TaskFileScreen .hint { color: $text-muted; height: auto; margin: 1 0; }
    TaskFileScreen DataTable { height: 2fr; display: none; background: transparent; }
    TaskFileScreen #bar { height: 2; color: $text-accent; padding: 0 1; }
    """

    def __init__(self, task: Task[Any, Any], paths: Paths, config: Config, model: str | None) -> None:
        super().__init__()
        self.of = task
        self._paths, self._config, self._model = paths, config, model
        self.source = PlainInput(placeholder="records.jsonl or records.csv", compact=True)
        self.out = PlainInput(placeholder="where the results go", compact=True)
        self.fields = PlainInput(placeholder="none", compact=True)
        self._bar = Static("", id="bar", markup=False)
        self._proposed = ""
        self._progress = ""
        self.results: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        self.banner = Banner()
        self.running: BatchRun | None = None

    def compose(self) -> ComposeResult:
        """Yield three fields and the progress bar."""
        yield Static(Content(clean_line(f"{self.of.name} over a file of records")), id="head", markup=False)
        with VerticalScroll(can_focus=False):
            for label, editor in (("Input file *", self.source), ("Output file *", self.out), ("Fields", self.fields)):
                with Horizontal():
                    yield Static(Content(label), classes="label", markup=False)
                    yield editor
            yield Static(Content(_HINT), classes="hint", markup=False)
        yield self.results
        yield self._bar
        yield self.banner
        yield KeyFooter()

    def on_mount(self) -> None:
        """Focus the input file."""
        self.source.focus()

    def on_unmount(self) -> None:
        """Cancel a running batch; its journal stays."""
        if self.running is not None:
            self.running.cancel()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Propose an output name for the input name."""
        event.stop()
        if event.input is not self.source or self.out.value not in {"", self._proposed}:
            return
        name = event.value.strip()
        path = Path(name)
        self._proposed = str(path.with_name(f"{path.stem}.results.jsonl")) if path.name else ""
        self.out.value = self._proposed

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Focus the next field on Enter; in the last one, start the run."""
        event.stop()
        if event.input is self.fields:
            self.action_run()
        else:
            self.focus_next()

    def action_leave(self) -> None:
        """Cancel the run, else go back."""
        if self.running is not None:
            self.running.cancel()
            self._bar.update(Content("stopping"))
        else:
            self.dismiss(None)

    def action_run(self) -> None:
        """Start the run; asks first about an interrupted run or an existing output file."""
        if self.running is not None:
            self.banner.show("It is running: Esc stops it.")
            return
        source, out = self.source.value.strip(), self.out.value.strip()
        if not source or not out:
            self.banner.show("Name an input file and an output file.", is_error=True)
            (self.out if source else self.source).focus()
            return
        try:
            request = BatchRequest(typed_path(source), replaceable(typed_path(out)), self.fields.value)
        except EdgechatError as error:
            self.banner.show_error(error)
            self.out.focus()
            return
        if request.journal.exists():
            question = f"An earlier run to {request.out.name} was interrupted. Go on with it?\nNo leaves it as it is."
            self.app.push_screen(Confirm(question, yes="Go on", no="No"), lambda yes: self._resume(request, yes))
        elif request.out.exists():
            question = f"{request.out} is there already. Replace it when the run is done?"
            self.app.push_screen(Confirm(question, yes="Replace", no="No"), lambda yes: self._begin(request, yes))
        else:
            self._begin(request, is_sure=True)

    def _resume(self, request: BatchRequest, is_sure: bool | None) -> None:
        self._begin(BatchRequest(request.source, request.out, request.fields, is_resumed=True), is_sure)

    def _begin(self, request: BatchRequest, is_sure: bool | None) -> None:
        if not is_sure:
            return
        app = self.app
        self.banner.clear()
        self.results.display = False
        self.running = BatchRun(
            self._paths,
            self._config,
            self._model,
            report=lambda progress: app.call_from_thread(self._show, progress),
            note=lambda text: app.call_from_thread(self.banner.show, text),
        )
        self._bar.update(Content("beginning · Esc stops"))
        self._run(self.running, request)

    @work(thread=True, group="batch")
    def _run(self, batch: BatchRun, request: BatchRequest) -> None:
        report: JobReport | None = None
        failure: EdgechatError | None = None
        try:
            report = batch.run(self.of, request)
        except EdgechatError as error:
            failure = error
        if self.is_attached:
            self.app.call_from_thread(self._finish, request, report, failure)

    def _show(self, progress: BatchProgress) -> None:
        failed = f" · {progress.not_ok} not ok" if progress.not_ok else ""
        if progress.total:
            share = min(1.0, progress.done / progress.total)
            filled = round(_BAR * share)
            words = f"{'▰' * filled}{'▱' * (_BAR - filled)} {progress.done:,} of {progress.total:,}{failed}"
        else:
            words = f"{progress.done:,} done{failed}"
        self._progress = words
        self._bar.update(Content(f"{words} · Esc stops" if self.running is not None else words))

    def _finish(self, request: BatchRequest, report: JobReport | None, failure: EdgechatError | None) -> None:
        self.running = None
        self._bar.update(Content(self._progress))
        if failure is not None:
            self.banner.show_error(failure)
        elif report is None:
            self._bar.update(Content(""))
            self.banner.show("Stopped. Finished records are kept beside the output; Ctrl+R resumes.")
        else:
            tally = report.tally
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.by_status.items()))
            self.banner.show(f"Done: {counts or 'no record'}. Written to {request.out}", is_error=bool(tally.not_ok))
            self._show_results(request)

    def _show_results(self, request: BatchRequest) -> None:
        """Show the first records of the file that was written."""
        try:
            names, found = result_preview(request.out)
        except EdgechatError as error:
            self.banner.show_error(error)
            return
        self.results.clear(columns=True)
        for name in names:
            self.results.add_column(clean_line(name), width=None)
        for row in found:
            self.results.add_row(*(Text(clean_line(cell)[:_CELL]) for cell in row))
        self.results.display = bool(found)
        if found:
            self.results.focus()
