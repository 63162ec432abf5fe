"""The decode loop: keeps as many answers as fit decoding together, and sends their text.

A step decodes one token of every running answer and a chunk of the prompts that are still being prefilled. The chunk is
sized by measured speed, so that a cancellation or a running answer never waits longer than one short step.
"""

from __future__ import annotations

import os
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.process_memory import peak_rss
from edgechat.engine.decoding.compilation import CompilingRequest, ConstraintCompiler
from edgechat.engine.decoding.logprobs import Distribution
from edgechat.engine.decoding.prefill import ChunkedPrefill
from edgechat.engine.decoding.read_ahead import may_read
from edgechat.engine.decoding.request_loop import LoopServices, RequestLoop
from edgechat.engine.decoding.request_queue import cancelled_before_start, is_draft
from edgechat.engine.decoding.scheduler import Scheduler, WaitingRequest
from edgechat.engine.decoding.sequence import replay
from edgechat.engine.decoding.speculative import SpeculativeDecoder
from edgechat.engine.native import logits
from edgechat.engine.native.context import CacheFullError
from edgechat.engine.protocol.conversation_trimming import ContextWindow
from edgechat.engine.protocol.errors import error_frame
from edgechat.engine.protocol.events import Prefill, Prefilled, Slowed
from edgechat.engine.state.metrics import Latency
from edgechat.engine.text.detokenizer import Detokenizer
from edgechat.engine.text.tool_call import unstopped
from edgechat.engine.throttle.memory_pressure import REREAD_EXIT_STATUS, RereadDetector
from edgechat.errors import AnswerError, ContextOverflowError, DeadlineError, EdgechatError, EngineError
from edgechat.garbage_collector import release_memory

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from edgechat.engine.decoding.loaded_model import LoadedModel
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.native.vision import View
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.text.constraint import Constraint


class DecodeLoop(RequestLoop):
    """Computes answers with one loaded model."""

    def __init__(self, loaded: LoadedModel, services: LoopServices) -> None:
        super().__init__(loaded.choice, services)
        self._loaded = loaded
        self._context = loaded.context
        self._scheduler = Scheduler(loaded)
        self._speculative = SpeculativeDecoder(loaded.model, self._context)
        self._prefill = ChunkedPrefill(self._context, loaded.choice.plan.settings.n_ubatch)
        self._budget = ContextWindow(self._context.n_ctx)
        self._running: list[Sequence] = []
        self._waiting: deque[WaitingRequest] = self._scheduler.waiting
        self._compiler = ConstraintCompiler(services.requests.wake)
        self._throttle = services.monitor.throttle
        """The throttling that running answers were told of."""
        self._was_greedy = False
        """Some request has asked for the likeliest token, and others may."""
        self._rereading = RereadDetector(loaded.choice.plan.memory.mapped)

    @property
    def n_active(self) -> int:
        """Requests that run or wait."""
        return super().n_active + len(self._compiler.requests)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _prepare(self, connection: Connection, request_id: int, request: Request) -> None:
        # The supervisor may read the stage after the memory has run out here: a schema brings numpy and a tokenizer.
        self._shared_status.stage = "prefill"
        request = self._loaded.with_resumed_tokens(request)
        self._loaded.check(request)
        if self._loaded.has_quick_constraint(request):
            self._queue(connection, request_id, request, self._loaded.constraint(request))
            return
        self._check_room(self._compiler.requests)
        self._compiler.add(CompilingRequest(request, request_id, connection), partial(self._loaded.constraint, request))

    def _queue(self, connection: Connection, request_id: int, request: Request, constraint: Constraint | None) -> None:
        """Tokenize a request whose constraint is compiled, and let it wait for its cells."""
        # To trim a conversation it is built several times; its pictures are decoded once.
        build = partial(
            self._loaded.prompt, watch=self._shared_status.render_limit, encode_image=cache(self._loaded.encode_image)
        )
        prompt, trimmed = self._budget.fit(request, build)
        n_ctx = self._context.n_ctx
        if prompt.n_cells >= n_ctx:
            raise ContextOverflowError(prompt.n_cells, n_ctx, is_largest=n_ctx >= self._loaded.model.n_ctx_train)
        self._check_room(self._waiting)
        detokenizer = Detokenizer(request.stop, prompt.open_thought, unstopped=unstopped(request.constraint))
        replay(detokenizer, constraint, request.resume, [self._loaded.model.piece(token) for token in request.resume])
        if trimmed is not None:
            connection.send(trimmed, request_id)
        if request.prefill_only:
            self._cancel(lambda each: each.reader is connection and is_draft(each.request))
        self._waiting.append(
            WaitingRequest(
                request,
                request_id,
                connection,
                prompt.tokens,
                prompt.n_static,
                detokenizer,
                constraint,
                time.monotonic(),
                views=prompt.views,
            )
        )

    def _queue_compiled(self, done: CompilingRequest) -> None:
        if done.error is not None:
            raise done.error
        self._queue(done.reader, done.request_id, done.request, done.constraint)

    def _cancel(self, matches: Callable[[Any], bool]) -> None:
        for compiling in [c for c in self._compiler.requests if matches(c)]:
            self._compiler.requests.remove(compiling)
            compiling.reader.send(cancelled_before_start(0), compiling.request_id)
        for each in [w for w in self._waiting if matches(w)]:
            self._waiting.remove(each)
            each.reader.send(cancelled_before_start(len(each.prompt)), each.request_id)
        for running in [s for s in self._running if matches(s)]:
            self._end(running, "cancelled")

    def _end_late(self, now: float) -> None:
        for running in [s for s in self._running if s.deadline is not None and now > s.deadline]:
            self._end(running, "timeout")
        late = DeadlineError("The time allowed for the answer ran out before it could start.")
        for each in [w for w in self._waiting if w.deadline is not None and now > w.deadline]:
            self._waiting.remove(each)
            each.reader.send_frame(error_frame(late, each.request_id))
        for compiling in [c for c in self._compiler.requests if c.deadline is not None and now > c.deadline]:
            self._compiler.requests.remove(compiling)
            compiling.reader.send_frame(error_frame(late, compiling.request_id))

    def _cancel_of(self, connection: Connection, request_id: int | None) -> None:
        super()._cancel_of(connection, request_id)
        if request_id is None:
            self._scheduler.client_disconnected(connection)

    # -- throttling ----------------------------------------------------------------------------------------------------

    def _apply_throttle(self) -> None:
        """Tell clients when the engine slows down, and free memory when it is short."""
        throttle, before = self._monitor.throttle, self._throttle
        if throttle is before:
            return
        self._throttle = throttle
        if throttle.level != before.level:
            for sequence in self._running:
                self._send_slowed(sequence)
        if throttle.drops != before.drops:
            self._scheduler.free_memory(self._running)
            self._loaded.drop_caches(is_idle=not self.n_active)
            release_memory()

    def _send_slowed(self, sequence: Sequence) -> None:
        throttle = self._monitor.throttle
        threads = throttle.threads(self._monitor.n_planned)
        sequence.reader.send(Slowed(throttle.level, threads, throttle.pause_s, throttle.reason), sequence.request_id)

    # -- one step ------------------------------------------------------------------------------------------------------

    def step(self, wait_s: float) -> None:
        """As :meth:`RequestLoop.step`; while no client waits, also save prefixes to disk."""
        super().step(wait_s)
        if not self.n_active:
            # Not earlier: a disk may take its time, and a running answer would stall.
            self._scheduler.save_to_disk()
            if self._was_greedy:
                logits.prepare()

    def _before_step(self) -> None:
        self._apply_throttle()
        for done in self._compiler.finished():
            self._do_or_refuse(partial(self._queue_compiled, done), done.reader, done.request_id)
        super()._before_step()
        self._yield_to_questions()
        while sequence := self._scheduler.admit(self._running):
            self._start(sequence)
        if not self._running and not self._compiler.requests and (sequence := self._scheduler.admit_prefill()):
            self._running.append(sequence)
            if self._monitor.throttle.level:
                self._send_slowed(sequence)
            if not sequence.pending:
                self._end(sequence, "prefilled")

    def _yield_to_questions(self) -> None:
        """End prefill-only requests where a question has come, or the board cannot spare the energy."""
        has_question = bool(self._compiler.requests) or any(not each.request.prefill_only for each in self._waiting)
        for running in [each for each in self._running if each.request.prefill_only]:
            if has_question or not may_read(running.request, self._monitor):
                self._end(running, "cancelled")
        self._cancel(lambda each: each.request.prefill_only and not may_read(each.request, self._monitor))

    def _start(self, sequence: Sequence) -> None:
        """Run an admitted sequence, unless there is nothing left to generate."""
        self._running.append(sequence)
        if self._monitor.throttle.level:
            self._send_slowed(sequence)
        self._speculative.start(sequence)
        # A resumed answer may be complete already: the engine died between its last token and ``done``. Where the
        # beginning of an answer is forced, it is prefilled together with the prompt.
        if sequence.detokenizer.is_stopped:
            self._end(sequence, "stop")
        elif len(sequence.generated) >= sequence.max_tokens:
            self._end(sequence, "length")
        else:
            try:
                reason = sequence.add_forced(self._loaded.model.piece)
            except AnswerError as error:
                self._fail(sequence, error)
                return
            if reason is not None:
                self._end(sequence, reason)

    def _compute(self) -> None:
        context = self._context
        n_threads, threads = self._threads()
        context.set_threads(*threads)
        context.clear()
        self._speculative.draft(self._running, n_threads)
        n_decoding, is_interactive = self._add_answers()
        began = time.monotonic()
        # BackgroundCall batch work alone prompts are prefilled in large chunks, which takes the least time in all.
        n_delayed = n_decoding if is_interactive else 0
        picture = self._prefill.fill(self._running, n_delayed, began)
        n_prefilled = self._prefill.n_tokens
        self._shared_status.stage = "prefill" if n_prefilled else "decode"
        if context.room < context.n_batch:
            self._decode()
        if self._rereading.after_step():
            # From now on every step would be as slow as the disk: a smaller plan takes over, as after the OOM killer.
            self._shared_status.set_facts(declared="oom:the model's file had to be read again for every token")
            os._exit(REREAD_EXIT_STATUS)
        seconds = time.monotonic() - began
        if self._speculative.record_step(n_prefilled, seconds):
            self._prefill.record_step(n_delayed if n_prefilled else n_decoding, seconds)
        for sequence in list(self._running):
            if sequence.logits_at >= 0:
                self._sample(sequence)
                if sequence in self._prefill and sequence in self._running:
                    # Behind the first token, which its client waits for.
                    self._scheduler.save_read(sequence)
            elif sequence in self._prefill:
                self._send_progress(sequence)
                if sequence.request.prefill_only and not sequence.pending:
                    self._end(sequence, "prefilled")
        if picture is not None:
            # Last, because it overwrites the logits of the step.
            self._prefill_picture(*picture)

    def _add_answers(self) -> tuple[int, bool]:
        """Add the next tokens of all answers to the batch; returns their number, and whether one is interactive."""
        n_decoding, is_interactive = 0, False
        for sequence in self._running:
            sequence.logits_at = -1
            pending = sequence.pending
            if sequence.timing.first_token and pending <= self._context.room:
                # One sampled token, behind it those that a constraint forces, and those that are drafted.
                tokens = sequence.generated[-pending:] + sequence.draft
                n_rows = 1 + len(sequence.draft)
                at = self._context.add(tokens, sequence.n_past, sequence.slot, want_logits=True, n_rows=n_rows)
                sequence.logits_at = at
                sequence.n_past += len(tokens)
                n_decoding += 1
                is_interactive |= not sequence.request.is_batch
        return n_decoding, is_interactive

    def _send_progress(self, sequence: Sequence) -> None:
        """Send how far a prompt is prefilled, and save the part that other prompts will begin with."""
        if sequence.n_past in sequence.stops:
            self._scheduler.save_stop(sequence)
        done = min(sequence.n_past, len(sequence.prompt))
        sequence.reader.send(Prefill(done, len(sequence.prompt)), sequence.request_id)

    def _prefill_picture(self, sequence: Sequence, view: View) -> None:
        """Encode one view of a picture into the cache; the encoder cannot be interrupted, so other answers wait."""
        if not sequence.timing.prefill_began:
            sequence.timing.prefill_began = time.monotonic()
        self._shared_status.stage = "prefill"
        try:
            self._encode(sequence, view)
        except EngineError as error:
            # No other sequence shares its cells, so the others go on.
            self._fail(sequence, error)
            return
        sequence.n_past += view.n_positions

    def _encode(self, sequence: Sequence, view: View) -> None:
        """Put a view into the cache; where no cells are free, once more after all retained sequences were evicted.

        Raises:
            EngineError: the model cannot read it.
        """
        vision, place = self._loaded.vision, (sequence.n_past, sequence.slot)
        try:
            vision.decode(view, self._context, *place)
        except CacheFullError:
            pass
        else:
            return
        self._scheduler.evict_all(self._running)
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
            if reading := next((each for each in self._running if each.request.prefill_only), None):
                self._prefill.take_back(reading)
                self._end(reading, "cancelled")
                return
            # Retained sequences may be spread so that no room is left.
            self._scheduler.evict_all(self._running)
            self._context.decode()

    def _sample(self, sequence: Sequence) -> None:
        """Choose the next token, and the ones behind it for as long as they equal the drafted ones."""
        start, accepted = len(sequence.generated), 0
        while True:
            try:
                reason = self._sample_row(sequence, sequence.logits_at + accepted)
            except AnswerError as error:
                self._fail(sequence, error)
                return
            accepted = sequence.n_accepted_of_draft(start)
            # A row of logits is valid only while all drafted tokens before it are part of the answer.
            if reason is not None or start + accepted < len(sequence.generated):
                break
        if sequence.draft:
            self._speculative.keep_accepted(sequence, accepted)
        if reason is not None:
            self._end(sequence, reason)

    def _sample_row(self, sequence: Sequence, row: int) -> str | None:
        """Choose one token; the finish reason when the answer ends with it."""
        model = self._loaded.model
        distribution = None
        if sequence.request.logprobs is not None and not sequence.detokenizer.is_in_thought:
            measured = logits.row(self._context, row, model.n_vocab)
            distribution = Distribution.of(measured, sequence.request.logprobs)
        if sequence.constraint is not None and not sequence.detokenizer.is_in_thought:
            token = sequence.constraint.choose(sequence.sampler, self._context, row)
        else:
            token = sequence.sampler.sample(self._context, row)
        is_end = model.is_eog(token)
        if distribution is not None and not is_end:
            sequence.unsent_logprobs.append(distribution.entry(token, model.piece))
        reason = sequence.accept(token, b"" if is_end else model.piece(token), is_end=is_end, now=time.monotonic())
        return reason if reason is not None else sequence.add_forced(model.piece)

    def _end(self, sequence: Sequence, reason: str) -> None:
        self._running.remove(sequence)
        self._was_greedy |= sequence.sampler.is_argmax
        sequence.sampler.close()
        if sequence.request.prefill_only:
            self._send_prefilled(sequence)
            self._scheduler.release(sequence)
            sequence.finish(reason, now=time.monotonic(), peak_rss=peak_rss(), load_s=self._loaded.load_s)
            return
        now, timing, latency = time.monotonic(), sequence.timing, None
        if timing.first_token:
            latency = Latency(timing.first_token - timing.arrived, now - timing.arrived, sequence.decode_tps)
        tokens = (len(sequence.prompt), sequence.cached, sequence.n_new, sequence.n_forced)
        self._metrics.count_answer(reason, tokens, latency)
        self._scheduler.release(sequence)
        sequence.finish(reason, now=time.monotonic(), peak_rss=peak_rss(), load_s=self._loaded.load_s)

    def _send_prefilled(self, sequence: Sequence) -> None:
        is_kept = self._scheduler.keep_prefilled(sequence)
        read = sequence.n_past - sequence.cached
        sequence.reader.send(Prefilled(len(sequence.prompt), sequence.cached, read, is_kept), sequence.request_id)

    def _fail(self, sequence: Sequence, error: EdgechatError) -> None:
        """End one answer with an error; the others go on."""
        self._running.remove(sequence)
        sequence.sampler.close()
        self._scheduler.discard(sequence)
        sequence.flush(time.monotonic())
        self._refuse(sequence.reader, sequence.request_id, error)
