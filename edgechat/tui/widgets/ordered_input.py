"""Fields that do what their keys mean in the order in which they came, however many arrive at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

if TYPE_CHECKING:
    from textual import events
    from textual.widget import Widget as _Widget
else:
    # Textual takes styles and bindings from the first of its own classes alone, and that is the field.
    _Widget = object


class KeysInOrder(_Widget):
    """Runs its own bindings itself.

    Textual hands bindings on to the app, which lets Enter and Backspace fall behind, or run ahead of, letters that came
    with them: over a slow link, or on a busy board, several keys arrive at once.
    """

    async def _on_key(self, event: events.Key) -> None:
        active = None if event.is_printable else self.screen.active_bindings.get(event.key)
        if active is not None and active.node is self and active.enabled:
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)


class Line(KeysInOrder, Input):
    """One line to write in."""
