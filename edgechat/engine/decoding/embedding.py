"""Embedding models in the engine: what is resident, and the loop that turns texts into vectors.

Takes the same mail as the decode loop and answers in the same frames. A step embeds one text; requests take turns, and
whatever takes effect does so between steps. Knows no chats and no templates.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.child.process_memory import peak_rss
from edgechat.engine.decoding.inbox import Mailbag
from edgechat.engine.decoding.loop import MAX_WAITING
from edgechat.engine.decoding.sequence import never_started
from edgechat.engine.native.embedder import Embedder
from edgechat.engine.native.model import Model
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Done, Embedded, Started
from edgechat.engine.protocol.vector import pack, unit
from edgechat.engine.state.log import log_exception
from edgechat.errors import (
    AnswerError,
    ContextOverflowError,
    DeadlineError,
    EdgechatError,
    EngineBusyError,
    InvalidInputError,
    WrongModelError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.decoding.loop import Inbox
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request, Wish
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.engine.state.metrics import Metrics
    from edgechat.engine.state.shared_status import SharedStatus
    from edgechat.engine.throttle.monitor import ThrottleMonitor
    from edgechat.engine.throttle.thread_governor import Governor


class EmbeddingResidence:
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
    """A request whose texts wait for their vectors."""

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


class EmbeddingLoop:
    """Makes vectors over one residence. Everything happens in the loop's thread; others put mail into the inbox."""

    def __init__(
        self,
        residence: EmbeddingResidence,
        inbox: Inbox,
        governor: Governor,
        shared_status: SharedStatus,
        *,
        mismatch: Callable[[Wish, Connection], Frame | None],
        monitor: ThrottleMonitor,
        metrics: Metrics,
    ) -> None:
        self._home, self._mailbag, self._governor, self._shared_status = (
            residence,
            Mailbag(inbox),
            governor,
            shared_status,
        )
        self._mismatch, self._monitor, self._metrics = mismatch, monitor, metrics
        settings = residence.choice.plan.settings
        self._planned_threads = (settings.n_threads, settings.n_threads_batch)
        self._jobs: deque[_Job] = deque()
        self.idle_since = time.monotonic()

    @property
    def n_active(self) -> int:
        """Requests that are worked on or wait."""
        return len(self._jobs) + len(self._mailbag)

    def turn(self, patience_s: float) -> None:
        """Take what arrived, waiting up to ``patience_s`` when there is nothing to do, then run one step."""
        self._take_mail(0.0 if self._jobs else patience_s)
        self._expire()
        if self._jobs:
            self._step()
            self.idle_since = time.monotonic()
        else:
            self._governor.update(time.monotonic(), resting=True)
        if not self._jobs and self._shared_status.stage != "idle":
            self._shared_status.stage = "idle"
            self._governor.restart_window()

    # -- mail ----------------------------------------------------------------------------------------------------------

    def _take_mail(self, patience_s: float) -> None:
        for connection, request_id in self._mailbag.collect(patience_s):
            self._cancel_of(connection, request_id)
        for request in self._mailbag.requests():
            self._prepare(*request)
            if self._jobs:
                break  # one a turn: what is worked on stands still meanwhile

    def _cancel_of(self, connection: Connection, request_id: int | None) -> None:
        self._cancel(lambda job: job.reader is connection and request_id in {None, job.request_id})

    def _prepare(self, connection: Connection, request_id: int, request: Request) -> None:
        """Tokenize; a request that can never run is refused here, before any of its texts is worked on."""
        try:
            if switch := self._mismatch(request.wish, connection):
                connection.send_frame({**switch, "id": request_id})
                return
            texts = self._home.tokens(request)
            self._check_room()
        except EdgechatError as error:
            self._refuse(connection, request_id, error)
            return
        except Exception as error:  # noqa: BLE001 - a defect in preparing one request must not end the others
            log_exception()
            self._refuse(connection, request_id, EdgechatError(f"This is a defect in edgechat: {error!r}."))
            return
        job = _Job(request, request_id, connection, texts, time.monotonic())
        choice = self._home.choice
        connection.send(
            Started(
                model=choice.name,
                quant=choice.quant,
                n_ctx=self._home.embedder.longest,
                prompt_tokens=job.n_tokens,
                cached_tokens=0,
                languages=choice.languages,
                is_starter=choice.is_starter,
                stepped_down_from=choice.stepped_down_from,
                stepped_down_why=choice.stepped_down_why,
            ),
            request_id,
        )
        self._jobs.append(job)

    def _check_room(self) -> None:
        if len(self._jobs) >= MAX_WAITING:
            raise EngineBusyError(
                f"{MAX_WAITING} requests are waiting already.", cause="busy", hint="Try again in a moment."
            )

    def _refuse(self, connection: Connection, request_id: int, error: EdgechatError) -> None:
        self._metrics.count_refusal(type(error).__name__)
        connection.send_frame(error_frame(error, request_id))

    def _cancel(self, matches: Callable[[_Job], bool]) -> None:
        for job in [each for each in self._jobs if matches(each)]:
            self._jobs.remove(job)
            job.reader.send(never_started(job.n_tokens), job.request_id)

    def _expire(self) -> None:
        """End what nobody waits for any more: the deadline passed, or the reader left."""
        now = time.monotonic()
        self._cancel(lambda job: not job.reader.is_open)
        for job in [each for each in self._jobs if each.deadline is not None and now > each.deadline]:
            self._jobs.remove(job)
            late = DeadlineError(f"The time allowed ran out with {job.n_done} of {len(job.texts)} texts embedded.")
            self._refuse(job.reader, job.request_id, late)

    # -- one step ------------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Embed the next text of the request whose turn it is."""
        was_idle = self._shared_status.stage == "idle"
        self._governor.update(time.monotonic(), resting=was_idle)
        if was_idle:
            self._governor.on_answer_start()
        allowed = self._monitor.threads(self._governor.n_threads)
        self._home.embedder.set_threads(*(min(planned, allowed) for planned in self._planned_threads))
        self._shared_status.stage = "prefill"
        job = self._jobs.popleft()
        job.began = job.began or time.monotonic()
        vector = self._home.embedder.vector(job.texts[job.n_done])
        try:
            job.reader.send(Embedded(job.n_done, pack(unit(vector))), job.request_id)
        except AnswerError as error:
            self._refuse(job.reader, job.request_id, error)
            return
        job.n_done += 1
        if job.n_done < len(job.texts):
            self._jobs.append(job)
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
                load_s=self._home.load_s,
            ),
            job.request_id,
        )
