"""The models: what this board can run, how well and why; use, pin, pull, add, delete. Work runs in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgechat.board.probe.summary import size, title
from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.dialogs import Confirm
from edgechat.tui.screens.model_download import Fetching
from edgechat.tui.session.model_maintenance import references, roll_back, versions
from edgechat.tui.session.model_manager import Book, Shelf, pin, remove, shelf
from edgechat.tui.widgets.key_line import KeyLine
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from edgechat.chat.conversation import Conversation
    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths


_LEGEND = "MODEL ● here ◆ pinned ○ fits ✕ not"


class _Models(OptionList):
    """The list; Enter is what most people come for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Use", id="models.use", tooltip="Answer with it; fetch it if it is not here")
    ]


class ModelsScreen(Fetching):
    """Answers with the label of the model to use, or None.

    Args:
        paths: whose models.
        config: the settings that plans are made with.
        in_use: the model that the chat uses now, or None.
        conversations: gives those that are kept, for what a removal would touch.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3", "leave", "Back", id="models.back", tooltip="Back to the chat"),
        Binding("p", "pin", "Pin", id="models.pin", tooltip="Always answer with this one, or let the plan choose"),
        Binding("g", "pull", "Get", id="models.pull", tooltip="Fetch it over the network"),
        Binding("x", "cancel", "Cancel", id="models.cancel", tooltip="End the download; what arrived stays"),
        Binding("a", "add", "Add file", id="models.add", tooltip="Take a GGUF file of this machine in"),
        Binding("o", "adopt", "Others'", id="models.adopt", tooltip="Take over models of Ollama, LM Studio, …"),
        Binding("i", "import", "Import", id="models.import", tooltip="Take in a signed bundle from a mounted stick"),
        Binding("b", "rollback", "Roll back", id="models.rollback", tooltip="Use the version before again"),
        Binding("d,delete", "remove", "Delete", id="models.delete", tooltip="Remove it from the disk"),
    ]

    DEFAULT_CSS = """
    ModelsScreen #head { height: auto; padding: 0 1; background: $panel; }
    ModelsScreen #columns { height: 1; padding: 0; color: $text-muted; }
    ModelsScreen OptionList { height: 1fr; border: none; padding: 0; background: transparent; }
    ModelsScreen #detail { height: auto; max-height: 9; padding: 0 1; border-top: solid $panel; }
    """

    def __init__(
        self,
        paths: Paths,
        config: Config,
        in_use: str | None = None,
        conversations: Callable[[], Sequence[Conversation]] = tuple,
    ) -> None:
        super().__init__(paths)
        self._config, self._in_use, self._conversations = config, in_use, conversations
        self._head = Static(Content("Looking at this board …"), id="head", markup=False)
        self._columns = Static("", id="columns", markup=False)
        self.list = _Models(markup=False, compact=True)
        self._bar = MemoryBar()
        self._why = Static("", markup=False)
        self.shelf: Shelf | None = None
        self._brought: InstalledModel | None = None

    def compose(self) -> ComposeResult:
        """Board, list, what the plan says of the marked one."""
        yield self._head
        yield self._columns
        yield self.list
        yield self._doing
        yield self.banner
        with Vertical(id="detail"):
            yield self._bar
            yield self._why
        yield KeyLine()

    def on_mount(self) -> None:
        """Plan in a thread."""
        self.list.focus()
        self._plan()

    def changed(self, brought: InstalledModel | None) -> None:
        """Plan again, and mark what is new."""
        self._brought = brought
        self._plan()

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
        self._head.update(Content(words))
        self._fill()
        if self._brought is not None:
            label, self._brought = self._brought.label, None
            self.list.highlighted = next((at for at, book in enumerate(found.books) if book.label == label), 0)
        if is_first and not here and found.best is not None:
            self.list.highlighted = found.books.index(found.best)

    def _fill(self) -> None:
        if self.shelf is None:
            return
        at = self.list.highlighted
        width = min(48, max(24, self.size.width - 46))
        self._columns.update(Content(f"  {_LEGEND:<{width}} {'FILE':>8} {'NEEDS':>8} {'TOK/S':>6}  LICENCE"))
        self.list.clear_options()
        self.list.add_options([Option(_line(book, width, self.size.width, self._in_use)) for book in self.shelf.books])
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
        if self.shelf is not None and book is self.shelf.best:
            verdict += " · recommended"
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

    def action_pull(self) -> None:
        """Fetch the marked model."""
        if (book := self.book) is None:
            return
        if book.is_installed:
            self.banner.say(f"{book.label} is here already.")
        else:
            self.fetch(book)

    def action_rollback(self) -> None:
        """Use the version of the marked model before the current one, once more asked."""
        book = self.book
        if book is None or not book.is_installed:
            return
        try:
            kept = versions(self._paths, book)
        except (EdgechatError, OSError) as error:
            self.banner.say(str(error), is_trouble=True)
            return
        if len(kept) < 2:
            self.banner.say(f"{book.label} has only one version; one is kept when a newer one arrives.")
            return
        question = f"Use version {kept[1]} of {book.label} again, instead of {kept[0]}? Once more leads forward."
        self.app.push_screen(Confirm(question, yes="Roll back", no="Stay"), lambda yes: self._roll_back(book, yes))

    def _roll_back(self, book: Book, is_sure: bool | None) -> None:
        if not is_sure:
            return
        try:
            left, entered = roll_back(self._paths, book)
        except EdgechatError as error:
            self.banner.say(trouble(error), is_trouble=True)
        else:
            self.banner.say(f"{book.label} uses version {entered} again, instead of {left}.")
            self._plan()

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
            touched = references(book, self._config, self._in_use, self._conversations())
            question = "\n".join([f"Remove {book.label} ({size(book.plan.file_bytes)}) from the disk?", *touched])
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


def _line(book: Book, width: int, whole: int, in_use: str | None) -> Content:
    """One model on one line of ``whole`` columns, ``width`` of them for its name."""
    plan = book.plan
    mark = "◆" if book.is_pinned else "●" if book.is_installed else "○" if plan.fits else "✕"
    speed = plan.estimated.decode_tps
    pace = f"{speed:.0f}" if speed is not None else "?"
    name = book.label.lower() + (" (in use)" if in_use and in_use.lower() == book.label.lower() else "")
    sizes = f"{size(plan.file_bytes):>8} {size(plan.memory.total):>8}"
    text = f"{mark} {clean_line(name)[:width]:<{width}} {sizes} {pace:>6}  "
    style = "" if plan.fits else "$text-muted"
    licence, room = clean_line(book.licence), max(6, whole - len(text) - 2)
    return Content.assemble((text, style), (licence if len(licence) <= room else f"{licence[: room - 1]}…", style))
