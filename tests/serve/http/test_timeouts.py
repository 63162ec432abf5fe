"""Timeouts: late work is cancelled, work in time is not, and a cancellation from outside passes through."""

import asyncio

import pytest

from edgechat.serve.http.timeouts import with_timeout


def test_what_comes_in_time_is_given_and_leaves_no_timer():
    async def work() -> None:
        for _ in range(100):
            assert await with_timeout(0.05, asyncio.sleep(0, result=3)) == 3
        await asyncio.sleep(0.1)  # a timer that was left would cancel this

    asyncio.run(work())


def test_what_is_late_is_cancelled_and_waiting_can_go_on():
    async def work() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        with pytest.raises(asyncio.TimeoutError):
            await with_timeout(0.01, queue.get())
        queue.put_nowait(7)
        assert await with_timeout(1, queue.get()) == 7
        task = asyncio.current_task()
        assert not getattr(task, "cancelling", lambda: 0)()

    asyncio.run(work())


def test_whoever_cancels_from_elsewhere_is_obeyed():
    async def work() -> None:
        waiting = asyncio.create_task(with_timeout(10, asyncio.sleep(10)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(work())


def test_errors_pass():
    async def fail() -> None:
        raise OSError("gone")

    async def work() -> None:
        with pytest.raises(OSError, match="gone"):
            await with_timeout(1, fail())

    asyncio.run(work())
