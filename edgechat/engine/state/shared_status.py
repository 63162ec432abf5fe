"""What the engine's warden and its clients may know of it while it works: a page of shared memory, no disk.

Created before the fork, so the warden still reads it after the engine was killed in mid-step.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edgechat.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STAGES = ("start", "load", "prefill", "decode", "idle")
_SIZE = 4096
_LONGEST_FACT = 600
NO_THREAD_EXIT = 73
RENDER_LIMIT_S = 5.0
"""A model's own template that has not come to an end by then takes its engine with it."""


class Vital:
    """Stage, label and declared cause of one engine process."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SIZE)

    @property
    def stage(self) -> str:
        """What the engine does now: ``start``, ``load``, ``prefill``, ``decode`` or ``idle``."""
        return _STAGES[self._page[0]]

    @stage.setter
    def stage(self, name: str) -> None:
        self._page[0] = _STAGES.index(name)

    def note(self, **facts: str) -> None:
        """Remember facts for the warden: ``label`` of the model, ``declared`` cause of a death to come."""
        # A long cause must not push the other facts off the page.
        facts = {name: value[:_LONGEST_FACT] for name, value in facts.items()}
        text = json.dumps({**self.facts(), **facts}).encode()[: _SIZE - 3]
        self._page[1:3] = len(text).to_bytes(2, "big")
        self._page[3 : 3 + len(text)] = text

    def facts(self) -> dict[str, str]:
        """What was noted so far."""
        length = int.from_bytes(self._page[1:3], "big")
        if not length:
            return {}
        try:
            facts: dict[str, str] = json.loads(self._page[3 : 3 + length])
        except ValueError:
            return {}  # killed in the middle of writing
        return facts

    @contextlib.contextmanager
    def rendering(self) -> Iterator[None]:
        """Limits the time spent in a model's own template, which nothing inside Python could interrupt.

        The timer is faulthandler's: a thread that needs no interpreter lock, and ends the process.
        """
        try:
            faulthandler.dump_traceback_later(RENDER_LIMIT_S, exit=True)
        except RuntimeError as error:
            self._no_thread(error)
        self.note(declared=f"template:rendering the chat template took more than {RENDER_LIMIT_S:.0f} s")
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.note(declared="")

    def _no_thread(self, error: RuntimeError) -> NoReturn:
        """A thread could not be started, and without its timer no template is run.

        Raises:
            EngineError: not memory but the number of threads is limited; under an address-space limit the engine ends,
                so that one with a smaller plan takes over.
        """
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            self.note(declared="oom:the address-space limit leaves no room for a thread")
            os._exit(NO_THREAD_EXIT)
        raise EngineError(
            f"The engine cannot start a thread: {error}.",
            cause="exit",
            hint="Raise the limit on processes of this user, container or service.",
        ) from error

    @staticmethod
    def peak_rss() -> int:
        """Peak resident bytes of this process."""
        try:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return 0

    @staticmethod
    def rss(pid: int | None = None) -> int:
        """Resident bytes of a process, 0 when it cannot be read."""
        try:
            pages = int(Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1])
        except (OSError, ValueError):
            return 0
        return pages * mmap.PAGESIZE
