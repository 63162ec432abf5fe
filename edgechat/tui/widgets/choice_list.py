"""A list to choose from that takes any key at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import OptionList

if TYPE_CHECKING:
    from textual._widget_navigation import Direction


class ChoiceList(OptionList):
    """Textual's list, which ends the app when PageUp or PageDown comes between new options and their layout."""

    def _move_page(self, direction: Direction) -> None:
        if can_move_page(self):
            super()._move_page(direction)


def can_move_page(options: OptionList) -> bool:
    """Whether the highlighted option has a place on the screen already."""
    return (options.highlighted or 0) in options._index_to_line
