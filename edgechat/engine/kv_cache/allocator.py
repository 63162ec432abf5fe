"""Who owns which sequence slot and how many KV cells: admission by reservation, and finished prefixes kept warm.

Pure bookkeeping over numbers and token ids. The unified KV cache is one pool of ``n_ctx`` cells; a request is admitted
only when its prompt and its longest answer can be reserved, so that llama.cpp never runs out in mid-answer. A finished
sequence stays parked in its slot until somebody needs the room or asks something else: the next turn of a chat then
prefills only its tail. What answers have in common they hold once, and it is reserved once: sixteen records of one task
need its instructions a single time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgechat.engine.kv_cache.sharing import Loans

MAX_LOSS = 8
"""A parked sequence this many times longer than what it shares with a prompt is left alone while another slot will do:
every prompt shares its template's first words, and a long chat must not be lost for those."""


MAX_PASSING = 1
"""Parked answers to single questions. Every cell that is filled, whoever's it is, is looked at by every token of every
answer, and few single questions but the last are followed up."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot for a new sequence."""

    slot: int
    reused: int
    """Leading prompt tokens whose KV cells are kept, or are those of the donor."""
    evicted: tuple[int, ...]
    """Slots to be cleared first."""
    donor: int = -1
    """Running slot whose cells serve this one too; -1 where it has its own."""


@dataclass(slots=True)
class Cells:
    """The ledger of one context.

    Args:
        n_ctx: cells in the pool.
        n_seq_max: slots.
        is_rewindable: whether a parked sequence can be cut back to a common prefix; where it cannot
            (sliding windows, recurrent state), it is reused only when all of it is a prefix.
    """

    n_ctx: int
    n_seq_max: int
    is_rewindable: bool = True
    _reserved: dict[int, int] = field(default_factory=dict)
    _parked: dict[int, tuple[int, ...]] = field(default_factory=dict)  # oldest first
    _beyond: dict[int, int] = field(default_factory=dict)
    """Cells of a parked sequence beyond its tokens: a picture may fill more of them than it has positions (M-RoPE)."""
    _passing: set[int] = field(default_factory=set)
    _loans: Loans = field(default_factory=Loans)

    @property
    def free(self) -> int:
        """Cells neither reserved nor parked."""
        parked = sum(
            len(tokens) + self._beyond.get(slot, 0) - self._loans.borrowed(slot)
            for slot, tokens in self._parked.items()
        )
        running = sum(cells - self._loans.borrowed(slot) for slot, cells in self._reserved.items())
        return self.n_ctx - running - parked

    @property
    def _n_promised(self) -> int:
        """Cells that running sequences need, though all that is parked should go."""
        loans = self._loans.copy()
        for slot in self._parked:
            loans.cut(slot)
        return sum(cells - loans.borrowed(slot) for slot, cells in self._reserved.items())

    @property
    def n_running(self) -> int:
        """Slots in use."""
        return len(self._reserved)

    def is_full(self, *, spare: bool) -> bool:
        """Whether no slot is left, or only the one to spare. Not while nothing runs: nobody must wait for nobody."""
        return self.n_running >= self.n_seq_max - (1 if spare and self._reserved else 0)

    def admit(
        self, prompt: tuple[int, ...], cells: int, *, donor: int = -1, shared: int = 0, spare: bool = False
    ) -> Grant | None:
        """Reserve ``cells`` for a prompt, evicting parked sequences (oldest first) as needed; None means: wait.

        Args:
            prompt: its tokens.
            cells: of the prompt and its longest answer.
            donor: running slot that holds its first ``shared`` tokens. It is taken where no parked one holds more.
            shared: fewer than the prompt has.
            spare: whether it must leave a slot, and a quarter of the cells, to whoever comes next, unless it is alone.
        """
        if self.is_full(spare=spare):
            return None
        slot, reused = self._best_parked(prompt)
        if shared > reused:
            slot, reused = -1, shared
        else:
            donor = -1
        if slot < 0:
            unused = [i for i in range(self.n_seq_max) if i not in self._reserved and i not in self._parked]
            slot = unused[0] if unused else next(iter(self._parked))
        before = dict(self._reserved), dict(self._parked), set(self._passing), self._loans.copy()
        is_own = donor < 0 and reused > 0
        evicted = [slot] if slot in self._parked and not is_own else []
        self._loans.cut(slot, reused if is_own else 0)
        self._parked.pop(slot, None)
        self._passing.discard(slot)
        self._reserved[slot] = cells
        if donor >= 0:
            self._loans.lend(donor, slot, reused)
        most = self.n_ctx - (self.n_ctx // 4 if spare and self.n_running > 1 else 0)
        if self._n_promised > most:
            self._reserved, self._parked, self._passing, self._loans = before
            return None
        while self.free < 0:
            oldest = next(iter(self._parked))
            del self._parked[oldest]
            self._loans.cut(oldest)
            evicted.append(oldest)
        return Grant(slot, reused, tuple(evicted), donor)

    def owns(self, slot: int) -> bool:
        """Let a slot that was just admitted have all cells to itself; False where there is no room for them."""
        before = self._loans.copy()
        # What others borrowed of it counts for them from now on.
        self._loans.cut(slot)
        if self.free < 0:
            self._loans = before
            return False
        return True

    def park(self, slot: int, tokens: tuple[int, ...], *, beyond: int = 0) -> None:
        """A sequence has ended; ``tokens`` are worth keeping, and fill so many cells ``beyond`` one for each."""
        del self._reserved[slot]
        self._loans.cut(slot, len(tokens))
        if tokens:
            self._parked[slot] = tokens
            self._beyond[slot] = beyond

    def passing(self, slot: int) -> list[int]:
        """Take note that a parked slot holds a single question.

        Returns:
            Slots to be cleared: the oldest such beyond :data:`MAX_PASSING`.
        """
        if slot in self._parked:
            self._passing.add(slot)
        parked = [each for each in self._parked if each in self._passing]
        return parked[: max(len(parked) - MAX_PASSING, 0)]

    def shorten(self, slot: int, n_tokens: int) -> None:
        """Of a parked sequence only its first tokens are worth keeping; they hold no picture."""
        self._parked[slot] = self._parked[slot][:n_tokens]
        self._loans.cut(slot, n_tokens)
        self._beyond[slot] = 0
        self._passing.discard(slot)

    def parked(self, slot: int) -> tuple[int, ...]:
        """The tokens that lie parked in a slot."""
        return self._parked.get(slot, ())

    @property
    def all_parked(self) -> list[tuple[int, ...]]:
        """The tokens of every parked slot."""
        return list(self._parked.values())

    def parked_slots(self) -> list[int]:
        """Slots with parked sequences, the oldest first."""
        return list(self._parked)

    def is_passing(self, slot: int) -> bool:
        """Whether a parked slot holds a single question."""
        return slot in self._passing

    def forget(self, slot: int) -> None:
        """A slot's cells were cleared."""
        self._reserved.pop(slot, None)
        self._parked.pop(slot, None)
        self._passing.discard(slot)
        self._loans.cut(slot)

    def _best_parked(self, prompt: tuple[int, ...]) -> tuple[int, int]:
        best, longest = -1, 0
        for slot, tokens in self._parked.items():
            # The last prompt token is always decoded anew: the cache holds no logits.
            common = common_prefix(tokens, prompt[:-1])
            if not self.is_rewindable and common < len(tokens):
                continue
            if len(tokens) > MAX_LOSS * common:
                continue
            if common > longest:
                best, longest = slot, common
        return best, longest


def common_prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    # By halves: comparing slices is a hundred times faster than comparing tokens one by one.
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
