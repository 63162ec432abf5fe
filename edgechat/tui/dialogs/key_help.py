"""The key help: edgechat's key bindings and what they do, those of the current screen first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from edgechat.tui.dialogs.dismissal import DismissedOnce

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult

_KEY_WIDTH = 20


class KeyHelpScreen(DismissedOnce, ModalScreen[None]):
    """The list of keys; Esc or F1 closes it."""

    DEFAULT_CSS = """
    KeyHelpScreen { align: center middle; }
    KeyHelpScreen VerticalScroll {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: round $accent; padding: 0 1; background: $surface;
    }
    KeyHelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss", "Close", id="keys.close")]

    def __init__(self, groups: Sequence[tuple[str, Sequence[tuple[str, str]]]], footer: str) -> None:
        super().__init__()
        parts: list[Content] = []
        for heading, keys in groups:
            if keys:
                parts.append(Content.assemble((heading, "bold $text-accent")))
                parts += [Content.assemble((f"  {key:<{_KEY_WIDTH}}", "bold"), words) for key, words in keys]
        self._text = Content("\n").join([*parts, Content(""), Content(footer)])

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with VerticalScroll():
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Focus the list, so that arrow keys scroll it."""
        self.query_one(VerticalScroll).focus()


def key_rows(bindings: Iterable[BindingType], own_keys: dict[str, str]) -> list[tuple[str, str]]:
    """Keys and descriptions of the bindings that have a tooltip."""
    found = []
    for binding in bindings:
        if isinstance(binding, Binding) and binding.tooltip:
            keys = own_keys.get(binding.id or "", binding.key)
            found.append((", ".join(full_name(key) for key in keys.split(",")[:2]), binding.tooltip))
    return found


_NAMES = {"escape": "Esc", "slash": "/", "pageup": "PgUp", "pagedown": "PgDn", "delete": "Del", "up": "↑", "down": "↓"}


def full_name(key: str) -> str:
    """A key as the help shows it: ``ctrl+up`` is ``Ctrl+↑``."""
    *modifiers, last = key.strip().split("+")
    shown = _NAMES.get(last, last.upper() if len(last) > 1 or modifiers else last)
    return "+".join(
        [*(each.capitalize() for each in modifiers), shown.capitalize() if shown in {"ENTER", "TAB"} else shown]
    )
