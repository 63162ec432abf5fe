"""The command palette: its entries, and Textual's dialog, which may be closed while it still collects them."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import SystemCommand
from textual.command import CommandList, CommandPalette
from textual.css.query import NoMatches
from textual.widgets import LoadingIndicator

from edgechat.tui.dialogs.dismissal import DismissedOnce
from edgechat.tui.widgets.choice_list import can_move_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.app import App
    from textual.screen import Screen

_FROM_TEXTUAL = frozenset({"Theme", "Screenshot"})


def entries(app: App[Any], screen: Screen[object], textuals: Iterable[SystemCommand]) -> Iterator[SystemCommand]:
    """The key bindings of the current screen, then theme and screenshot of Textual's own entries."""
    seen = set()
    for _, binding, is_enabled, _ in screen.active_bindings.values():
        if is_enabled and binding.tooltip and binding.action not in seen:
            seen.add(binding.action)
            run = partial(app.run_action, binding.action, screen)
            yield SystemCommand(binding.description, binding.tooltip, run)
    yield from (command for command in textuals if command.title in _FROM_TEXTUAL)


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
