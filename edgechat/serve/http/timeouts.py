"""A timeout that creates no task, because it is used for every piece of every stream.

``asyncio.wait_for`` creates a task per call before Python 3.12, and ``asyncio.timeout`` does not exist in 3.10.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def with_timeout(seconds: float, work: Awaitable[T]) -> T:
    """Await ``work``, and cancel it when it takes longer than ``seconds``.

    Raises:
        asyncio.TimeoutError: it took longer.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine always runs in a task
    is_late = False

    def expire() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await work
    except asyncio.CancelledError:
        if not is_late:
            raise
        # Python 3.11 counts cancellations. Ours ends here; another one at the same time must still be raised.
        if hasattr(task, "uncancel") and task.uncancel() > 0:
            raise
        raise asyncio.TimeoutError from None
    finally:
        timer.cancel()
