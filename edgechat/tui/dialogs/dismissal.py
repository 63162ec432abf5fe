"""Closing a screen once, however many keys ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete

if TYPE_CHECKING:
    from textual.screen import Screen

    _Screen = Screen[Any]
else:
    # At run time no screen: Textual takes styles and bindings from the first base class, which must be the screen.
    _Screen = object


class DismissedOnce(_Screen):
    """A screen that is already closed ignores further requests to close.

    Two Enter keys that arrive together post two events. Textual would close the screen below for the second one.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:  # noqa: ANN401 - whatever the screen returns
        """Close the screen with a result, and what lies above it without one."""
        if self not in self.app.screen_stack:
            return AwaitComplete()
        while (above := self.app.screen) is not self:
            above.dismiss(None)
        return super().dismiss(result)


class SwitchableScreen(DismissedOnce):
    """A screen from which the keys of the other screens work as in the chat: opening one closes this one."""

    @property
    def may_switch(self) -> bool:
        """Whether they work now: false while something runs that closing the screen would end."""
        return True
