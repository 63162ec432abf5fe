"""The scheduler: prepared requests wait here until their KV cells can be reserved, and start from a restored prefix.

A prefix is taken from a retained sequence, from a running one that shares it (the same cells then serve both), from the
host pool, or from disk, whichever restores most of the prompt. Runs in the decode loop's thread and owns the context's
cell allocator; knows nothing of steps.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.decoding.loaded_model import started_event
from edgechat.engine.decoding.read_ahead import Drafts
from edgechat.engine.decoding.request_queue import cancelled_before_start
from edgechat.engine.decoding.sequence import Sequence
from edgechat.engine.kv_cache.allocator import CellAllocator
from edgechat.engine.kv_cache.eviction import MIN_TOKENS, is_single_question
from edgechat.engine.kv_cache.prefix import common_prefix
from edgechat.engine.kv_cache.rewind import Rewind
from edgechat.engine.kv_cache.swap import Swap
from edgechat.engine.native import state
from edgechat.engine.native.sampler import Sampler
from edgechat.engine.protocol.events import Prefilled, Queued
from edgechat.engine.protocol.request import DEFAULT_MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.engine.decoding.loaded_model import LoadedModel
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.native.vision import View
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.text.constraint import Constraint
    from edgechat.engine.text.detokenizer import Detokenizer

KEEP_GROWTH = 4 / 3
"""A conversation grows by this factor before it is saved again: a long chat must not wear out an SD card."""


@dataclass(slots=True)
class WaitingRequest:
    """A request that is prepared but has no cells yet."""

    request: Request
    request_id: int
    reader: Connection
    prompt: tuple[int, ...]
    n_static: int
    detokenizer: Detokenizer
    """Of the answer; advanced already where a request resumes."""
    constraint: Constraint | None
    arrived: float
    was_told: bool = False
    """Its client knows that it waits."""
    seen: tuple[int, ...] | None = None
    """Lengths of the retained sequences when room was last made for it."""
    views: Mapping[int, View] = field(default_factory=dict)
    """Pictures in the prompt, by the index of their first token."""

    @property
    def extra_cells(self) -> int:
        """KV cells that the prompt fills beyond its tokens."""
        return sum(view.beyond for view in self.views.values())

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the monotonic clock."""
        return None if self.request.timeout_s is None else self.arrived + self.request.timeout_s


class Scheduler:
    """The waiting requests of one context, and its cells."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._context = loaded.context
        self._rewind = Rewind(loaded.model, self._context, loaded.choice.plan.settings.checkpoint_bytes)
        self._allocator = CellAllocator(self._context.n_ctx, self._context.n_seq_max, self._rewind)
        self._swap = Swap(loaded, self._allocator, self._rewind)
        self.waiting: deque[WaitingRequest] = deque()
        self._unsaved: dict[str, tuple[int, tuple[int, ...]]] = {}
        """Conversations to be saved on disk, by the name that a request gave: the slot of their cells, and tokens."""
        self._drafts = Drafts()

    def admit(self, running: list[Sequence]) -> Sequence | None:
        """Start the request that has waited longest; None when there is none, or it must wait.

        Interactive requests go first. Batch work leaves them a slot and a quarter of the cells.
        """
        answered = [each for each in self.waiting if not each.request.prefill_only]
        if not answered:
            return None
        waiting = next((each for each in answered if not each.request.is_batch), answered[0])
        if self._is_prefix_computed(waiting, running):
            return None
        request = waiting.request
        # While no slot is free, comparing prompts at every step would be wasted.
        is_full = self._allocator.is_full(spare=request.is_batch)
        if not is_full:
            self._make_room(waiting)
        n_prompt = len(waiting.prompt) + waiting.extra_cells
        n_room = self._context.n_ctx - n_prompt
        wanted = request.max_tokens or DEFAULT_MAX_TOKENS
        max_tokens = min(wanted, n_room)
        # A resumed answer's tokens are prefilled like a prompt, so a reused prefix may include them.
        known = waiting.prompt + request.resume
        cells = n_prompt + max_tokens
        allocation, held = None, self._allocator.all_retained
        if not is_full:
            self._rewind.checkpoints.use(known)
            donor, shared = self._donor(known, running)
            allocation = self._allocator.admit(known, cells, donor=donor, shared=shared, spare=request.is_batch)
        if allocation is None:
            if not waiting.was_told:
                waiting.was_told = True
                waiting.reader.send(Queued(f"behind {len(running)} running"), waiting.request_id)
            return None
        self.waiting.remove(waiting)
        slot, reused = allocation.slot, allocation.reused
        for each in allocation.evicted:
            self._context.drop(each)
        for each in (slot, *allocation.evicted):
            self._swap.questions.reused(each)
        if allocation.donor >= 0:
            self._context.drop(slot)
            is_begun = self._rewind.share(allocation.donor, slot, known[:reused])
        else:
            is_begun = self._rewind.cut(slot, held.get(slot, ()), reused)
        if not is_begun:
            # The model cannot do it after all: start this sequence from nothing.
            self._context.drop(slot)
            reused = 0
        reused = self._restore(waiting, known, slot, reused, cells)
        self._rewind.take(slot, known[:reused])
        return self._start(waiting, slot, reused, max_tokens, is_cut=n_room < wanted)

    def admit_prefill(self) -> Sequence | None:
        """Start the oldest prefill-only request; call while nothing else runs. None when there is none.

        Nothing is evicted for it: without a place (:meth:`Drafts.place`) it ends at once.
        """
        waiting = next((each for each in self.waiting if each.request.prefill_only), None)
        if waiting is None:
            return None
        self.save_to_disk()  # afterwards, the cells of the last answer are no longer that answer alone
        self.waiting.remove(waiting)
        request = waiting.request
        if not waiting.n_static:
            waiting.prompt = self._swap.retokenize(waiting.prompt, request.keep, self._context.n_ctx)
        prompt = waiting.prompt
        retained = self._allocator.all_retained
        place = self._drafts.place(prompt, retained, self._rewind, can_share=self._rewind.is_plain)
        reused = place.n_tokens
        base = self._drafts.base(place.slot, reused, retained)
        for other, keep in self._drafts.replaced(waiting.reader, retained):
            if other not in {place.slot, place.donor}:
                self._swap.evict(other, keep)
        slot = self._allocator.admit_beside(place.slot, reused, len(prompt), donor=place.donor)
        if slot < 0:
            waiting.reader.send(Prefilled(len(prompt), 0, 0, is_kept=False), waiting.request_id)
            waiting.reader.send(cancelled_before_start(len(prompt)), waiting.request_id)
            return None
        self._swap.questions.reused(slot)
        if place.donor >= 0:
            self._context.drop(slot)
            self._context.share(place.donor, slot, reused)
        elif not self._rewind.cut(slot, retained.get(slot, ()), reused):
            self._context.drop(slot)
            reused = base = 0
        if reused < len(prompt):
            restored = self._restore(waiting, prompt, slot, reused, len(prompt))
            base = base if restored == reused else restored
            reused = restored
        self._drafts.start(waiting.reader, base)
        if request.prefill_limit is not None:
            waiting.prompt = prompt[: max(base + request.prefill_limit, reused)]
        if request.keep_on_disk:
            waiting.n_static = 0  # it is saved as a whole
        return self._start(waiting, slot, reused, 0, is_cut=False)

    def keep_prefilled(self, sequence: Sequence) -> bool:
        """Save a prefill-only request's cells on disk, if it wants that and all of them are there; True when saved."""
        request, tokens = sequence.request, sequence.tokens(0, sequence.n_past)
        if not request.keep_on_disk or sequence.pending:
            return False
        prefixes = self._loaded.prefixes
        file = prefixes.named(request.keep) if request.keep else prefixes.file_of(tokens)
        if state.tokens_of(file) != tuple(tokens) or not prefixes.touch(file):
            prefixes.write(file, partial(state.save, self._context, sequence.slot, tokens))
        return prefixes.touch(file)

    def _make_room(self, waiting: WaitingRequest) -> None:
        """Evict what a request does not continue; once for the sequences that are retained now."""
        retained = tuple(map(len, self._allocator.all_retained.values()))
        if retained == waiting.seen:
            return
        request = waiting.request
        if not waiting.views and not waiting.n_static:
            # Pictures and instructions have their places counted in the tokenizer's tokens; and a first question, which
            # is what has a static part, continues nothing.
            longest = self._context.n_ctx - (request.max_tokens or DEFAULT_MAX_TOKENS)
            waiting.prompt = self._swap.retokenize(waiting.prompt, request.keep, longest)
        self._swap.make_room(waiting.prompt + request.resume, {slot for slot, _ in self._unsaved.values()})
        waiting.seen = tuple(map(len, self._allocator.all_retained.values()))

    def _is_prefix_computed(self, waiting: WaitingRequest, running: list[Sequence]) -> bool:
        """Whether a prefix of this prompt is being computed for a running sequence; it can be shared afterwards."""
        for sequence in running:
            common = common_prefix(sequence.prompt, waiting.prompt)
            common = self._rewind.shareable_later(sequence.stops, common)
            if common >= MIN_TOKENS and sequence.n_past < common:
                return True
        return False

    def _donor(self, known: tuple[int, ...], running: list[Sequence]) -> tuple[int, int]:
        """The running slot that holds most of a prompt's beginning, and how many tokens; (-1, 0) where none does."""
        held = {}
        for each in running:
            tokens = tuple(each.tokens(0, each.n_past))
            held[each.slot] = self._rewind.shareable(each.slot, tokens, common_prefix(tokens, known[:-1]))
        donor = max(held, key=lambda slot: held[slot], default=-1)
        shared = held.get(donor, 0)
        # A swapped conversation that restores more needs cells of its own.
        is_best = shared > 0 and shared + MIN_TOKENS > self._swap.n_swapped(known)
        return (donor, shared) if is_best else (-1, 0)

    def _restore(self, waiting: WaitingRequest, known: tuple[int, ...], slot: int, reused: int, cells: int) -> int:
        """Restore the longest prefix from host pool or disk, where it is longer than the ``reused`` tokens of the slot.

        Returns:
            How many tokens the slot holds now.
        """
        reused = self._swap.swap_in(known, slot, reused, cells)
        prefixes, keep = self._loaded.prefixes, waiting.request.keep
        files = [prefixes.named(keep)] if keep else []
        if waiting.n_static >= MIN_TOKENS and reused < waiting.n_static:
            files.append(prefixes.file_of(known[: waiting.n_static]))
        for file in files:
            # By its head first: reading a whole file takes a second on a card, and replaces the slot's own cells.
            tokens = state.tokens_of(file)
            count = self._rewind.restorable_from(file, tokens, known[:-1])
            if count < reused + MIN_TOKENS or len(tokens) > cells or not self._allocator.unshare(slot):
                continue
            self._context.drop(slot)
            restored = tuple(prefixes.read(file, lambda path: state.restore(self._context, slot, cells, path)))
            if restored == tokens:
                self._rewind.adopt(file, tokens)
                if self._rewind.cut(slot, tokens, count):
                    return count
            # The file was damaged or another one, and the slot's own cells are gone.
            self._context.drop(slot)
            reused = 0
        return reused

    def save_stop(self, sequence: Sequence) -> None:
        """Take a checkpoint where a prompt's prefill has stopped; save its static part where it ends there."""
        self._rewind.take(sequence.slot, tuple(sequence.tokens(0, sequence.n_past)))
        if sequence.n_past == sequence.n_static:
            self._save_static_prefix(sequence)

    def save_read(self, sequence: Sequence) -> None:
        """Take the checkpoints that need no stop, of a prompt that was just read."""
        if not is_single_question(sequence.request, client_stays=True):
            self._rewind.take_behind(sequence.slot, self._allocator.spare, sequence.prompt, sequence.cached)

    def _save_static_prefix(self, sequence: Sequence) -> None:
        tokens = sequence.tokens(0, sequence.n_static)
        file = self._loaded.prefixes.file_of(tokens)
        sequence.n_static = 0
        self._loaded.prefixes.write_unsynced(file, lambda path: state.save(self._context, sequence.slot, tokens, path))

    def _start(self, waiting: WaitingRequest, slot: int, reused: int, max_tokens: int, *, is_cut: bool) -> Sequence:
        request, loaded = waiting.request, self._loaded
        sampling = loaded.sampling(request)
        seed = sampling.seed if sampling.seed is not None else int.from_bytes(os.urandom(4), "big")
        sampler = Sampler(loaded.model, sampling, seed)
        sampler.accept(waiting.prompt, request.resume)
        n_static = waiting.n_static if waiting.n_static >= max(MIN_TOKENS, reused) else 0
        sequence = Sequence(
            request=request,
            request_id=waiting.request_id,
            reader=waiting.reader,
            slot=slot,
            prompt=waiting.prompt,
            cells=len(waiting.prompt) + waiting.extra_cells + max_tokens,
            max_tokens=max_tokens,
            sampler=sampler,
            seed=seed,
            detokenizer=waiting.detokenizer,
            cached=min(reused, len(waiting.prompt)),
            n_past=reused,
            deadline=waiting.deadline,
            ends_at_context=is_cut,
            constraint=waiting.constraint,
            views=waiting.views,
            n_static=n_static,
            stops=self._rewind.stops(
                waiting.prompt,
                reused,
                n_static,
                is_single=is_single_question(request, client_stays=True),
            ),
            n_shared=waiting.n_static,
            generated=list(request.resume),
        )
        sequence.timing.arrived = waiting.arrived
        started = started_event(
            loaded.choice,
            n_ctx=self._context.n_ctx,
            prompt_tokens=len(waiting.prompt),
            cached_tokens=sequence.cached,
            n_ctx_train=loaded.model.n_ctx_train,
        )
        waiting.reader.send(started, waiting.request_id)
        return sequence

    def release(self, sequence: Sequence) -> None:
        """End a sequence and retain its cells for a prompt that continues it."""
        tokens = tuple(sequence.tokens(0, sequence.n_past))
        if sequence.request.prefill_only:
            self._allocator.retain(sequence.slot, tokens)
            self._drafts.end(sequence.slot, tokens)
            return
        # What was to be saved from this slot before is gone, and may be a hundred kilobytes of numbers.
        self._unsaved = {keep: each for keep, each in self._unsaved.items() if each[0] != sequence.slot}
        if sequence.request.keep:
            self._unsaved[sequence.request.keep] = sequence.slot, tokens
        self._allocator.retain(sequence.slot, tokens, extra_cells=sequence.extra_cells)
        if is_single_question(sequence.request, client_stays=sequence.reader.keeps):
            retained = self._allocator.all_retained
            for slot in self._swap.questions.add(sequence.slot, sequence.reader, sequence.n_shared, retained):
                self._swap.evict(slot)

    def client_disconnected(self, connection: Connection) -> None:
        """Note that a client follows up none of its questions.

        One that stays connected, such as a server, still may: it opens a connection for each answer.
        """
        if not connection.keeps:
            self._swap.questions.client_disconnected(connection)

    def discard(self, sequence: Sequence) -> None:
        """End a sequence that has failed, and clear its cells."""
        self._swap.evict(sequence.slot)

    def save_to_disk(self) -> None:
        """Save instructions and named conversations whose cells are still there; takes up to a second on a card."""
        self._loaded.prefixes.sync_unsynced()
        for keep, (slot, tokens) in self._unsaved.items():
            if tokens != self._allocator.retained(slot):
                continue
            file = self._loaded.prefixes.named(keep)
            if len(tokens) >= KEEP_GROWTH * common_prefix(state.tokens_of(file), tokens):
                self._loaded.prefixes.write(file, partial(self._rewind.save, slot, tokens))
        self._unsaved.clear()

    def free_memory(self, running: list[Sequence]) -> None:
        """Drop all sequences that do not run, in the cache and in host memory; they cost time to compute again."""
        self._swap.free_memory()
        self.evict_all(running)

    def evict_all(self, running: list[Sequence]) -> None:
        """Drop every retained sequence, for the sake of its cells."""
        self._swap.evict_all({sequence.slot for sequence in running})
