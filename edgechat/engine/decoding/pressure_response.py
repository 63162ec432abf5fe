"""What the decode loop does about the care policy and the metrics: between steps, in the loop's own thread.

Tells readers when the engine slows down, drops caches when memory is short, counts what ended. Decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Slowed
from edgechat.engine.state.metrics import Latency
from edgechat.garbage_collector import release_memory

if TYPE_CHECKING:
    from edgechat.engine.decoding.loaded_model import Residence
    from edgechat.engine.decoding.scheduler import Admission
    from edgechat.engine.decoding.sequence import Sequence
    from edgechat.engine.state.metrics import Metrics
    from edgechat.engine.throttle.monitor import ThrottleMonitor
    from edgechat.engine.throttle.policy import Throttle


class Heed:
    """The loop's side of care and metrics.

    Args:
        monitor: whose throttle is heeded.
        metrics: where ended answers are counted.
        residence: whose caches are dropped.
        admission: whose parked prefixes are dropped.
    """

    def __init__(self, monitor: ThrottleMonitor, metrics: Metrics, residence: Residence, admission: Admission) -> None:
        self._monitor, self._metrics, self._home, self._admission = monitor, metrics, residence, admission
        self._heeded: Throttle = monitor.throttle

    def between_steps(self, running: list[Sequence]) -> None:
        """Take a new throttle over."""
        throttle = self._monitor.throttle
        if throttle is self._heeded:
            return
        before, self._heeded = self._heeded, throttle
        if throttle.level != before.level:
            for sequence in running:
                self._tell(sequence)
        if throttle.drops != before.drops:
            self._admission.forget_all(running)
            self._home.forget_caches(is_idle=not running and not self._admission.waiting)
            release_memory()

    def begun(self, sequence: Sequence) -> None:
        """An answer begins: its reader learns when the engine is slowed down."""
        if self._monitor.throttle.level:
            self._tell(sequence)

    def ended(self, sequence: Sequence, reason: str, now: float) -> None:
        """Count an answer."""
        timing, n_new = sequence.timing, len(sequence.generated) - len(sequence.request.resume)
        latency = None
        if timing.first_token:
            decode_s = timing.last_token - timing.first_token
            tps = (n_new - 1) / decode_s if n_new > 1 and decode_s > 0 else 0.0
            latency = Latency(timing.first_token - timing.arrived, now - timing.arrived, tps)
        self._metrics.count_answer(reason, (len(sequence.prompt), sequence.cached, n_new, sequence.n_forced), latency)

    def _tell(self, sequence: Sequence) -> None:
        throttle = self._monitor.throttle
        threads = throttle.threads(self._monitor.n_planned)
        sequence.reader.send(Slowed(throttle.level, threads, throttle.pause_s, throttle.reason), sequence.request_id)
