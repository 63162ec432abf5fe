"""Textual's command palette, which may be closed while it still collects commands."""

from __future__ import annotations

import inspect

from textual import work
from textual.command import CommandList, CommandPalette
from textual.css.query import NoMatches
from textual.widgets import LoadingIndicator

from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.widgets.choice_list import can_move_page


class Palette(DismissedOnce, CommandPalette):
    """All commands, searched while typing."""

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        # Closed at once, the palette has no list any more, and Textual's own search would end the app.
        gather = inspect.unwrap(CommandPalette._gather_commands)
        try:
            await gather(self, search_value)
        except NoMatches:
            if self.is_attached and self.is_mounted and self.is_current:
                raise

    def _action_command_list(self, action: str) -> None:
        # Not every query finds the list: the palette may be closing.
        found = self.query(CommandList)
        if found and (not action.startswith("page_") or can_move_page(found.first())):
            super()._action_command_list(action)

    async def _watch__show_busy(self) -> None:
        if len(self.query(LoadingIndicator)) and len(self.query(CommandList)):
            await super()._watch__show_busy()

    def _watch__list_visible(self) -> None:
        if self.query(CommandList) and self.query("#--input"):
            super()._watch__list_visible()
