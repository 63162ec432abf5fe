"""Many questions asked by several clients at once, each with a connection of its own, and how long all of them take."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from scripts.benchmarks.reply import Reply, ask, ask_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.benchmarks.llama_tools import LlamaServer
    from scripts.benchmarks.parameters import Model, Parameters
    from scripts.benchmarks.reply import Question


def ask_all(questions: Sequence[Question], askers: Sequence[Callable[[Question], Reply]]) -> tuple[float, list[Reply]]:
    """Ask everything, each asker taking the next question when it is free.

    Returns:
        Seconds for all of it, and the replies in the order of the questions.

    Raises:
        Exception: what an asker raised; the others work off what is left first.
    """
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(questions)):
        left.put(number)
    replies: dict[int, Reply] = {}

    def work(one: Callable[[Question], Reply]) -> None:
        while True:
            try:
                number = left.get_nowait()
            except queue.Empty:
                return
            replies[number] = one(questions[number])

    began = time.monotonic()
    at_once([partial(work, one) for one in askers])
    return time.monotonic() - began, [replies[number] for number in range(len(questions))]


def at_once(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs in threads of their own until all have ended.

    Raises:
        Exception: what the first job to fail raised.
    """
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def ask_edgechat(
    parameters: Parameters, model: Model, count: int, questions: Sequence[Question]
) -> tuple[float, list[Reply]]:
    """The questions put to edgechat's engine by ``count`` clients."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(parameters.edgechat.client())) for _ in range(count)]
        return ask_all(questions, [partial(ask, client, model.path, is_batch=True) for client in clients])


def ask_llama_server(server: LlamaServer, count: int, questions: Sequence[Question]) -> tuple[float, list[Reply]]:
    """The questions put to a llama-server by ``count`` clients."""
    return ask_all(questions, [partial(ask_server, server)] * count)
