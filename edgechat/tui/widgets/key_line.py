"""One line with the keys of this place: as many as fit, none cut in two, and always the key that lists them all.

A single widget that draws itself: a widget for each key costs a tenth of the app's start, and again at every change of
focus. A click on a key presses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.geometry import Size
    from textual.screen import Screen

_ALWAYS = "toggle_help"
"""The action whose key stays when others find no room: it shows where they are."""


@dataclass(frozen=True, slots=True)
class Key:
    """What stands in the line for one binding."""

    key: str
    """As it is pressed, for a click."""
    shown: str
    words: str
    action: str
    is_enabled: bool = True

    @property
    def width(self) -> int:
        """Cells of key and words."""
        return Content(f"{self.shown} {self.words}").cell_length


def fitting(keys: Sequence[Key], width: int) -> tuple[list[Key], int]:
    """Those of ``keys`` that ``width`` cells hold, in their order, and the blanks between two of them.

    Where there is no room for all, the last go first, but for the key of all keys.
    """
    chosen = list(keys)
    while True:
        needed = sum(key.width for key in chosen)
        for gap in (2, 1):
            if needed + gap * (len(chosen) - 1) <= width or not chosen:
                return chosen, gap
        spare = [at for at, key in enumerate(chosen) if key.action != _ALWAYS]
        del chosen[spare[-1] if spare else -1]


def written(key: str) -> str:
    """A key as the rest of the app writes it: ``F2``, ``^R``, ``Esc``; a letter to press stays small."""
    if key.startswith("^") or (key[0] == "f" and key[1:].isdigit()):
        return key.upper()
    return key if len(key) == 1 else key.capitalize()


class KeyLine(Widget):
    """The keys that work now."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; padding: 0 1; text-wrap: nowrap;
        color: $footer-description-foreground; background: $footer-background;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.auto_links = False
        self._keys: list[Key] = []

    def on_mount(self) -> None:
        """Follow the focus, and what can be done at the moment."""
        self.screen.bindings_updated_signal.subscribe(self, self._on_bindings)
        self._on_bindings(self.screen)

    def _on_bindings(self, screen: Screen[object]) -> None:
        if not (self.is_attached and screen is self.screen and screen.app.app_focus):
            return
        keys: dict[str, Key] = {}
        for _, binding, is_enabled, _ in screen.active_bindings.values():
            if binding.show and binding.action not in keys:
                shown = written(self.app.get_key_display(binding))
                keys[binding.action] = Key(binding.key, shown, binding.description, binding.action, is_enabled)
        if (found := list(keys.values())) != self._keys:
            self._keys = found
            self.refresh()

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002 - Textual's
        """All there is."""
        return container.width

    def render(self) -> Content:
        """Keys stand out from their words; those that do nothing now are dim."""
        keys, gap = fitting(self._keys, self.content_size.width)
        parts = [
            Content.assemble((key.shown, "bold $footer-key-foreground"), f" {key.words}").stylize(
                "" if key.is_enabled else "dim"
            )
            for key in keys
        ]
        return Content(" " * gap).join(parts)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        if (offset := event.get_content_offset(self)) is None:
            return
        keys, gap = fitting(self._keys, self.content_size.width)
        end = 0
        for key in keys:
            if end <= offset.x < end + key.width:
                if key.is_enabled:
                    self.app.simulate_key(key.key)
                else:
                    self.app.bell()
            end += key.width + gap
