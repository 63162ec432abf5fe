"""Input fields for one line: without control characters, and with keys handled in the order in which they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

from edgechat.plaintext import clean

if TYPE_CHECKING:
    from textual import events
    from textual.widget import Widget as _Widget
else:
    # At run time no widget: Textual takes styles and bindings from the first base class, which must be the field.
    _Widget = object


class OrderedKeys(_Widget):
    """Runs the field's own bindings in the field.

    Textual runs bindings in the app. When several keys arrive at once, over a slow link or on a busy board, Enter and
    Backspace would then run before or after the letters around them.
    """

    async def _on_key(self, event: events.Key) -> None:
        active = None if event.is_printable else self.screen.active_bindings.get(event.key)
        if active is not None and active.node is self and active.enabled:
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)


class PlainInput(Input):
    """A field that leaves out control characters of what is typed or pasted: a file name must not hold any."""

    def replace(self, text: str, start: int, end: int) -> None:
        """Replace part of the value; all typing and pasting comes here."""
        super().replace(one_line(text), start, end)


class LineInput(OrderedKeys, PlainInput):
    """A field for one line of text, whose own bindings come in order."""


def one_line(text: str) -> str:
    """``text`` without control characters; line ends and tabs become spaces, and several spaces stay several."""
    return clean(text).replace("\n", " ").replace("\t", " ")
