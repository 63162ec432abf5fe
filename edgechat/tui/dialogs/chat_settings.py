"""The dialog with the settings of one conversation: system prompt with presets, sampling, longest answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Select, Static, TextArea

from edgechat.errors import InvalidInputError
from edgechat.plaintext import clean, clean_line
from edgechat.sampling import Sampling
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.widgets.line_input import PlainInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult

PRESETS: Mapping[str, str] = {
    "none": "",
    "short": "Answer in at most three sentences. Say so when you do not know.",
    "step by step": "Explain step by step, in numbered steps that each name one action.",
    "code": "You are a careful programmer. Answer with code first, then with what it assumes and how to test it.",
    "plain words": "Explain in plain words for a reader without technical knowledge. Avoid abbreviations.",
    "maintenance": "You help a maintenance engineer. Name likely causes in order, and for each one check to do.",
}
"""System prompts to begin with; those in ``tui.json`` come after them."""

_FIELDS = (
    ("temperature", "0 always takes the likeliest word"),
    ("top_k", "choose among this many words; 0: all"),
    ("top_p", "choose within this probability"),
    ("min_p", "leave out words less likely than this share"),
    ("repeat_penalty", "above 1: fewer repetitions"),
    ("seed", "the same seed gives the same answer"),
    ("max_tokens", "longest answer"),
)
_WHOLE = frozenset({"top_k", "seed", "max_tokens"})
_OWN = "own"


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """Settings that a conversation keeps."""

    system: str
    sampling: Mapping[str, float]
    """Sampling parameters and ``max_tokens``; what is missing is left to the model and to ``config.toml``."""


class ChatSettingsDialog(DismissedOnce, ModalScreen["ChatSettings | None"]):
    """Returns the new settings, or None for Esc.

    Args:
        now: the settings before.
        presets: the user's own system prompts, by name.
    """

    DEFAULT_CSS = """
    ChatSettingsDialog { align: center middle; }
    ChatSettingsDialog > VerticalScroll {
        width: 84; max-width: 95%; height: auto; max-height: 95%;
        border: round $accent; padding: 0 1; background: $surface;
    }
    ChatSettingsDialog .heading { height: 1; text-style: bold; }
    ChatSettingsDialog TextArea { height: 5; border: none; background: $panel; margin: 0 0 1 0; }
    ChatSettingsDialog Horizontal { height: 1; }
    ChatSettingsDialog .label { width: 16; }
    ChatSettingsDialog Input { width: 12; background: $panel; }
    ChatSettingsDialog Select { width: 1fr; }
    ChatSettingsDialog .hint { width: 1fr; color: $text-muted; padding: 0 0 0 1; }
    ChatSettingsDialog #wrong { height: auto; color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "take", "Take it", id="dialog.take", priority=True),
        Binding("escape", "dismiss(None)", "Cancel", id="dialog.cancel"),
    ]

    def __init__(self, now: ChatSettings, presets: Mapping[str, str]) -> None:
        super().__init__()
        self.presets = {**PRESETS, **presets}
        self.system = TextArea(clean(now.system), soft_wrap=True, tab_behavior="focus", compact=True)
        self._system_was = now.system
        chosen = next((name for name, text in self.presets.items() if text == now.system.strip()), Select.NULL)
        self.preset = Select(
            [(clean_line(name), name) for name in self.presets], prompt="own text", value=chosen, compact=True
        )
        self.fields = {
            name: PlainInput(_shown(now.sampling.get(name)), placeholder="default", compact=True, select_on_focus=False)
            for name, _ in _FIELDS
        }
        self._wrong = Static("", id="wrong", markup=False)

    def compose(self) -> ComposeResult:
        """Yield preset and prompt, then one line for each parameter."""
        with VerticalScroll(can_focus=False):
            yield Static(Content("System prompt of this conversation"), classes="heading", markup=False)
            with Horizontal():
                yield Static(Content("preset"), classes="label", markup=False)
                yield self.preset
            yield self.system
            yield Static(Content("Sampling; an empty field is the model's default"), classes="heading", markup=False)
            for name, hint in _FIELDS:
                with Horizontal():
                    yield Static(Content(name.replace("_", " ")), classes="label", markup=False)
                    yield self.fields[name]
                    yield Static(Content(hint), classes="hint", markup=False)
            yield self._wrong
            yield Static(Content("Ctrl+S takes it, Esc leaves it as it was."), classes="hint", markup=False)

    def on_mount(self) -> None:
        """Focus the prompt."""
        self.system.focus()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Put the text of a preset into the prompt."""
        event.stop()
        if event.value is not Select.NULL and self.presets[str(event.value)] != self.system.text.strip():
            self.system.text = self.presets[str(event.value)]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next field on Enter."""
        event.stop()
        self.focus_next()

    def action_take(self) -> None:
        """Return the settings, if they are valid."""
        try:
            sampling = read_sampling({name: editor.value for name, editor in self.fields.items()})
        except InvalidInputError as error:
            self._wrong.update(Content(clean_line(error.message)))
            return
        self.dismiss(ChatSettings(self.system.text.strip(), sampling))


def read_sampling(cells: Mapping[str, str]) -> dict[str, float]:
    """The numbers in the fields; empty ones are left out.

    Raises:
        InvalidInputError: a field holds no number, or one out of its range.
    """
    found: dict[str, float] = {}
    for name, cell in cells.items():
        text = cell.strip().replace(",", ".")
        if not text:
            continue
        try:
            found[name] = int(text) if name in _WHOLE else float(text)
        except ValueError as error:
            what = "a whole number" if name in _WHOLE else "a number"
            raise InvalidInputError(f"{name} is {text!r}; it must be {what}.") from error
    if found.get("max_tokens", 1) < 1:
        raise InvalidInputError("max_tokens must be at least 1.")
    Sampling.from_dict({name: value for name, value in found.items() if name != "max_tokens"})
    return found


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
