"""What the models screen and the first-run screen have in common: bringing models here, in a thread, with progress."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from edgechat.board.probe.summary import size
from edgechat.errors import EdgechatError
from edgechat.models.bundle.mounted import find_mounted, is_bundle
from edgechat.models.bundle.trust import UntrustedError
from edgechat.plaintext import clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.dialogs import AskLine, Confirm
from edgechat.tui.session import model_manager
from edgechat.tui.session.model_maintenance import take_bundle, trust_publisher
from edgechat.tui.session.model_manager import (
    Book,
    CancelledPullError,
    Telling,
    accept_licence,
    add_file,
    adopt,
    others,
)
from edgechat.tui.widgets.banner import Banner

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.models.store.installed import InstalledModel
    from edgechat.models.store.other_programs import FoundFile
    from edgechat.paths import Paths

_BAR = 20


class Fetching(Screen["str | None"]):
    """Answers with the label of the model to use, or None. One thing is fetched at a time.

    Args:
        paths: whose models.
    """

    DEFAULT_CSS = """
    Fetching #work { height: 1; padding: 0 1; color: $text-accent; display: none; }
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self._paths = paths
        self._doing = Static("", id="work", markup=False)
        self.banner = Banner()
        self._telling: Telling | None = None

    def on_unmount(self) -> None:
        """A download ends with its screen; what arrived stays."""
        self.action_cancel()

    def changed(self, brought: InstalledModel | None) -> None:
        """What is here may have changed; ``brought`` is new. The screen says what follows."""

    # Actions

    def action_leave(self) -> None:
        """Back to the chat; a download is asked about first."""
        if self._telling is None:
            self.dismiss(None)
            return
        question = "A download is running. Leave and end it? What arrived stays for the next try."
        self.app.push_screen(Confirm(question, yes="End it", no="Stay"), self._left)

    def _left(self, is_sure: bool | None) -> None:
        if is_sure:
            self.dismiss(None)

    def action_cancel(self) -> None:
        """End the running work."""
        if self._telling is not None:
            self._telling.cancel()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to end only what runs."""
        if action == "cancel":
            return self._telling is not None
        return super().check_action(action, parameters)

    def fetch(self, book: Book) -> None:
        """Fetch a model, after its licence was accepted and its size was told where that is needed."""
        if self._telling is not None:
            self.banner.say("One thing at a time: x ends what is running.")
        elif book.is_free:
            self._fetch_after_fit(book)
        else:
            question = f"{book.label} comes under {book.licence}.\nRead it at {book.terms}\nDo you accept it?"
            self.app.push_screen(Confirm(question, yes="Accept", no="Leave it"), lambda yes: self._accepted(book, yes))

    def _accepted(self, book: Book, is_accepted: bool | None) -> None:
        if is_accepted:
            try:
                accept_licence(self._paths, book)
            except EdgechatError as error:
                self.banner.say(trouble(error), is_trouble=True)
            else:
                self._fetch_after_fit(book)

    def _fetch_after_fit(self, book: Book) -> None:
        def decided(is_sure: bool | None) -> None:
            if is_sure:
                self._run(lambda telling: model_manager.pull(self._paths, book, telling))

        if book.plan.fits:
            decided(True)
            return
        question = f"{book.label} does not fit this board now. Fetch its {size(book.plan.file_bytes)} all the same?"
        self.app.push_screen(Confirm(question, yes="Fetch it", no="Leave it"), decided)

    def action_add(self) -> None:
        """Ask for a file."""
        self.app.push_screen(AskLine("Add which GGUF file?", hint="A path; the original stays."), self._add)

    def _add(self, path: str | None) -> None:
        if path:
            self._run(lambda telling: add_file(self._paths, Path(path).expanduser(), telling))

    def action_adopt(self) -> None:
        """Take over what other programs hold."""
        files = others(os.environ)
        if not files:
            self.banner.say("Ollama, LM Studio, llama.cpp and the hub's cache hold no model here.")
            return
        names = "\n".join(clean_line(f"{file.tool}: {file.label}") for file in files)
        question = f"Take these over? The originals stay.\n{names}"
        self.app.push_screen(Confirm(question), lambda yes: self._adopt(files, yes))

    def _adopt(self, files: list[FoundFile], is_sure: bool | None) -> None:
        if is_sure:
            self._run(lambda telling: adopt(self._paths, files, telling))

    def action_import(self) -> None:
        """Take in what a mounted stick holds: a signed bundle, or a file."""
        found = find_mounted()
        hint = "A folder that `edgechat models export` wrote, or a GGUF file; the stick must be mounted."
        if found:
            hint = "Found: " + ", ".join(each.label for each in found[:3])
        proposed = found[0].label if found else ""
        self.app.push_screen(AskLine("Import from where?", proposed, hint=hint), self._import)

    def _import(self, path: str | None) -> None:
        if not path:
            return
        place = Path(path).expanduser()
        if place.is_dir() and not is_bundle(place):
            self.banner.say(f"{place} holds no bundle; `edgechat models export` writes one.", is_trouble=True)
        elif place.is_dir():
            self._run(lambda telling: take_bundle(self._paths, place, telling))
        else:
            self._run(lambda telling: add_file(self._paths, place, telling))

    def _ask_trust(self, unknown: UntrustedError, job: Callable[[Telling], InstalledModel]) -> None:
        question = (
            f"The bundle is signed by\n{unknown.fingerprint}\nwhich is not trusted here yet. Does the machine that "
            "wrote it show the same (edgechat models keys list)?"
        )

        def decided(is_same: bool | None) -> None:
            if not is_same:
                self.banner.say("Left alone. A bundle whose signer nobody knows must not be used.")
                return
            try:
                trust_publisher(self._paths, unknown)
            except EdgechatError as error:
                self.banner.say(trouble(error), is_trouble=True)
            else:
                self._run(job)

        self.app.push_screen(Confirm(question, yes="The same", no="No"), decided)

    # Work in threads

    def _run(self, job: Callable[[Telling], InstalledModel]) -> None:
        if self._telling is not None:
            self.banner.say("One thing at a time: x ends what is running.")
            return
        tell, app = self._told, self.app
        self._telling = Telling(
            lambda label, done, total: app.call_from_thread(tell, label, done, total),
            lambda text: app.call_from_thread(self.banner.say, text),
        )
        self._told("Beginning", 0, None)
        self.refresh_bindings()
        self.banner.clear()
        self._work_at(job, self._telling)

    @work(thread=True, group="work")
    def _work_at(self, job: Callable[[Telling], InstalledModel], telling: Telling) -> None:
        brought: InstalledModel | None = None
        unknown: UntrustedError | None = None
        try:
            brought = job(telling)
            words, is_trouble = f"{brought.label} is installed. Enter uses it.", False
        except CancelledPullError:
            words, is_trouble = "Ended. What arrived stays for the next try.", False
        except UntrustedError as error:
            unknown, words, is_trouble = error, "", False
        except EdgechatError as error:
            words, is_trouble = trouble(error), True
        if self.is_running:
            self.app.call_from_thread(self._worked, words, brought, is_trouble=is_trouble)
            if unknown is not None:
                self.app.call_from_thread(self._ask_trust, unknown, job)

    def _told(self, label: str, done: int, total: int | None) -> None:
        self._doing.display = True
        if total:
            filled = round(_BAR * done / total)
            words = f"{'▰' * filled}{'▱' * (_BAR - filled)} {done / total:.0%} of {size(total)}  {label}  (x ends it)"
        else:
            words = f"{label} …"
        self._doing.update(Content(clean_line(words)))

    def _worked(self, words: str, brought: InstalledModel | None, *, is_trouble: bool) -> None:
        self._telling = None
        self.refresh_bindings()
        self._doing.display = False
        if words:
            self.banner.say(words, is_trouble=is_trouble)
        self.changed(brought)
