"""The board at ``/metrics``: heat, supply, power, memory pressure, and what the engine's care does about them.

A sensor that is not there has no sample, so that no alarm is raised, or silenced, by a zero that nobody measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from edgechat.board.vitals.vitals import Vitals
    from edgechat.engine.protocol.framing import Frame


class BoardMetrics(Collector):
    """What was last noted, as gauges."""

    def __init__(self) -> None:
        self._vitals: Vitals | None = None
        self._engine: Frame | None = None

    def note(self, vitals: Vitals, engine: Frame | None) -> None:
        """Take over a look at the machine and what the engine says of itself."""
        self._vitals, self._engine = vitals, engine

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at each scrape, and once, with nothing noted, when it is registered."""
        if self._vitals is not None:
            yield from _sensors(self._vitals)
        care: dict[str, Any] = (self._engine or {}).get("care") or {}
        if care:
            yield GaugeMetricFamily("edgechat_care_level", "0 normal, 1 eased, 2 slowed, 3 resting.", care["level"])
            yield GaugeMetricFamily("edgechat_care_threads", "Threads that compute.", care["n_threads"])
            text = "1 when memory is short and caches were dropped."
            yield GaugeMetricFamily("edgechat_care_memory_tight", text, int(care["memory_tight"]))
        energy: dict[str, Any] = (self._engine or {}).get("energy") or {}
        if (rate := energy.get("tokens_per_joule")) is not None:
            yield GaugeMetricFamily("edgechat_tokens_per_joule", f"Generated per joule of {energy['basis']}.", rate)


def _sensors(vitals: Vitals) -> Iterator[Metric]:
    if vitals.zones:
        heat = GaugeMetricFamily("edgechat_board_celsius", "Temperature by sensor.", labels=["zone"])
        for name, celsius in {zone.name: zone.celsius for zone in vitals.zones}.items():
            heat.add_metric([name], celsius)
        yield heat
    held = vitals.throttling
    if held.sources:
        text = "1 when the board slows itself down."
        yield GaugeMetricFamily("edgechat_board_throttled", text, int(held.is_slowed))
    if {"firmware", "rpi_volt"} & set(held.sources):
        text = "1 when the supply is too weak."
        yield GaugeMetricFamily("edgechat_board_under_voltage", text, int(held.is_under_voltage))
    if vitals.power.watts is not None:
        yield GaugeMetricFamily("edgechat_board_watts", f"Power of {vitals.power.basis}.", vitals.power.watts)
    if vitals.mhz is not None:
        yield GaugeMetricFamily("edgechat_board_cpu_mhz", "Clock of the fastest core.", vitals.mhz)
    if vitals.memory_pressure is not None:
        text = "Percent of the last ten seconds in which something waited for memory."
        yield GaugeMetricFamily("edgechat_board_memory_pressure", text, vitals.memory_pressure.some10)
