"""All keys, with what they do: those of this place first. Only what belongs to edgechat; editing is as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult

_KEY_WIDTH = 20


class KeysScreen(ModalScreen[None]):
    """Esc or F1 closes it.

    Args:
        groups: headings, each with keys and what they do.
        where: how to have other keys.
    """

    DEFAULT_CSS = """
    KeysScreen { align: center middle; }
    KeysScreen VerticalScroll {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: round $accent; padding: 0 1; background: $surface;
    }
    KeysScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss", "Close", id="keys.close")]

    def __init__(self, groups: Sequence[tuple[str, Sequence[tuple[str, str]]]], where: str) -> None:
        super().__init__()
        parts: list[Content] = []
        for heading, rows in groups:
            if rows:
                parts.append(Content.assemble((heading, "bold $text-accent")))
                parts += [Content.assemble((f"  {key:<{_KEY_WIDTH}}", "bold"), words) for key, words in rows]
        self._text = Content("\n").join([*parts, Content(""), Content(where)])

    def compose(self) -> ComposeResult:
        """The list."""
        with VerticalScroll():
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Arrow keys scroll at once."""
        self.query_one(VerticalScroll).focus()


def rows(bindings: Iterable[BindingType], display: dict[str, str]) -> list[tuple[str, str]]:
    """Keys and words of bindings that say what they are for.

    Args:
        bindings: as a widget declares them.
        display: keys of the person's own, by the id of the binding.
    """
    found = []
    for binding in bindings:
        if isinstance(binding, Binding) and binding.tooltip:
            keys = display.get(binding.id or "", binding.key)
            found.append((", ".join(named(key) for key in keys.split(",")[:2]), binding.tooltip))
    return found


_NAMES = {"escape": "Esc", "slash": "/", "pageup": "PgUp", "pagedown": "PgDn", "delete": "Del", "up": "↑", "down": "↓"}


def named(key: str) -> str:
    """A key as it is written on keyboards: ``ctrl+up`` is ``Ctrl+↑``."""
    *held, last = key.strip().split("+")
    shown = _NAMES.get(last, last.upper() if len(last) > 1 or held else last)
    return "+".join([*(each.capitalize() for each in held), shown.capitalize() if shown in {"ENTER", "TAB"} else shown])
