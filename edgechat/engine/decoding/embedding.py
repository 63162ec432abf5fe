"""Embedding models in the engine: the loaded model, and the loop that turns texts into vectors.

A step embeds one text; requests take turns. Knows no chats and no templates.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.process_memory import peak_rss
from edgechat.engine.decoding.loaded_model import started_event
from edgechat.engine.decoding.request_loop import LoopServices, RequestLoop
from edgechat.engine.decoding.request_queue import cancelled_before_start
from edgechat.engine.native.embedder import Embedder
from edgechat.engine.native.model import Model
from edgechat.engine.protocol.events import Done, Embedded
from edgechat.engine.protocol.vector import pack, unit
from edgechat.errors import AnswerError, ContextOverflowError, DeadlineError, InvalidInputError, WrongModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.selection.model_choice import Choice


class LoadedEmbeddingModel:
    """A loaded embedding model.

    Raises:
        EngineError: llama.cpp could not load it.
    """

    def __init__(self, choice: Choice, *, on_progress: Callable[[float], bool]) -> None:
        began = time.monotonic()
        self.choice = choice
        self.model = Model(choice.path, choice.plan.settings, on_progress=on_progress)
        try:
            self.embedder = Embedder(self.model, choice.plan.settings)
        except BaseException:
            # A smaller plan may be tried next, in this process: it needs the memory.
            self.model.close()
            raise
        self.load_s = time.monotonic() - began

    def tokens(self, request: Request) -> list[list[int]]:
        """The texts of a request as token ids.

        Raises:
            WrongModelError: it is a conversation.
            ContextOverflowError: a text is longer than the model reads at once.
            InvalidInputError: a text comes to no token.
        """
        if not request.texts:
            raise WrongModelError(
                f"{self.choice.name} makes embeddings and cannot hold a conversation.",
                hint="Choose a chat model; `edgechat models plan` names one that fits.",
            )
        return [self._tokens(text, number, len(request.texts)) for number, text in enumerate(request.texts, 1)]

    def _tokens(self, text: str, number: int, count: int) -> list[int]:
        which = f"Text {number} of {count}" if count > 1 else "The text"
        tokens = self.model.tokenize(text, add_special=True, parse_special=False)
        if not tokens:
            raise InvalidInputError(f"{which} holds nothing that this model's vocabulary knows.")
        limit = self.embedder.longest
        if len(tokens) > limit:
            more = "" if limit >= self.model.n_ctx_train else ", or ask for a larger context with --ctx"
            message = f"{which} is {len(tokens)} tokens; the model reads at most {limit} at once."
            raise ContextOverflowError(len(tokens), limit, message=message, hint=f"Cut it into parts{more}.")
        return tokens

    def close(self) -> None:
        """Free the context, then the model."""
        self.embedder.close()
        self.model.close()


@dataclass(slots=True)
class _Job:
    """A request whose texts are being embedded."""

    request: Request
    request_id: int
    reader: Connection
    texts: list[list[int]]
    arrived: float
    began: float = 0.0
    n_done: int = 0

    @property
    def deadline(self) -> float | None:
        return None if self.request.timeout_s is None else self.arrived + self.request.timeout_s

    @property
    def n_tokens(self) -> int:
        return sum(map(len, self.texts))


class EmbeddingLoop(RequestLoop):
    """Computes vectors with one loaded model."""

    def __init__(self, loaded: LoadedEmbeddingModel, services: LoopServices) -> None:
        super().__init__(loaded.choice, services)
        self._loaded = loaded
        self._running: deque[_Job] = deque()

    def _prepare(self, connection: Connection, request_id: int, request: Request) -> None:
        # Before any of its texts is embedded: a request that can never be finished is refused as a whole.
        texts = self._loaded.tokens(request)
        self._check_room(self._running)
        job = _Job(request, request_id, connection, texts, time.monotonic())
        n_ctx = self._loaded.embedder.longest
        started = started_event(self._loaded.choice, n_ctx=n_ctx, prompt_tokens=job.n_tokens, cached_tokens=0)
        connection.send(started, request_id)
        self._running.append(job)

    def _cancel(self, matches: Callable[[Any], bool]) -> None:
        for job in [each for each in self._running if matches(each)]:
            self._running.remove(job)
            job.reader.send(cancelled_before_start(job.n_tokens), job.request_id)

    def _end_late(self, now: float) -> None:
        for job in [each for each in self._running if each.deadline is not None and now > each.deadline]:
            self._running.remove(job)
            late = DeadlineError(f"The time allowed ran out with {job.n_done} of {len(job.texts)} texts embedded.")
            self._refuse(job.reader, job.request_id, late)

    def _compute(self) -> None:
        """Embed one text of the request that has waited longest for its turn."""
        _, threads = self._threads()
        self._loaded.embedder.set_threads(*threads)
        self._shared_status.stage = "prefill"
        job = self._running.popleft()
        job.began = job.began or time.monotonic()
        vector = self._loaded.embedder.vector(job.texts[job.n_done])
        try:
            job.reader.send(Embedded(job.n_done, pack(unit(vector))), job.request_id)
        except AnswerError as error:
            self._refuse(job.reader, job.request_id, error)
            return
        job.n_done += 1
        if job.n_done < len(job.texts):
            self._running.append(job)
        else:
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        n_tokens, seconds = job.n_tokens, time.monotonic() - job.began
        self._metrics.count_answer("stop", (n_tokens, 0, 0, 0), None)
        job.reader.send(
            Done(
                finish_reason="stop",
                usage={"prompt_tokens": n_tokens, "cached_tokens": 0, "completion_tokens": 0, "forced_tokens": 0},
                timing={
                    "queued_s": job.began - job.arrived,
                    "prefill_s": seconds,
                    "prefill_tps": n_tokens / seconds if seconds > 0 else 0.0,
                    "decode_s": 0.0,
                    "decode_tps": 0.0,
                },
                seed=0,
                is_context_full=False,
                peak_rss_bytes=peak_rss(),
                load_s=self._loaded.load_s,
            ),
            job.request_id,
        )
