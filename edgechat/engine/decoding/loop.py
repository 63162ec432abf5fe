"""The decode loop: takes requests, keeps as many as fit decoding together, and sends what comes out.

One thread, one llama.cpp context. A step decodes one token of every running answer and a piece of one prompt
that is still being read, each in its turn; the piece is sized by measured speed, so that a cancellation or a running
answer never waits longer than one short step. Everything that takes effect does so between steps.
"""

from __future__ import annotations

import os
import queue
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.process_memory import peak_rss
from edgechat.engine.decoding.inbox import Mailbag
from edgechat.engine.decoding.prefill import Reading
from edgechat.engine.decoding.pressure_response import Heed
from edgechat.engine.decoding.scheduler import Admission, Waiting
from edgechat.engine.decoding.sequence import never_started, replay
from edgechat.engine.decoding.speculative import Speculation
from edgechat.engine.native import logits
from edgechat.engine.native.context import CacheFullError
from edgechat.engine.protocol.context_window import ContextWindow
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Prefill
from edgechat.engine.state.log import log_exception
from edgechat.engine.text.detokenizer import Reply
from edgechat.engine.throttle.memory_pressure import REREAD_EXIT_STATUS, RereadDetector
from edgechat.errors import (
    AnswerError,
    ContextOverflowError,
    DeadlineError,
    EdgechatError,
    EngineBusyError,
    EngineError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.decoding.loaded_model import Residence
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.native.vision import View
    from edgechat.engine.protocol.framing import Frame
    from edgechat.engine.protocol.request import Request, Wish
    from edgechat.engine.state.metrics import Metrics
    from edgechat.engine.state.shared_status import SharedStatus
    from edgechat.engine.throttle.monitor import ThrottleMonitor
    from edgechat.engine.throttle.thread_governor import Governor

MAX_WAITING = 256
"""Requests in the queue; each holds its prompt in memory."""


Inbox = queue.SimpleQueue[tuple[str, "Connection", Any]]
"""Mail from any thread: ``generate`` with (id, request), ``cancel`` with an id, ``gone``, or ``wake``."""


class DecodeLoop:
    """Runs answers over one residence. Everything happens in the loop's thread; others put mail into the inbox."""

    def __init__(
        self,
        residence: Residence,
        inbox: Inbox,
        governor: Governor,
        shared_status: SharedStatus,
        *,
        mismatch: Callable[[Wish, Connection], Frame | None],
        monitor: ThrottleMonitor,
        metrics: Metrics,
    ) -> None:
        self._mismatch = mismatch
        self._home = residence
        self._context = residence.context
        self._shared_status = shared_status
        self._mailbag = Mailbag(inbox)
        self._admission = Admission(residence)
        self._speculation = Speculation(self._context, is_rewindable=residence.model.is_rewindable)
        self._monitor, self._metrics = monitor, metrics
        self._heed = Heed(monitor, metrics, residence, self._admission)
        self._budget = ContextWindow(self._context.n_ctx)
        self._running: list[Sequence] = []
        settings = residence.choice.plan.settings
        self._reading = Reading(self._context, settings.n_ubatch)
        self._governor = governor
        self._is_resting = True
        """No step was computed since the last answer ended."""
        self._was_greedy = False
        """Somebody has asked for the likeliest token, and so may again."""
        self._rereading = RereadDetector(residence.choice.plan.memory.mapped)
        self._planned_threads = (settings.n_threads, settings.n_threads_batch)
        self.idle_since = time.monotonic()

    @property
    def n_active(self) -> int:
        """Answers running or waiting."""
        return len(self._running) + len(self._admission.waiting) + len(self._mailbag)

    def turn(self, patience_s: float) -> None:
        """Take what arrived, waiting up to ``patience_s`` when there is nothing to do, then run one step."""
        self._take_mail(0.0 if self._running else patience_s)
        self._heed.between_steps(self._running)
        self._expire()
        while sequence := self._admission.admit(self._running):
            self._start(sequence)
        if self._running:
            self._step()
            self.idle_since = time.monotonic()
        else:
            # Keeps the last look fresh: the first step of the next answer must not begin with threads that collide.
            self._governor.update(time.monotonic(), resting=True)
        if not self._running and self._shared_status.stage != "idle":
            self._shared_status.stage = "idle"
            self._is_resting = True
            self._governor.restart_window()
        if not self.n_active:
            # Nobody waits for it, and a disk may take its time: it must not look like an answer that is being decoded.
            self._admission.save_kept()
            if self._was_greedy:
                logits.prepare()

    # -- mail ----------------------------------------------------------------------------------------------------------

    def _take_mail(self, patience_s: float) -> None:
        for connection, request_id in self._mailbag.collect(patience_s):
            self._cancel_of(connection, request_id)
        for request in self._mailbag.requests():
            self._prepare(*request)
            if self._running:
                break  # one a turn: running answers stand still meanwhile

    def _cancel_of(self, connection: Connection, request_id: int | None) -> None:
        self._cancel(lambda each: each.reader is connection and request_id in {None, each.request_id})
        if request_id is None:
            self._admission.left(connection)

    def _prepare(self, connection: Connection, request_id: int, request: Request) -> None:
        """Render and tokenize; a request that can never run is refused here."""
        try:
            if switch := self._mismatch(request.wish, connection):
                connection.send_frame({**switch, "id": request_id})
                return
            # Memory may run out here as well: a schema brings numpy and a tokenizer of its own.
            self._shared_status.stage = "prefill"
            request = self._home.resumed(request)
            self._home.check(request)
            constraint = self._home.constraint(request)
            # To trim it, a conversation is built several times; its pictures are decoded once.
            build = partial(self._home.prompt, watch=self._shared_status.render_limit, look=cache(self._home.look))
            prompt, trimmed = self._budget.fit(request, build)
            self._check_room(prompt.n_cells)
            reply = Reply(request.stop, prompt.open_thought)
            replay(reply, constraint, request.resume, [self._home.model.piece(token) for token in request.resume])
        except EdgechatError as error:
            self._metrics.count_refusal(type(error).__name__)
            connection.send_frame(error_frame(error, request_id))
            return
        except Exception as error:  # noqa: BLE001 - a defect in preparing one request must not end the others
            log_exception()
            connection.send_frame(error_frame(EdgechatError(f"This is a defect in edgechat: {error!r}."), request_id))
            return
        if trimmed is not None:
            connection.send(trimmed, request_id)
        self._admission.waiting.append(
            Waiting(
                request,
                request_id,
                connection,
                prompt.tokens,
                prompt.n_static,
                reply,
                constraint,
                time.monotonic(),
                views=prompt.views,
            )
        )

    def _check_room(self, n_prompt: int) -> None:
        if n_prompt >= self._context.n_ctx:
            n_ctx = self._context.n_ctx
            raise ContextOverflowError(n_prompt, n_ctx, is_largest=n_ctx >= self._home.model.n_ctx_train)
        if len(self._admission.waiting) >= MAX_WAITING:
            raise EngineBusyError(
                f"{MAX_WAITING} requests are waiting already.", cause="busy", hint="Try again in a moment."
            )

    def _cancel(self, matches: Callable[[Waiting | Sequence], bool]) -> None:
        waiting = self._admission.waiting
        for each in [w for w in waiting if matches(w)]:
            waiting.remove(each)
            each.reader.send(never_started(len(each.prompt)), each.request_id)
        for running in [s for s in self._running if matches(s)]:
            self._end(running, "cancelled")

    def _expire(self) -> None:
        """End what nobody waits for any more: the deadline passed, or the reader left."""
        now = time.monotonic()
        self._cancel(lambda each: not each.reader.is_open)
        for running in [s for s in self._running if s.deadline is not None and now > s.deadline]:
            self._end(running, "timeout")
        waiting = self._admission.waiting
        for each in [w for w in waiting if w.deadline is not None and now > w.deadline]:
            waiting.remove(each)
            late = DeadlineError("The time allowed for the answer ran out before it could start.")
            each.reader.send_frame(error_frame(late, each.request_id))

    # -- one step ------------------------------------------------------------------------------------------------------

    def _start(self, sequence: Sequence) -> None:
        """Take an admitted sequence in, unless there is nothing left to generate."""
        self._running.append(sequence)
        self._heed.begun(sequence)
        self._speculation.join(sequence)
        # An engine that died between the last token and its ``done`` left an answer that is complete; and an answer
        # whose beginning is forced has it read together with the prompt.
        if sequence.reply.is_stopped:
            self._end(sequence, "stop")
        elif len(sequence.generated) >= sequence.max_tokens:
            self._end(sequence, "length")
        else:
            try:
                reason = sequence.force(self._home.model.piece)
            except AnswerError as error:
                self._fail(sequence, error)
                return
            if reason is not None:
                self._end(sequence, reason)

    def _step(self) -> None:
        context = self._context
        was_resting, self._is_resting = self._is_resting, False
        self._governor.update(time.monotonic(), resting=was_resting)
        if was_resting:
            self._governor.on_answer_start()
        allowed = self._monitor.threads(self._governor.n_threads)
        context.set_threads(*(min(planned, allowed) for planned in self._planned_threads))
        context.clear()
        self._speculation.guess(self._running, allowed)
        n_decoding, is_watched = 0, False
        for sequence in self._running:
            sequence.logits_at = -1
            pending = sequence.pending
            if sequence.timing.first_token and pending <= context.room:
                # One sampled token, behind it those that a constraint forces, and those that are guessed.
                tokens = sequence.generated[-pending:] + sequence.draft
                n_rows = 1 + len(sequence.draft)
                at = context.add(tokens, sequence.n_past, sequence.slot, want_logits=True, n_rows=n_rows)
                sequence.logits_at = at
                sequence.n_past += len(tokens)
                n_decoding += 1
                is_watched |= not sequence.request.is_batch
        began = time.monotonic()
        # Nobody watches batch work: prompts are then read in large pieces, which takes the least time in all.
        n_held_up = n_decoding if is_watched else 0
        picture = self._reading.fill(self._running, n_held_up, began)
        n_prefilled = self._reading.n_tokens
        self._shared_status.stage = "prefill" if n_prefilled else "decode"
        if context.room < context.n_batch:
            self._decode()
        if self._rereading.after_step():
            # As slow as the disk, for as long as it lives: a smaller plan takes over, as after the OOM killer.
            self._shared_status.set_facts(declared="oom:the model's file had to be read again for every token")
            os._exit(REREAD_EXIT_STATUS)
        seconds = time.monotonic() - began
        if self._speculation.took(n_prefilled, seconds):
            self._reading.took(n_held_up if n_prefilled else n_decoding, seconds)
        for sequence in list(self._running):
            if sequence.logits_at >= 0:
                self._sample(sequence)
            elif sequence in self._reading:
                self._report(sequence)
        if picture is not None:
            # Last, because it takes the logits of the step with it.
            self._look(*picture)

    def _report(self, sequence: Sequence) -> None:
        """Say how far a prompt is read, and keep the part that others will begin with."""
        if sequence.n_past == sequence.n_static:
            self._admission.keep_prefix(sequence)
        done = min(sequence.n_past, len(sequence.prompt))
        sequence.reader.send(Prefill(done, len(sequence.prompt)), sequence.request_id)

    def _look(self, sequence: Sequence, view: View) -> None:
        """Read one piece of a picture; the encoder cannot be interrupted, so whoever else is answered waits for it."""
        if not sequence.timing.prefill_began:
            sequence.timing.prefill_began = time.monotonic()
        self._shared_status.stage = "prefill"
        try:
            self._read(sequence, view)
        except EngineError as error:
            # Nothing of it is in a cell that others read, so they go on.
            self._fail(sequence, error)
            return
        sequence.n_past += view.n_positions

    def _read(self, sequence: Sequence, view: View) -> None:
        """Put a view into the cache; where no cells are free, once more without what is parked.

        Raises:
            EngineError: the model cannot read it.
        """
        vision, place = self._home.vision, (sequence.n_past, sequence.slot)
        try:
            vision.decode(view, self._context, *place)
        except CacheFullError:
            pass
        else:
            return
        self._admission.forget_parked(self._running)
        try:
            # What of the view is in the cache already must go first.
            if self._context.drop(sequence.slot, sequence.n_past):
                vision.decode(view, self._context, *place)
                return
        except CacheFullError:
            pass
        raise EngineError("The model could not read the image.", cause="exit", hint="`edgechat logs` says why.")

    def _decode(self) -> None:
        try:
            self._context.decode()
        except CacheFullError:
            # Parked prefixes may be spread so that no room is left.
            self._admission.forget_parked(self._running)
            self._context.decode()

    def _sample(self, sequence: Sequence) -> None:
        """Choose the next token, and those behind it for as long as they are the drafted ones."""
        start, confirmed = len(sequence.generated), 0
        while True:
            try:
                reason = self._sample_row(sequence, sequence.logits_at + confirmed)
            except AnswerError as error:
                self._fail(sequence, error)
                return
            confirmed = sequence.n_confirmed(start)
            # A row is worth something only while all before it is what the answer holds.
            if reason is not None or start + confirmed < len(sequence.generated):
                break
        if sequence.draft:
            self._speculation.settle(sequence, confirmed)
        if reason is not None:
            self._end(sequence, reason)

    def _sample_row(self, sequence: Sequence, row: int) -> str | None:
        """Choose one token; the finish reason when the answer ends with it."""
        model = self._home.model
        if sequence.constraint is not None and not sequence.reply.is_in_thought:
            token = sequence.constraint.choose(sequence.sampler, self._context, row)
        else:
            token = sequence.sampler.sample(self._context, row)
        is_end = model.is_eog(token)
        reason = sequence.accept(token, b"" if is_end else model.piece(token), is_end=is_end, now=time.monotonic())
        return reason if reason is not None else sequence.force(model.piece)

    def _end(self, sequence: Sequence, reason: str) -> None:
        self._running.remove(sequence)
        self._was_greedy |= sequence.sampler.is_argmax
        sequence.sampler.close()
        self._heed.ended(sequence, reason, time.monotonic())
        self._admission.release(sequence)
        sequence.finish(reason, now=time.monotonic(), peak_rss=peak_rss(), load_s=self._home.load_s)

    def _fail(self, sequence: Sequence, error: EdgechatError) -> None:
        """End one answer with an error; the others go on."""
        self._running.remove(sequence)
        sequence.sampler.close()
        self._metrics.count_refusal(type(error).__name__)
        self._admission.discard(sequence)
        sequence.flush(time.monotonic())
        sequence.reader.send_frame(error_frame(error, sequence.request_id))
