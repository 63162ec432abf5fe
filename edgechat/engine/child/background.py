"""Work that is done beside other work, by a thread of its own or, where that could not begin, by whoever waits for it.

Not :class:`threading.Thread`: its ``start`` waits until the thread has begun, and one that died for want of memory
before its first step is waited for forever (seen under an address-space limit).
"""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class BackgroundCall:
    """A call that begins at once.

    Args:
        work: what is called; it keeps its own result.
        arguments: of the call.

    Raises:
        RuntimeError: no thread could be made at all.
    """

    def __init__(self, work: Callable[..., object], *arguments: Any) -> None:
        self._work, self._arguments = work, arguments
        self._begun, self._over = _thread.allocate_lock(), _thread.allocate_lock()
        self._over.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        if self._begun.acquire(blocking=False):
            try:
                self._work(*self._arguments)
            finally:
                self._over.release()

    def join(self) -> None:
        """Wait until it is done, or do it here where it has not begun. Any number of times."""
        self._run()
        with self._over:
            pass
