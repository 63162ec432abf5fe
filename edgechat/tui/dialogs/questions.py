"""Dialogs that ask for yes or no, one line, or several lines. They return the value, or None for Esc."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from edgechat.plaintext import clean, clean_line
from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.widgets.line_input import LineInput, one_line

if TYPE_CHECKING:
    from textual.app import ComposeResult

_FRAME = """
    align: center middle;
    & > Vertical {
        width: 72; max-width: 95%; height: auto; max-height: 90%;
        border: round $accent; padding: 0 1; background: $surface;
    }
    & .question { height: auto; margin: 0 0 1 0; }
    & .hint { height: auto; color: $text-muted; }
"""


class Confirm(DismissedOnce, ModalScreen[bool]):
    """Ask yes or no; Esc is no."""

    DEFAULT_CSS = f"""Confirm {{ {_FRAME} & Horizontal {{ height: 1; }} & Button {{ margin: 0 2 0 0; }} }}"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="dialog.yes"),
        Binding("n,escape", "answer(False)", "No", id="dialog.no"),
    ]

    def __init__(self, question: str, *, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._question = clean(question)
        self._yes, self._no = yes, no

    def compose(self) -> ComposeResult:
        """Yield the question and two buttons."""
        with Vertical():
            yield Static(Content(self._question), markup=False, classes="question")
            with Horizontal():
                yield Button(f"{self._yes} (y)", id="yes", compact=True, variant="primary")
                yield Button(f"{self._no} (n)", id="no", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the button's answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Return the key's answer."""
        self.dismiss(answer)


class AskLine(DismissedOnce, ModalScreen["str | None"]):
    """Ask for one line of text."""

    DEFAULT_CSS = f"""AskLine {{ {_FRAME} }}"""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="dialog.cancel")]

    def __init__(self, question: str, value: str = "", *, hint: str = "Enter takes it, Esc leaves it.") -> None:
        super().__init__()
        self._question, self._value, self._hint = clean_line(question), one_line(value), hint

    def compose(self) -> ComposeResult:
        """Yield the question, the field and the hint."""
        with Vertical():
            yield Static(Content(self._question), markup=False, classes="question")
            yield LineInput(self._value, compact=True)
            yield Static(Content(self._hint), markup=False, classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the line on Enter."""
        self.dismiss(event.value)
