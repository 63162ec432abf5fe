"""Who owns which sequence slot and how many KV cells: admission by reservation, and finished prefixes kept warm.

Pure bookkeeping over numbers and token ids. The unified KV cache is one pool of ``n_ctx`` cells; a request is admitted
only when its prompt and its longest answer can be reserved, so that llama.cpp never runs out in mid-answer. A finished
sequence stays parked in its slot until somebody needs the room: the next turn of a chat then prefills only its tail.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LOSS = 8
"""A parked sequence this many times longer than what it shares with a prompt is left alone while another slot will do:
every prompt shares its template's first words, and a long chat must not be lost for those."""


MAX_PASSING = 1
"""Parked answers to single questions. Every cell that is filled, whoever's it is, is looked at by every token of every
answer, and few single questions but the last are followed up; a conversation stays parked until room is needed."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot for a new sequence."""

    slot: int
    reused: int
    """Leading prompt tokens whose KV cells are kept."""
    evicted: tuple[int, ...]
    """Slots to be cleared first."""


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

    @property
    def free(self) -> int:
        """Cells neither reserved nor parked."""
        parked = sum(len(tokens) + self._beyond.get(slot, 0) for slot, tokens in self._parked.items())
        return self.n_ctx - sum(self._reserved.values()) - parked

    @property
    def n_running(self) -> int:
        """Slots in use."""
        return len(self._reserved)

    def leaves_room(self, cells: int) -> bool:
        """Whether one more request of ``cells`` leaves a slot, and a quarter of the cells, to whoever comes next.

        True when nothing runs: a request that is alone must not wait for nobody.
        """
        if not self._reserved:
            return True
        has_slot = self.n_running + 1 < self.n_seq_max
        return has_slot and sum(self._reserved.values()) + cells <= self.n_ctx - self.n_ctx // 4

    def admit(self, prompt: tuple[int, ...], cells: int) -> Grant | None:
        """Reserve ``cells`` for a prompt, evicting parked sequences (oldest first) as needed; None means: wait."""
        if cells > self.n_ctx - sum(self._reserved.values()):
            return None
        slot, reused = self._best_parked(prompt)
        if slot < 0:
            unused = [i for i in range(self.n_seq_max) if i not in self._reserved and i not in self._parked]
            if unused:
                slot = unused[0]
            elif self._parked:
                slot = next(iter(self._parked))
            else:
                return None
        evicted = [] if reused else [slot] if slot in self._parked else []
        self._parked.pop(slot, None)
        self._passing.discard(slot)
        self._reserved[slot] = cells
        while self.free < 0:
            oldest = next(iter(self._parked))
            del self._parked[oldest]
            evicted.append(oldest)
        return Grant(slot, reused, tuple(evicted))

    def park(self, slot: int, tokens: tuple[int, ...], *, beyond: int = 0) -> None:
        """A sequence has ended; ``tokens`` are worth keeping, and fill so many cells ``beyond`` one for each."""
        del self._reserved[slot]
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
        self._beyond[slot] = 0
        self._passing.discard(slot)

    def parked(self, slot: int) -> tuple[int, ...]:
        """The tokens that lie parked in a slot."""
        return self._parked.get(slot, ())

    def forget(self, slot: int) -> None:
        """A slot's cells were cleared."""
        self._reserved.pop(slot, None)
        self._parked.pop(slot, None)
        self._passing.discard(slot)

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
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    for i in range(n):
        if a[i] != b[i]:
            return i
    return n
