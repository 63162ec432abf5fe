"""What to do when the engine goes away during a request: ask another one, go on with a smaller plan, or give up.

Pure decisions; :mod:`edgechat.engine.client.client` connects and asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.client.exit_report import sentence
from edgechat.engine.protocol.events import Recovered
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from edgechat.engine.state.exit_reason import ExitReason

MAX_DEATHS = 1
"""Of the engine over one request; a request that kills it twice is not tried again."""

MAX_GOODBYES = 20
"""In a row; races between clients cause a few."""

RETRIED_GOODBYES = frozenset(("idle", "memory", "refused", "retired", "version"))
"""Reasons of a goodbye after which another engine is started and asked."""

FINAL_CAUSES = frozenset(("stopped", "template"))
"""Of a death: somebody stopped the engine, or a chat template did not return and would not the next time either."""


class Recovery:
    """Counts how often the engine went away during one request."""

    def __init__(self) -> None:
        self._deaths = 0
        self._goodbyes = 0
        self._smallest: int | None = None
        """The smallest plan so far that ran out of memory, in bytes."""

    def asks_again(self, goodbye: str | None) -> bool:
        """Whether the engine was only exiting when the request came, so that another is to be asked.

        Args:
            goodbye: the reason that it gave; None where the connection broke without one.
        """
        if goodbye not in RETRIED_GOODBYES or self._goodbyes >= MAX_GOODBYES:
            return False
        self._goodbyes += 1
        return True

    def after_death(self, reason: ExitReason) -> Recovered:
        """The event that tells the user of a death, after which the answer goes on.

        A death by memory does not count while each plan is smaller than the one before.

        Raises:
            EngineError: the request must not be tried again.
        """
        is_smaller = 0 < reason.stepped_below < (self._smallest or reason.stepped_below + 1)
        if is_smaller:
            self._smallest = reason.stepped_below
        else:
            self._deaths += 1
        message = sentence(reason, again=self._deaths > MAX_DEATHS)
        if self._deaths > MAX_DEATHS or reason.cause in FINAL_CAUSES:
            raise EngineError(message, cause=reason.cause, hint="See `edgechat doctor`.")
        note = "A smaller plan is tried." if is_smaller else "It was restarted and continued."
        return Recovered(reason.cause, f"{message} {note}")
