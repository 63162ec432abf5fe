"""The models screen: what this board can run, how fast and why; use, pin, download, add, roll back, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from edgechat.board.probe.summary import size
from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.dialogs.dismissal import SwitchableScreen
from edgechat.tui.dialogs.questions import Confirm
from edgechat.tui.screens.model_install import ModelInstallScreen
from edgechat.tui.session.model_manager import ModelEntry, ModelList, pin, references, remove, roll_back, versions
from edgechat.tui.widgets.choice_list import ChoiceList
from edgechat.tui.widgets.key_footer import KeyFooter
from edgechat.tui.widgets.memory_bar import MemoryBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from edgechat.chat.conversation import Conversation
    from edgechat.config import Config
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths


_LEGEND = "MODEL ● here ◆ pinned ○ fits ✕ not"


class _Models(ChoiceList):
    """The list of models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Use", id="models.use", tooltip="Answer with it; download it first if needed")
    ]


class ModelsScreen(SwitchableScreen, ModelInstallScreen):
    """Returns the label of the model to use, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3", "leave", "Back", id="models.back", tooltip="Back to the chat"),
        Binding("p", "pin", "Pin", id="models.pin", tooltip="Always answer with this one, or let the plan choose"),
        Binding("g", "pull", "Get", id="models.pull", tooltip="Download it"),
        Binding("x", "cancel", "Cancel", id="models.cancel", tooltip="Cancel the download; what arrived stays"),
        Binding("a", "add", "Add file", id="models.add", tooltip="Install a GGUF file of this machine"),
        Binding("o", "adopt", "Others'", id="models.adopt", tooltip="Take over models of Ollama, LM Studio, …"),
        Binding("i", "import", "Import", id="models.import", tooltip="Install a signed bundle from a USB stick"),
        Binding("b", "rollback", "Roll back", id="models.rollback", tooltip="Use the previous version again"),
        Binding("d,delete", "remove", "Delete", id="models.delete", tooltip="Remove it from the disk"),
    ]

    DEFAULT_CSS = """
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
        super().__init__(paths, config)
        self._in_use, self._conversations = in_use, conversations
        self._columns = Static("", id="columns", markup=False)
        self.list = _Models(markup=False, compact=True)
        self._bar = MemoryBar()
        self._why = Static("", markup=False)
        self._brought: InstalledModel | None = None

    @property
    def may_switch(self) -> bool:
        """False while something is being installed: closing the screen ends it, so that only Back does, and asks."""
        return self._progress is None

    def compose(self) -> ComposeResult:
        """Yield board, list, and the plan of the highlighted model."""
        yield self._head
        yield self._columns
        yield self.list
        yield self._progress_line
        yield self.banner
        with Vertical(id="detail"):
            yield self._bar
            yield self._why
        yield KeyFooter()

    def on_mount(self) -> None:
        """Plan the models in a thread."""
        self.list.focus()
        self.plan_models()

    def changed(self, brought: InstalledModel | None) -> None:
        """Plan again, and highlight the new model."""
        self._brought = brought
        self.plan_models()

    def on_resize(self) -> None:
        """Fit the columns to the width."""
        self._fill()

    def show_models(self, models: ModelList) -> None:
        """Show the list; the first time without an installed model, highlight the best one."""
        is_first = self.models is None
        super().show_models(models)
        self._fill()
        if self._brought is not None:
            label, self._brought = self._brought.label, None
            self.list.highlighted = next((at for at, each in enumerate(models.entries) if each.label == label), 0)
        if is_first and models.best is not None and not any(each.is_installed for each in models.entries):
            self.list.highlighted = models.entries.index(models.best)

    def _fill(self) -> None:
        if self.models is None:
            return
        at = self.list.highlighted
        width = min(48, max(24, self.size.width - 46))
        self._columns.update(Content(f"  {_LEGEND:<{width}} {'FILE':>8} {'NEEDS':>8} {'TOK/S':>6}  LICENCE"))
        self.list.clear_options()
        self.list.add_options(
            [Option(_line(each, width, self.size.width, self._in_use)) for each in self.models.entries]
        )
        self.list.highlighted = min(at or 0, len(self.models.entries) - 1)

    @property
    def selected(self) -> ModelEntry | None:
        """The highlighted model."""
        at = self.list.highlighted
        return None if self.models is None or at is None else self.models.entries[at]

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the plan of the highlighted model."""
        event.stop()
        if (model := self.selected) is None:
            return
        plan = model.plan
        self._bar.show(plan)
        verdict = "fits" if plan.fits else "does not fit"
        if self.models is not None and model is self.models.best:
            verdict += " · recommended"
        speed = plan.estimated.decode_tps
        how = "measured here" if plan.estimated.basis == "calibrated" else "estimated" if speed is not None else ""
        pace = f"{speed:.1f} tok/s {how}" if speed is not None else "speed unknown until edgechat bench"
        facts = f"{verdict} · n_ctx {plan.settings.n_ctx:,} · KV {plan.settings.kv_type} · {pace} · {model.licence}"
        if not model.is_free:
            facts += " (to be accepted)"
        self._why.update(Content(clean_line(facts) + "\n" + clean_line(" ".join(plan.reasons[:2]))))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Use an installed model, download another one."""
        event.stop()
        if (model := self.selected) is None:
            return
        if model.is_installed:
            self.dismiss(model.label)
        else:
            self.action_pull()

    # Actions

    def action_pull(self) -> None:
        """Download the highlighted model."""
        if (model := self.selected) is None:
            return
        if model.is_installed:
            self.banner.show(f"{model.label} is here already.")
        else:
            self.fetch(model)

    def action_rollback(self) -> None:
        """Switch the highlighted model to its previous version, after asking."""
        model = self.selected
        if model is None or not model.is_installed:
            return
        try:
            kept = versions(self._paths, model)
        except (EdgechatError, OSError) as error:
            self.banner.show(str(error), is_error=True)
            return
        if len(kept) < 2:
            self.banner.show(f"{model.label} has only one version; one is kept when a newer one arrives.")
            return
        question = f"Use version {kept[1]} of {model.label} again, instead of {kept[0]}? Once more leads forward."
        self.app.push_screen(Confirm(question, yes="Roll back", no="Stay"), lambda yes: self._roll_back(model, yes))

    def _roll_back(self, model: ModelEntry, is_sure: bool | None) -> None:
        if not is_sure:
            return
        try:
            left, entered = roll_back(self._paths, model)
        except EdgechatError as error:
            self.banner.show_error(error)
        else:
            self.banner.show(f"{model.label} uses version {entered} again, instead of {left}.")
            self.plan_models()

    def action_pin(self) -> None:
        """Pin the highlighted model, or unpin it."""
        if (model := self.selected) is None:
            return
        if not model.is_installed:
            self.banner.show("Only an installed model can be pinned: g downloads it.")
            return
        try:
            is_pinned = pin(self._paths, model)
        except EdgechatError as error:
            self.banner.show_error(error)
        else:
            self.banner.show(f"{model.label} answers from now on." if is_pinned else "The plan chooses again.")
            self.plan_models()

    def action_remove(self) -> None:
        """Remove the highlighted model, after asking."""
        model = self.selected
        if model is not None and model.is_installed:
            users = references(model, self._config, self._in_use, self._conversations())
            question = "\n".join([f"Remove {model.label} ({size(model.plan.file_bytes)}) from the disk?", *users])
            self.app.push_screen(Confirm(question, yes="Remove", no="Keep"), lambda yes: self._remove(model, yes))

    def _remove(self, model: ModelEntry, is_sure: bool | None) -> None:
        if not is_sure:
            return
        try:
            freed = remove(self._paths, model)
        except EdgechatError as error:
            self.banner.show_error(error)
        else:
            self.banner.show(f"Removed {model.label}; {size(freed)} freed.")
            self.plan_models()


def _line(model: ModelEntry, width: int, whole: int, in_use: str | None) -> Content:
    """One model on a line of ``whole`` columns, ``width`` of them for its name."""
    plan = model.plan
    mark = "◆" if model.is_pinned else "●" if model.is_installed else "○" if plan.fits else "✕"
    speed = plan.estimated.decode_tps
    pace = f"{speed:.0f}" if speed is not None else "?"
    name = model.label.lower() + (" (in use)" if in_use and in_use.lower() == model.label.lower() else "")
    sizes = f"{size(plan.file_bytes):>8} {size(plan.memory.total):>8}"
    text = f"{mark} {clean_line(name)[:width]:<{width}} {sizes} {pace:>6}  "
    style = "" if plan.fits else "$text-muted"
    licence, room = clean_line(model.licence), max(6, whole - len(text) - 2)
    return Content.assemble((text, style), (licence if len(licence) <= room else f"{licence[: room - 1]}…", style))
