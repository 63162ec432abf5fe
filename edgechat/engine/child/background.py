"""A call in a background thread; where the thread could not begin, :meth:`BackgroundCall.join` makes the call itself.

Not :class:`threading.Thread`, whose ``start`` waits for ever for a thread that ran out of memory before its first step
(seen under an address-space limit).
"""

from __future__ import annotations

import _thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class BackgroundCall:
    """Starts a call at once.

    Raises:
        RuntimeError: no thread could be created.
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
        """Wait until the call is done, or make it here where it has not begun. May be called repeatedly."""
        self._run()
        with self._over:
            pass
