"""Whose KV cells serve several sequences: the leading ones of a prompt that another answer has read already.

Pure bookkeeping: slots and numbers. llama.cpp frees a cell when the last sequence that uses it lets go; here each cell
is counted once, for one sequence, and who borrowed it counts as many fewer.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Loans:
    """Who uses whose leading cells."""

    _of: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Borrower -> lender, and how many of its leading cells. A lender may have borrowed some of them itself."""

    def copy(self) -> Loans:
        """The same, to be changed by itself."""
        return Loans(dict(self._of))

    def borrowed(self, slot: int) -> int:
        """Leading cells of a slot that are counted for another one."""
        return self._of.get(slot, (-1, 0))[1]

    def lend(self, lender: int, borrower: int, count: int) -> None:
        """A slot that has no cells yet begins with another's."""
        self._of[borrower] = (lender, count)

    def cut(self, slot: int, keep: int = 0) -> None:
        """Of a slot's cells only the first ``keep`` stay.

        What others borrowed beyond those is theirs from now on: it counts for the one that uses most of it, of whom
        the others have it.
        """
        lender, borrowed = self._of.get(slot, (-1, 0))
        heirs = {each: count for each, (of, count) in self._of.items() if of == slot and count > keep}
        if heirs:
            heir = max(heirs, key=lambda each: heirs[each])
            for each, count in heirs.items():
                self._of[each] = (heir, count)
            self._set(heir, *max((slot, keep), (lender, min(borrowed, heirs[heir])), key=lambda loan: loan[1]))
        self._set(slot, lender, min(borrowed, keep))

    def _set(self, borrower: int, lender: int, count: int) -> None:
        if count:
            self._of[borrower] = (lender, count)
        else:
            self._of.pop(borrower, None)
