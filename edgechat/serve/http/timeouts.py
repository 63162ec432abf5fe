"""Waiting with an end, without a task of its own for each wait: it happens for every piece of every stream.

``asyncio.wait_for`` makes a task a call before Python 3.12; ``asyncio.timeout`` does not exist in 3.10.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled when it takes longer.

    Raises:
        asyncio.TimeoutError: it did.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine always runs in one
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
        # Python 3.11 counts cancellations; ours is answered here. One from elsewhere at the same time still counts.
        if hasattr(task, "uncancel") and task.uncancel() > 0:
            raise
        raise asyncio.TimeoutError from None
    finally:
        timer.cancel()
