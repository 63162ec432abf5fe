"""The footer: one line with the active key bindings, as many as fit, and always the key of the help screen.

A single widget that draws itself: one widget for each key would take a tenth of the app's start time, and again at
every change of focus. A click on a key presses it.
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
"""The action whose key is always shown: it lists all keys."""


@dataclass(frozen=True, slots=True)
class Key:
    """One binding in the footer."""

    key: str
    """The name of the key, to simulate it on a click."""
    shown: str
    words: str
    action: str
    is_enabled: bool = True

    @property
    def width(self) -> int:
        """Width in cells."""
        return Content(f"{self.shown} {self.words}").cell_length


def fitting(keys: Sequence[Key], width: int) -> tuple[list[Key], int]:
    """The keys that fit in ``width`` cells, in order, and the number of spaces between two of them.

    Without room for all, keys are left out from the end, except the key of the help screen.
    """
    chosen = list(keys)
    while True:
        needed = sum(key.width for key in chosen)
        for gap in (2, 1):
            if needed + gap * (len(chosen) - 1) <= width or not chosen:
                return chosen, gap
        spare = [at for at, key in enumerate(chosen) if key.action != _ALWAYS]
        del chosen[spare[-1] if spare else -1]


def short_name(key: str) -> str:
    """A key as the footer shows it: ``F2``, ``^R``, ``Esc``; a single letter stays lower case."""
    if key.startswith("^") or (key[0] == "f" and key[1:].isdigit()):
        return key.upper()
    return key if len(key) == 1 else key.capitalize()


class KeyFooter(Widget):
    """The line of active keys."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyFooter {
        dock: bottom; height: 1; padding: 0 1; text-wrap: nowrap;
        color: $footer-description-foreground; background: $footer-background;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.auto_links = False
        self._keys: list[Key] = []

    def on_mount(self) -> None:
        """Update with the focus and the available actions."""
        self.screen.bindings_updated_signal.subscribe(self, self._on_bindings)
        self._on_bindings(self.screen)

    def _on_bindings(self, screen: Screen[object]) -> None:
        if not (self.is_attached and screen is self.screen and screen.app.app_focus):
            return
        keys: dict[str, Key] = {}
        for _, binding, is_enabled, _ in screen.active_bindings.values():
            if binding.show and binding.action not in keys:
                shown = short_name(self.app.get_key_display(binding))
                keys[binding.action] = Key(binding.key, shown, binding.description, binding.action, is_enabled)
        if (found := list(keys.values())) != self._keys:
            self._keys = found
            self.refresh()

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002 - Textual's
        """Take the whole width."""
        return container.width

    def render(self) -> Content:
        """Draw keys bold and their words plain; disabled ones dim."""
        keys, gap = fitting(self._keys, self.content_size.width)
        parts = [
            Content.assemble((key.shown, "bold $footer-key-foreground"), f" {key.words}").stylize(
                "" if key.is_enabled else "dim"
            )
            for key in keys
        ]
        return Content(" " * gap).join(parts)

    def on_click(self, event: events.Click) -> None:
        """Press the clicked key."""
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
