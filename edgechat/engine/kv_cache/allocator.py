"""The KV cache allocator: which sequence has which slot and how many cells, and which cells several sequences share.

Pure bookkeeping over numbers and token ids. The unified KV cache is one pool of ``n_ctx`` cells. A request is admitted
only when cells for its prompt and its longest answer can be reserved, so that llama.cpp never runs out in the middle of
an answer. A finished sequence is *retained* in its slot until :mod:`edgechat.engine.kv_cache.eviction` lets it go: the
next turn of a chat then prefills only its tail. A shared prefix is stored and counted once: sixteen records of one task
need its instructions a single time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.engine.kv_cache import eviction
from edgechat.engine.kv_cache.prefix import AnyToken

if TYPE_CHECKING:
    from edgechat.engine.kv_cache.prefix import CutRule, Tokens


@dataclass(frozen=True, slots=True)
class Allocation:
    """A slot for a new sequence."""

    slot: int
    reused: int
    """Leading prompt tokens whose KV cells are kept, or are those of the donor."""
    evicted: tuple[int, ...]
    """Slots to be cleared first."""
    donor: int = -1
    """Running slot whose leading cells this one shares; -1 where it shares none."""


@dataclass(slots=True)
class SharedCells:
    """Which slots use the leading cells of which others.

    llama.cpp frees a cell when the last sequence that uses it is removed. Here each cell is counted once, for its
    owner; a slot that borrows cells counts as many fewer.
    """

    _owners: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Borrower -> owner, and how many of its leading cells. An owner may have borrowed some of them itself."""

    def copy(self) -> SharedCells:
        """An independent copy."""
        return SharedCells(dict(self._owners))

    def borrowed(self, slot: int) -> int:
        """Leading cells of a slot that are counted for another one."""
        return self._owners.get(slot, (-1, 0))[1]

    def share(self, owner: int, borrower: int, count: int) -> None:
        """Let a slot without cells begin with the first ``count`` of another."""
        self._owners[borrower] = (owner, count)

    def cut(self, slot: int, keep: int = 0) -> None:
        """Remove all cells of a slot but the first ``keep``.

        Removed cells that others borrowed get a new owner: the borrower that uses most of them. The remaining borrowers
        now borrow from that one.
        """
        owner, borrowed = self._owners.get(slot, (-1, 0))
        left = {each: count for each, (of, count) in self._owners.items() if of == slot and count > keep}
        if left:
            new_owner = max(left, key=lambda each: left[each])
            for each, count in left.items():
                self._owners[each] = (new_owner, count)
            remaining = max((slot, keep), (owner, min(borrowed, left[new_owner])), key=lambda shared: shared[1])
            self._set(new_owner, *remaining)
        self._set(slot, owner, min(borrowed, keep))

    def _set(self, borrower: int, owner: int, count: int) -> None:
        if count:
            self._owners[borrower] = (owner, count)
        else:
            self._owners.pop(borrower, None)


@dataclass(slots=True)
class CellAllocator:
    """The slots and cells of one context.

    Args:
        n_ctx: cells in the pool.
        n_seq_max: slots.
        rule: where a retained sequence can be cut back to a common prefix.
    """

    n_ctx: int
    n_seq_max: int
    rule: CutRule = field(default_factory=AnyToken)
    _reserved: dict[int, int] = field(default_factory=dict)
    _retained: dict[int, Tokens] = field(default_factory=dict)  # oldest first
    _extra_cells: dict[int, int] = field(default_factory=dict)
    """Cells of a retained sequence beyond one a token: a picture may fill more than it has positions (M-RoPE)."""
    _shared: SharedCells = field(default_factory=SharedCells)

    @property
    def free(self) -> int:
        """Cells neither reserved nor retained."""
        retained = sum(
            len(tokens) + self._extra_cells.get(slot, 0) - self._shared.borrowed(slot)
            for slot, tokens in self._retained.items()
        )
        running = sum(cells - self._shared.borrowed(slot) for slot, cells in self._reserved.items())
        return self.n_ctx - running - retained

    @property
    def _n_promised(self) -> int:
        """Cells that running sequences need when everything that is retained has been evicted."""
        shared = self._shared.copy()
        for slot in self._retained:
            shared.cut(slot)
        return sum(cells - shared.borrowed(slot) for slot, cells in self._reserved.items())

    @property
    def spare(self) -> int:
        """A slot that holds nothing; -1 where there is none."""
        return next((i for i in range(self.n_seq_max) if i not in self._reserved and i not in self._retained), -1)

    @property
    def n_running(self) -> int:
        """Slots in use."""
        return len(self._reserved)

    def is_full(self, *, spare: bool) -> bool:
        """Whether no slot is left, or only the one to spare. While nothing runs, none is spared."""
        return self.n_running >= self.n_seq_max - (1 if spare and self._reserved else 0)

    def admit(
        self, prompt: Tokens, cells: int, *, donor: int = -1, shared: int = 0, spare: bool = False
    ) -> Allocation | None:
        """Reserve ``cells`` for a prompt, evicting retained sequences as needed; None when it must wait.

        Args:
            prompt: its tokens.
            cells: of the prompt and its longest answer.
            donor: running slot that holds its first ``shared`` tokens. Used where no retained one holds more.
            shared: fewer than the prompt has.
            spare: whether to leave a slot and a quarter of the cells to later requests, unless nothing else runs.
        """
        if self.is_full(spare=spare):
            return None
        slot, reused = eviction.best_retained(self._retained, prompt, self.rule)
        if shared > reused:
            slot, reused = -1, shared
        else:
            donor = -1
        if slot < 0:
            unused = [i for i in range(self.n_seq_max) if i not in self._reserved and i not in self._retained]
            slot = unused[0] if unused else eviction.next_victim(self._retained)
        before = dict(self._reserved), dict(self._retained), self._shared.copy()
        is_own = donor < 0 and reused > 0
        evicted = [slot] if slot in self._retained and not is_own else []
        self._shared.cut(slot, reused if is_own else 0)
        self._retained.pop(slot, None)
        self._reserved[slot] = cells
        if donor >= 0:
            self._shared.share(donor, slot, reused)
        most = self.n_ctx - (self.n_ctx // 4 if spare and self.n_running > 1 else 0)
        if self._n_promised > most:
            self._reserved, self._retained, self._shared = before
            return None
        while self.free < 0:
            victim = eviction.next_victim(self._retained)
            del self._retained[victim]
            self._shared.cut(victim)
            evicted.append(victim)
        return Allocation(slot, reused, tuple(evicted), donor)

    def admit_beside(self, slot: int, keep: int, cells: int, *, donor: int = -1) -> int:
        """Reserve ``cells`` without evicting anything; returns the slot, or -1 where there is no place.

        Args:
            slot: a retained sequence to continue; -1 takes an unused slot.
            keep: how many of its tokens stay, or are shared with the donor.
            cells: in all.
            donor: a retained sequence whose leading cells an unused slot shares; -1 for none.
        """
        if slot < 0:
            unused = (i for i in range(self.n_seq_max) if i not in self._reserved and i not in self._retained)
            slot = next(unused, -1)
        if slot < 0:
            return -1
        before = dict(self._reserved), dict(self._retained), self._shared.copy()
        self._shared.cut(slot, keep if donor < 0 else 0)
        self._retained.pop(slot, None)
        self._reserved[slot] = cells
        if donor >= 0:
            self._shared.share(donor, slot, keep)
        if self.free < 0:
            self._reserved, self._retained, self._shared = before
            return -1
        return slot

    def unshare(self, slot: int) -> bool:
        """Give a slot that was just admitted cells of its own only; False where there is no room for them."""
        before = self._shared.copy()
        # What others borrowed of it counts for them from now on.
        self._shared.cut(slot)
        if self.free < 0:
            self._shared = before
            return False
        return True

    def retain(self, slot: int, tokens: Tokens, *, extra_cells: int = 0) -> None:
        """Keep the cells of a sequence that has ended: one for each of ``tokens``, and ``extra_cells`` beyond."""
        del self._reserved[slot]
        self._shared.cut(slot, len(tokens))
        if tokens:
            self._retained[slot] = tokens
            self._extra_cells[slot] = extra_cells

    def shorten(self, slot: int, n_tokens: int) -> None:
        """Keep only the first tokens of a retained sequence; they must hold no picture."""
        self._retained[slot] = self._retained[slot][:n_tokens]
        self._shared.cut(slot, n_tokens)
        self._extra_cells[slot] = 0

    def retained(self, slot: int) -> Tokens:
        """The tokens that are retained in a slot."""
        return self._retained.get(slot, ())

    @property
    def all_retained(self) -> dict[int, Tokens]:
        """The tokens of every retained sequence by its slot, the oldest first."""
        return dict(self._retained)

    def free_slot(self, slot: int) -> None:
        """Note that a slot's cells were cleared."""
        self._reserved.pop(slot, None)
        self._retained.pop(slot, None)
        self._shared.cut(slot)
