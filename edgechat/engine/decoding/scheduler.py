"""The way in: requests wait here until their KV cells can be reserved, then start from whatever prefix is known.

A prefix is taken from a parked sequence, from a running one that shares it (the same cells then serve both), from the
shelf of other conversations, or from disk, whichever holds most of the prompt. Runs in the decode loop's thread and
owns its context's ledger of cells; knows nothing of steps.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgechat.engine.decoding.sequence import Sequence
from edgechat.engine.kv_cache.allocator import Cells, common_prefix
from edgechat.engine.kv_cache.disk_cache import MIN_TOKENS
from edgechat.engine.kv_cache.swap import Parking
from edgechat.engine.native import state
from edgechat.engine.native.sampler import Sampler
from edgechat.engine.protocol.events import Queued, Started
from edgechat.engine.protocol.request import DEFAULT_MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgechat.engine.decoding.loaded_model import Residence
    from edgechat.engine.decoding.sequence import Reader
    from edgechat.engine.listener.connections import Connection
    from edgechat.engine.native.vision import View
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.text.constraint import Constraint
    from edgechat.engine.text.detokenizer import Reply


KEEP_GROWTH = 4 / 3


@dataclass(slots=True)
class Waiting:
    """A request that is prepared but has no cells yet."""

    request: Request
    request_id: int
    reader: Connection
    prompt: tuple[int, ...]
    n_static: int
    reply: Reply
    """The answer; a resumed one is advanced already."""
    constraint: Constraint | None
    arrived: float
    was_told: bool = False
    seen: tuple[int, ...] | None = None
    """What was parked when it was last compared with it."""
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


class Admission:
    """The queue before one context, and the cells behind it."""

    def __init__(self, residence: Residence) -> None:
        self._home = residence
        self._context = residence.context
        self._cells = Cells(self._context.n_ctx, self._context.n_seq_max, is_rewindable=residence.model.is_rewindable)
        self._parking = Parking(residence, self._cells)
        self.waiting: deque[Waiting] = deque()
        self._unsaved: dict[str, tuple[int, tuple[int, ...]]] = {}
        """By the name that a request gave, where its cells lie that are to be kept on disk, and their tokens."""
        self._asked: dict[int, tuple[Reader, int]] = {}
        """Who asked the single question that is parked in a slot, and how many of its tokens any other one shares."""
        self._over: dict[int, int] = {}
        """The same for those who have hung up."""

    def admit(self, running: list[Sequence]) -> Sequence | None:
        """Begin the request that has waited longest, or None when there is none or it is better to wait.

        Interactive requests go first, and batch work takes neither the last slot nor the last cells from them.
        """
        if not self.waiting:
            return None
        waiting = next((each for each in self.waiting if not each.request.is_batch), self.waiting[0])
        if self._is_being_read(waiting, running):
            return None
        request = waiting.request
        # What a full context is asked for again and again needs no prompts compared.
        is_full = self._cells.is_full(spare=request.is_batch)
        if not is_full:
            self._prepare(waiting)
        n_prompt = len(waiting.prompt) + waiting.extra_cells
        n_room = self._context.n_ctx - n_prompt
        wanted = request.max_tokens or DEFAULT_MAX_TOKENS
        max_tokens = min(wanted, n_room)
        # A resumed answer's tokens are read again like a prompt, so a reused prefix may include them.
        known = waiting.prompt + request.resume
        grant = None
        if not is_full:
            donor, shared = self._donor(known, running)
            grant = self._cells.admit(known, n_prompt + max_tokens, donor=donor, shared=shared, spare=request.is_batch)
        if grant is None:
            if not waiting.was_told:
                waiting.was_told = True
                waiting.reader.send(Queued(f"behind {len(running)} running"), waiting.request_id)
            return None
        self.waiting.remove(waiting)
        for slot in grant.evicted:
            self._context.drop(slot)
        for slot in (grant.slot, *grant.evicted):
            self._asked.pop(slot, None)
            self._over.pop(slot, None)
        reused = grant.reused
        if grant.donor >= 0:
            self._context.drop(grant.slot)
            self._context.share(grant.donor, grant.slot, reused)
        elif not self._context.drop(grant.slot, reused):
            # The model cannot forget a tail after all: start this sequence from nothing.
            self._context.drop(grant.slot)
            reused = 0
        reused = self._restore(waiting, known, grant.slot, reused, n_prompt + max_tokens)
        return self._begin(waiting, grant.slot, reused, max_tokens, is_cut=n_room < wanted)

    def _prepare(self, waiting: Waiting) -> None:
        """See which conversation a request goes on from; all others make way. Once for what is parked now."""
        parked = tuple(map(len, self._cells.all_parked))
        if parked == waiting.seen:
            return
        request = waiting.request
        if not waiting.views and not waiting.n_static:
            # Pictures' and instructions' places are counted in the prompt's own tokens; a first question goes on from
            # nothing.
            longest = self._context.n_ctx - (request.max_tokens or DEFAULT_MAX_TOKENS)
            waiting.prompt = self._parking.as_held(waiting.prompt, request.keep, longest)
        known = waiting.prompt + request.resume
        self._shed(known)
        shared = {slot: n_shared for slot, (_, n_shared) in self._asked.items()}
        self._parking.make_way(known, {slot for slot, _ in self._unsaved.values()}, shared)
        waiting.seen = tuple(map(len, self._cells.all_parked))

    def _is_being_read(self, waiting: Waiting, running: list[Sequence]) -> bool:
        """True while a prompt is read whose beginning is also this one's: reading it twice would only take longer."""
        if not self._home.model.is_rewindable:
            return False
        return any(
            sequence.n_past < (common := common_prefix(sequence.prompt, waiting.prompt)) and common >= MIN_TOKENS
            for sequence in running
        )

    def _donor(self, known: tuple[int, ...], running: list[Sequence]) -> tuple[int, int]:
        """The running slot that holds most of a prompt's beginning, and how many tokens; (-1, 0) where none does."""
        if not self._home.model.is_rewindable:
            return -1, 0
        held = {each.slot: common_prefix(tuple(each.tokens(0, each.n_past)), known[:-1]) for each in running}
        donor = max(held, key=lambda slot: held[slot], default=-1)
        shared = held.get(donor, 0)
        # What comes from the shelf needs cells of its own.
        is_best = shared > 0 and shared + MIN_TOKENS > self._parking.on_shelf(known)
        return (donor, shared) if is_best else (-1, 0)

    def _restore(self, waiting: Waiting, known: tuple[int, ...], slot: int, reused: int, cells: int) -> int:
        """Take more of the prompt from shelf or disk than the cache holds; returns how many tokens are there."""
        reused = self._parking.take_back(known, slot, reused, cells)
        prefixes, keep = self._home.prefixes, waiting.request.keep
        files = [prefixes.named(keep)] if keep else []
        if waiting.n_static >= MIN_TOKENS and reused < waiting.n_static:
            files.append(prefixes.file_of(known[: waiting.n_static]))
        for file in files:
            # Only what is worth it is read whole: that takes a second on a card, and the slot's own cells go for it.
            tokens = state.tokens_of(file)
            common = common_prefix(tokens, known[:-1])
            is_usable = common == len(tokens) or self._home.model.is_rewindable
            if not is_usable or common < reused + MIN_TOKENS or len(tokens) > cells or not self._cells.owns(slot):
                continue
            self._context.drop(slot)
            restored = tuple(prefixes.read(file, lambda path: state.restore(self._context, slot, cells, path)))
            if restored == tokens and self._context.drop(slot, common):
                return common
            # Not ours after all, and the slot's own cells are gone with it.
            self._context.drop(slot)
            reused = 0
        return reused

    def keep_prefix(self, sequence: Sequence) -> None:
        """Set the static part aside for the disk at the moment when the cache holds exactly that."""
        tokens = sequence.tokens(0, sequence.n_static)
        file = self._home.prefixes.file_of(tokens)
        sequence.n_static = 0
        self._home.prefixes.set_aside(file, lambda path: state.save(self._context, sequence.slot, tokens, path))

    def _begin(self, waiting: Waiting, slot: int, reused: int, max_tokens: int, *, is_cut: bool) -> Sequence:
        request, home = waiting.request, self._home
        sampling = home.sampling(request)
        seed = sampling.seed if sampling.seed is not None else int.from_bytes(os.urandom(4), "big")
        sampler = Sampler(home.model, sampling, seed)
        sampler.accept(waiting.prompt + request.resume)
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
            reply=waiting.reply,
            cached=min(reused, len(waiting.prompt)),
            n_past=reused,
            deadline=waiting.deadline,
            ends_at_context=is_cut,
            constraint=waiting.constraint,
            views=waiting.views,
            n_static=waiting.n_static if waiting.n_static >= max(MIN_TOKENS, reused) else 0,
            n_shared=waiting.n_static,
            generated=list(request.resume),
        )
        sequence.timing.arrived = waiting.arrived
        choice = home.choice
        waiting.reader.send(
            Started(
                model=choice.name,
                quant=choice.quant,
                n_ctx=self._context.n_ctx,
                prompt_tokens=len(waiting.prompt),
                cached_tokens=sequence.cached,
                languages=choice.languages,
                is_starter=choice.is_starter,
                stepped_down_from=choice.stepped_down_from,
                stepped_down_why=choice.stepped_down_why,
                n_ctx_train=home.model.n_ctx_train,
            ),
            waiting.request_id,
        )
        return sequence

    def release(self, sequence: Sequence) -> None:
        """A sequence has ended: its cells stay parked for whoever continues it."""
        tokens = tuple(sequence.tokens(0, sequence.n_past))
        # What was to be kept from this slot before is gone, and may be a hundred kilobytes of numbers.
        self._unsaved = {keep: each for keep, each in self._unsaved.items() if each[0] != sequence.slot}
        if sequence.request.keep:
            self._unsaved[sequence.request.keep] = sequence.slot, tokens
        self._cells.park(sequence.slot, tokens, beyond=sequence.beyond)
        if _is_passing(sequence):
            self._asked[sequence.slot] = sequence.reader, sequence.n_shared
            for slot in self._cells.passing(sequence.slot):
                self._context.drop(slot)
                self._cells.forget(slot)

    def left(self, asker: Connection) -> None:
        """Somebody has hung up, and will not follow up what he asked.

        Clients that stay on, such as a server, may: they speak for others, over a connection for each answer.
        """
        if not asker.keeps:
            gone = {slot: n_shared for slot, (each, n_shared) in self._asked.items() if each is asker}
            self._over.update(gone)
            self._asked = {slot: each for slot, each in self._asked.items() if slot not in gone}

    def _shed(self, known: tuple[int, ...]) -> None:
        """Another question begins: of those that nobody follows up only what all questions share is worth its cells.

        Asked once more, word for word, such a question is found whole.
        """
        for slot, n_shared in tuple(self._over.items()):
            parked = self._cells.parked(slot)
            if common_prefix(parked, known) > n_shared:
                continue
            del self._over[slot]
            if n_shared < len(parked):
                if n_shared and self._context.drop(slot, n_shared):
                    self._cells.shorten(slot, n_shared)
                else:
                    self._context.drop(slot)
                    self._cells.forget(slot)

    def discard(self, sequence: Sequence) -> None:
        """A sequence has failed: its cells are cleared."""
        self._context.drop(sequence.slot)
        self._cells.forget(sequence.slot)

    def save_kept(self) -> None:
        """Keep on disk the instructions that were read, and what requests wanted kept, as far as it still lies there.

        For when nobody waits.
        """
        self._home.prefixes.settle()
        for keep, (slot, tokens) in self._unsaved.items():
            if tokens != self._cells.parked(slot):
                continue
            file = self._home.prefixes.named(keep)
            # Grows by a third before it is written again: a long chat must not wear out an SD card, one turn at a time.
            if len(tokens) >= KEEP_GROWTH * common_prefix(state.tokens_of(file), tokens):
                self._home.prefixes.write(file, partial(state.save, self._context, slot, list(tokens)))
        self._unsaved.clear()

    def forget_all(self, running: list[Sequence]) -> None:
        """Drop all that is kept in memory for whoever continues it: nobody misses it but the clock."""
        self._parking.clear()
        self.forget_parked(running)

    def forget_parked(self, running: list[Sequence]) -> None:
        """Drop every parked sequence, for the sake of its cells."""
        for slot in range(self._context.n_seq_max):
            if all(sequence.slot != slot for sequence in running):
                self._context.drop(slot)
                self._cells.forget(slot)


def _is_passing(sequence: Sequence) -> bool:
    """Whether this was a single question that nobody is likely to follow up.

    Whoever speaks for others, as a server does, may have been asked the first question of a chat: what is neither one
    of many nor wanted in a certain form.
    """
    request = sequence.request
    if request.keep or any(message.role == "assistant" for message in request.messages):
        return False
    may_go_on = sequence.reader.keeps and not request.is_batch and request.constraint is None
    return not may_go_on
