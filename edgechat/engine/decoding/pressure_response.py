"""What the decode loop does about the care policy and the figures: between steps, in the loop's own thread.

Tells readers when the engine slows down, drops caches when memory is short, counts what ended. Decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Slowed
from edgechat.engine.state.metrics import Latency
from edgechat.garbage_collector import give_back

if TYPE_CHECKING:
    from edgechat.engine.decoding.loaded_model import Residence
    from edgechat.engine.decoding.scheduler import Admission
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.state.metrics import Figures
    from edgechat.engine.throttle.monitor import Carer
    from edgechat.engine.throttle.policy import Stance


class Heed:
    """The loop's side of care and figures.

    Args:
        carer: whose stance is heeded.
        figures: where ended answers are counted.
        residence: whose caches are dropped.
        admission: whose parked prefixes are dropped.
    """

    def __init__(self, carer: Carer, figures: Figures, residence: Residence, admission: Admission) -> None:
        self._carer, self._figures, self._home, self._admission = carer, figures, residence, admission
        self._heeded: Stance = carer.stance

    def between_steps(self, running: list[Sequence]) -> None:
        """Take a new stance over."""
        stance = self._carer.stance
        if stance is self._heeded:
            return
        before, self._heeded = self._heeded, stance
        if stance.level != before.level:
            for sequence in running:
                self._tell(sequence)
        if stance.drops != before.drops:
            self._admission.forget_all(running)
            self._home.forget_caches(is_idle=not running and not self._admission.waiting)
            give_back()

    def begun(self, sequence: Sequence) -> None:
        """An answer begins: its reader learns when the engine is slowed down."""
        if self._carer.stance.level:
            self._tell(sequence)

    def ended(self, sequence: Sequence, reason: str, now: float) -> None:
        """Count an answer."""
        timing, n_new = sequence.timing, len(sequence.generated) - len(sequence.request.resume)
        latency = None
        if timing.first_token:
            decode_s = timing.last_token - timing.first_token
            tps = (n_new - 1) / decode_s if n_new > 1 and decode_s > 0 else 0.0
            latency = Latency(timing.first_token - timing.arrived, now - timing.arrived, tps)
        self._figures.answered(reason, (len(sequence.prompt), sequence.cached, n_new, sequence.n_forced), latency)

    def _tell(self, sequence: Sequence) -> None:
        stance = self._carer.stance
        threads = stance.threads(self._carer.n_planned)
        sequence.reader.send(Slowed(stance.level, threads, stance.pause_s, stance.reason), sequence.request_id)
