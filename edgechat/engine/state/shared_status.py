"""The engine's status in one page of memory that it shares with its supervisor.

Created before the fork, so that the supervisor can still read it after the engine was killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import resource
from typing import TYPE_CHECKING, NoReturn

from edgechat.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STAGES = ("start", "load", "prefill", "decode", "idle")
_SIZE = 4096
_LONGEST_FACT = 600
NO_THREAD_EXIT = 73
RENDER_LIMIT_S = 5.0
"""A chat template that renders for longer ends the engine process."""


class SharedStatus:
    """Stage and facts of one engine process."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SIZE)

    @property
    def stage(self) -> str:
        """What the engine is doing: ``start``, ``load``, ``prefill``, ``decode`` or ``idle``."""
        return _STAGES[self._page[0]]

    @stage.setter
    def stage(self, name: str) -> None:
        self._page[0] = _STAGES.index(name)

    def set_facts(self, **facts: str) -> None:
        """Add facts for the supervisor, such as the model's ``label`` or the ``declared`` cause of an exit."""
        # A long value must not push the other facts off the page.
        facts = {name: value[:_LONGEST_FACT] for name, value in facts.items()}
        text = json.dumps({**self.facts(), **facts}).encode()[: _SIZE - 3]
        self._page[1:3] = len(text).to_bytes(2, "big")
        self._page[3 : 3 + len(text)] = text

    def facts(self) -> dict[str, str]:
        """The facts that were set so far."""
        length = int.from_bytes(self._page[1:3], "big")
        if not length:
            return {}
        try:
            facts: dict[str, str] = json.loads(self._page[3 : 3 + length])
        except ValueError:
            return {}  # the engine was killed while it wrote them
        return facts

    @contextlib.contextmanager
    def render_limit(self) -> Iterator[None]:
        """Limit the time of the block to :data:`RENDER_LIMIT_S`: a template's loops cannot be interrupted from Python.

        Uses faulthandler's timer, a thread that needs no interpreter lock and ends the process.
        """
        try:
            faulthandler.dump_traceback_later(RENDER_LIMIT_S, exit=True)
        except RuntimeError as error:
            self._refuse_to_render(error)
        self.set_facts(declared=f"template:rendering the chat template took more than {RENDER_LIMIT_S:.0f} s")
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.set_facts(declared="")

    def _refuse_to_render(self, error: RuntimeError) -> NoReturn:
        """End the engine under an address-space limit, so that one with a smaller plan replaces it; else raise.

        Raises:
            EngineError: the timer's thread could not be started because the number of threads is limited.
        """
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            self.set_facts(declared="oom:the address-space limit leaves no room for a thread")
            os._exit(NO_THREAD_EXIT)
        raise EngineError(
            f"The engine cannot start a thread: {error}.",
            cause="exit",
            hint="Raise the limit on processes of this user, container or service.",
        ) from error
