"""How many prompt tokens one step reads: sized by what steps were measured to take, so that running answers flow on.

Pure: it is told what each step took and says how much the next one may read. Two promises are weighed. The answers:
a step that reads for somebody else takes at most :data:`SLOWER` times what it takes alone. Who waits for the reading:
the other half of the time, and one token a step in any case, so that reading is slowed down but never stopped.
"""

from __future__ import annotations

ALONE_S = 1.0
"""A step that disturbs nobody: what a cancellation waits for at most."""
LEAST_ALONE = 32
"""Tokens; less is read less efficiently, and measured less well."""

SLOWER = 2.0
"""A mixed step against one that only decodes: the answers keep half of the machine, the prompt gets the other half.
The 95th percentile stays below 2.5 with what steps vary by."""

MOST_CLAIMS = 4
"""Prompts that count when many wait: however many come at once, the answers keep a fifth of the machine."""

UNSEEN_S = 0.04
"""Steps up to this long are nobody's stall, however fast the model is alone: text is handed over every 0.08 s."""

LOOK_EVERY = 32
"""Mixed steps until one decodes alone again: what that takes grows with the answers, and changes with the threads."""

_WEIGHT = 0.3
"""Of a new measurement against those before."""
_FAR = 2.0
"""A step that took this many times what was expected was disturbed by another program; it counts no more than so."""


class Pace:
    """What steps take, learned from each one.

    Args:
        first: prompt tokens of the very first step, of which nothing is known.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._alone: float | None = None
        """Seconds for one prompt token while nothing else is done."""
        self._beside: float | None = None
        """Seconds that one prompt token adds to a step that decodes."""
        self._decoding: dict[int, float] = {}
        """Seconds of a step that only decodes, by the number of answers."""
        self._unlooked = 0
        self._last = 0

    def chunk(self, n_decoding: int, n_reading: int = 1) -> int:
        """Prompt tokens to read in a step beside ``n_decoding`` answers; 0 means that it is to decode alone.

        Args:
            n_decoding: answers that a long step holds up.
            n_reading: prompts that wait to be read; each has a claim to as much time as the answers together.
        """
        if not n_decoding:
            return self._first if self._alone is None else max(int(ALONE_S / self._alone), LEAST_ALONE)
        quiet = self._decoding.get(n_decoding)
        if quiet is None or self._unlooked >= LOOK_EVERY:
            return 0
        # Reading in small pieces is the dearer way, so what it costs is learned from steps of about this size. A token
        # that is read costs no more than one that is written.
        each = self._beside or quiet / n_decoding
        slower = max(SLOWER, 1.0 + min(n_reading, MOST_CLAIMS))
        allowed = max(slower * quiet, UNSEEN_S) - quiet
        return max(min(int(allowed / each + 1e-6), 2 * self._last + 1), 1)

    def took(self, n_decoding: int, n_read: int, seconds: float) -> None:
        """Learn from a step that decoded for ``n_decoding`` answers, read ``n_read`` tokens and took this long."""
        seconds = max(seconds, 1e-6)
        if not n_decoding:
            if n_read >= LEAST_ALONE:
                self._alone = _mixed(self._alone, seconds / n_read)
        elif not n_read:
            self._decoding[n_decoding] = _mixed(self._decoding.get(n_decoding), seconds)
            self._unlooked = 0
        else:
            self._unlooked += 1
            self._last = n_read
            quiet = self._decoding.get(n_decoding)
            if quiet is not None:
                # Never below a tenth of a written token's share: noise must not let a chunk grow without bounds.
                each = max((seconds - quiet) / n_read, quiet / n_decoding / 10)
                self._beside = _mixed(self._beside, each)


def _mixed(known: float | None, new: float) -> float:
    if known is None:
        return new
    return (1 - _WEIGHT) * known + _WEIGHT * min(new, _FAR * known)
