"""Input fields that handle keys in the order in which they arrive, even when several arrive at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

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


class LineInput(OrderedKeys, Input):
    """A field for one line of text."""
