"""Base class of the models screen and the first-run screen: plan, download, add and import models in threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from edgechat.board.probe.summary import size, title
from edgechat.errors import EdgechatError
from edgechat.models.bundle.mounted import find_mounted, is_bundle
from edgechat.models.bundle.trust import UntrustedError
from edgechat.plaintext import clean_line
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.dialogs.questions import AskLine, Confirm
from edgechat.tui.session import model_manager
from edgechat.tui.session.model_manager import (
    InstallCancelledError,
    InstallProgress,
    ModelEntry,
    ModelList,
    accept_licence,
    add_file,
    adopt,
    other_tools_files,
    take_bundle,
    trust_publisher,
)
from edgechat.tui.session.typed_path import typed_path
from edgechat.tui.widgets.banner import Banner, error_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.other_programs import FoundFile
    from edgechat.paths import Paths

_BAR = 20


class ModelInstallScreen(DismissedOnce, Screen["str | None"]):
    """Returns the label of the model to use, or None. One installation at a time.

    Args:
        paths: whose models.
        config: the settings that plans are made with.
    """

    GREETING: ClassVar[str] = ""
    """Text before the board's name in the heading."""
    DEFAULT_CSS = """
    ModelInstallScreen #head { height: auto; padding: 0 1; background: $panel; }
    ModelInstallScreen #work { height: 1; padding: 0 1; color: $text-accent; display: none; }
    """

    def __init__(self, paths: Paths, config: Config) -> None:
        super().__init__()
        self._paths, self._config = paths, config
        self.models: ModelList | None = None
        self._head = Static(Content("Looking at this board …"), id="head", markup=False)
        self._progress_line = Static("", id="work", markup=False)
        self.banner = Banner()
        self._progress: InstallProgress | None = None

    def on_unmount(self) -> None:
        """Cancel a running download; the bytes that arrived stay."""
        self.action_cancel()

    def changed(self, brought: InstalledModel | None) -> None:
        """The installed models may have changed; ``brought`` is new. Implemented by the screens."""

    # Planning

    @work(thread=True, group="plan", exclusive=True)
    def plan_models(self) -> None:
        """Plan all models for this board in a thread, then call :meth:`show_models`."""
        try:
            models = model_manager.list_models(self._paths, self._config)
        except EdgechatError as error:
            self.app.call_from_thread(self.banner.show_error, error)
            return
        self.find_sources()
        if self.is_running:
            self.app.call_from_thread(self.show_models, models)

    def find_sources(self) -> None:
        """Look for models outside the store, in the same thread. Implemented by the first-run screen."""

    def show_models(self, models: ModelList) -> None:
        """Show the planned models. Extended by the screens."""
        self.models = models
        memory = models.board.memory
        board = f"{title(models.board)}: {size(memory.available)} of {size(memory.total)} free"
        self._head.update(Content(self.GREETING + clean_line(board)))

    # Actions

    def action_leave(self) -> None:
        """Return to the chat; asks first while a download runs."""
        if self._progress is None:
            self.dismiss(None)
            return
        question = "A download is running. Leave and end it? What arrived stays for the next try."
        self.app.push_screen(Confirm(question, yes="End it", no="Stay"), self._left)

    def _left(self, is_sure: bool | None) -> None:
        if is_sure:
            self.dismiss(None)

    def action_cancel(self) -> None:
        """Cancel the running installation."""
        if self._progress is not None:
            self._progress.cancel()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer ``cancel`` only while an installation runs."""
        if action == "cancel":
            return self._progress is not None
        return super().check_action(action, parameters)

    def fetch(self, model: ModelEntry) -> None:
        """Download a model; asks first for its licence, and when it does not fit this board."""
        if self._progress is not None:
            self.banner.show("One thing at a time: x ends what is running.")
        elif model.is_free:
            self._fetch_after_fit(model)
        else:
            question = f"{model.label} comes under {model.licence}.\nRead it at {model.terms}\nDo you accept it?"
            self.app.push_screen(Confirm(question, yes="Accept", no="Leave it"), lambda yes: self._accepted(model, yes))

    def _accepted(self, model: ModelEntry, is_accepted: bool | None) -> None:
        if is_accepted:
            try:
                accept_licence(self._paths, model)
            except EdgechatError as error:
                self.banner.show_error(error)
            else:
                self._fetch_after_fit(model)

    def _fetch_after_fit(self, model: ModelEntry) -> None:
        def decided(is_sure: bool | None) -> None:
            if is_sure:
                self._run(lambda progress: model_manager.pull(self._paths, model, progress))

        if model.plan.fits:
            decided(True)
            return
        question = f"{model.label} does not fit this board now. Fetch its {size(model.plan.file_bytes)} all the same?"
        self.app.push_screen(Confirm(question, yes="Fetch it", no="Leave it"), decided)

    def action_add(self) -> None:
        """Ask for a GGUF file and install it."""
        self.app.push_screen(AskLine("Add which GGUF file?", hint="A path; the original stays."), self._add)

    def _add(self, path: str | None) -> None:
        if path and (place := self._typed(path)) is not None:
            self._run(lambda progress: add_file(self._paths, place, progress))

    def action_adopt(self) -> None:
        """Install the models of other programs."""
        files = other_tools_files(os.environ)
        if not files:
            self.banner.show("Ollama, LM Studio, llama.cpp and the hub's cache hold no model here.")
            return
        names = "\n".join(clean_line(f"{file.tool}: {file.label}") for file in files)
        question = f"Take these over? The originals stay.\n{names}"
        self.app.push_screen(Confirm(question), lambda yes: self._adopt(files, yes))

    def _adopt(self, files: list[FoundFile], is_sure: bool | None) -> None:
        if is_sure:
            self._run(lambda progress: adopt(self._paths, files, progress))

    def action_import(self) -> None:
        """Install from a mounted USB stick: a signed bundle or a file."""
        found = find_mounted()
        hint = "A folder that `edgechat models export` wrote, or a GGUF file; the stick must be mounted."
        if found:
            hint = "Found: " + ", ".join(each.label for each in found[:3])
        proposed = found[0].label if found else ""
        self.app.push_screen(AskLine("Import from where?", proposed, hint=hint), self._import)

    def _import(self, path: str | None) -> None:
        if not path or (place := self._typed(path)) is None:
            return
        if place.is_dir() and not is_bundle(place):
            self.banner.show(f"{place} holds no bundle; `edgechat models export` writes one.", is_error=True)
        elif place.is_dir():
            self._run(lambda progress: take_bundle(self._paths, place, progress))
        else:
            self._run(lambda progress: add_file(self._paths, place, progress))

    def _typed(self, text: str) -> Path | None:
        """The typed path; None, with a message, where it cannot be one."""
        try:
            return typed_path(text) if text.strip() else None
        except EdgechatError as error:
            self.banner.show_error(error)
            return None

    def _ask_trust(self, unknown: UntrustedError, job: Callable[[InstallProgress], InstalledModel]) -> None:
        question = (
            f"The bundle is signed by\n{unknown.fingerprint}\nwhich is not trusted here yet. Does the machine that "
            "wrote it show the same (edgechat models keys list)?"
        )

        def decided(is_same: bool | None) -> None:
            if not is_same:
                self.banner.show("Not imported: a bundle with an unknown signer must not be used.")
                return
            try:
                trust_publisher(self._paths, unknown)
            except EdgechatError as error:
                self.banner.show_error(error)
            else:
                self._run(job)

        self.app.push_screen(Confirm(question, yes="The same", no="No"), decided)

    # Work in threads

    def _run(self, job: Callable[[InstallProgress], InstalledModel]) -> None:
        if self._progress is not None:
            self.banner.show("One thing at a time: x ends what is running.")
            return
        report, app = self._show_progress, self.app
        self._progress = InstallProgress(
            lambda label, done, total: app.call_from_thread(report, label, done, total),
            lambda text: app.call_from_thread(self.banner.show, text),
        )
        self._show_progress("Beginning", 0, None)
        self.refresh_bindings()
        self.banner.clear()
        self._install(job, self._progress)

    @work(thread=True, group="work")
    def _install(self, job: Callable[[InstallProgress], InstalledModel], progress: InstallProgress) -> None:
        brought: InstalledModel | None = None
        unknown: UntrustedError | None = None
        try:
            brought = job(progress)
            text, is_error = f"{brought.label} is installed. Enter uses it.", False
        except InstallCancelledError:
            text, is_error = "Ended. What arrived stays for the next try.", False
        except UntrustedError as error:
            unknown, text, is_error = error, "", False
        except EdgechatError as error:
            text, is_error = error_text(error), True
        if self.is_running:
            self.app.call_from_thread(self._finish, text, brought, is_error=is_error)
            if unknown is not None:
                self.app.call_from_thread(self._ask_trust, unknown, job)

    def _show_progress(self, label: str, done: int, total: int | None) -> None:
        self._progress_line.display = True
        if total:
            filled = round(_BAR * done / total)
            words = f"{'▰' * filled}{'▱' * (_BAR - filled)} {done / total:.0%} of {size(total)}  {label}  (x ends it)"
        else:
            words = f"{label} …"
        self._progress_line.update(Content(clean_line(words)))

    def _finish(self, text: str, brought: InstalledModel | None, *, is_error: bool) -> None:
        self._progress = None
        self.refresh_bindings()
        self._progress_line.display = False
        if text:
            self.banner.show(text, is_error=is_error)
        self.changed(brought)
