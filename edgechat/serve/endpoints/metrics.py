"""The metrics that Prometheus reads at ``/metrics``: of requests, the engine and the board.

A missing sensor has no sample, because a zero that was not measured could raise or silence an alarm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from edgechat.board.vitals.vitals import Vitals
    from edgechat.engine.protocol.events import Done
    from edgechat.engine.protocol.framing import Frame

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "edgechat_requests", "Requests answered, by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self.ttft = Histogram(
            "edgechat_ttft_seconds",
            "From a request's arrival to the first text of its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.total = Histogram(
            "edgechat_answer_seconds",
            "From a request's arrival to the end of its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = {
            name: Counter(f"edgechat_{name}", text, registry=registry)
            for name, text in (
                ("prompt_tokens", "Prompt tokens of finished answers."),
                ("cached_tokens", "Prompt tokens that were found in the KV cache."),
                ("completion_tokens", "Tokens of finished answers."),
                ("forced_tokens", "Tokens that a JSON schema left no choice about."),
            )
        }
        self.cache_hits = Counter(
            "edgechat_prefix_cache_hits", "Answers whose prompt was partly in the KV cache.", registry=registry
        )
        self.cancelled = Counter("edgechat_cancelled", "Answers whose client left before the end.", registry=registry)
        self.recovered = Counter(
            "edgechat_recovered", "Answers that went on after the engine had died.", ["cause"], registry=registry
        )
        self.engine_starts = Counter(
            "edgechat_engine_starts", "Engine processes seen; all but the first are restarts.", registry=registry
        )
        self.engine_restarts = Counter(
            "edgechat_engine_restarts", "Engine processes that took another's place.", registry=registry
        )
        self.running = Gauge("edgechat_running", "Requests being answered.", registry=registry)
        self.waiting = Gauge("edgechat_waiting", "Requests in the queue.", registry=registry)
        self.ready = Gauge("edgechat_ready", "1 when /health says ready.", registry=registry)
        self.engine_rss = Gauge("edgechat_engine_resident_bytes", "Memory of the engine process.", registry=registry)
        self.server_rss = Gauge("edgechat_server_resident_bytes", "Memory of the server process.", registry=registry)
        self.board = BoardMetrics()
        registry.register(self.board)
        self._pid: int | None = None

    def count_answer(self, done: Done) -> None:
        """Count a finished answer."""
        for name, counter in self._tokens.items():
            counter.inc(done.usage.get(name, 0))
        if done.usage.get("cached_tokens", 0) > 0:
            self.cache_hits.inc()

    def update_engine(self, pid: int | None, rss_bytes: int) -> None:
        """Set the engine's memory, and count its process when it is a new one."""
        self.engine_rss.set(rss_bytes)
        if pid is not None and pid != self._pid:
            self.engine_starts.inc()
            if self._pid is not None:
                self.engine_restarts.inc()
            self._pid = pid

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class BoardMetrics(Collector):
    """The board's sensors and the engine's throttling, as of the last update."""

    def __init__(self) -> None:
        self._vitals: Vitals | None = None
        self._engine: Frame | None = None

    def update(self, vitals: Vitals, engine: Frame | None) -> None:
        """Set the sensors' values and the engine's status."""
        self._vitals, self._engine = vitals, engine

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges. The registry calls this at each scrape, and once at registration, before any update."""
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
        gauge = GaugeMetricFamily("edgechat_board_celsius", "Temperature by sensor.", labels=["zone"])
        for name, celsius in {zone.name: zone.celsius for zone in vitals.zones}.items():
            gauge.add_metric([name], celsius)
        yield gauge
    throttling = vitals.throttling
    if throttling.sources:
        text = "1 when the board slows itself down."
        yield GaugeMetricFamily("edgechat_board_throttled", text, int(throttling.is_slowed))
    if {"firmware", "rpi_volt"} & set(throttling.sources):
        text = "1 when the supply is too weak."
        yield GaugeMetricFamily("edgechat_board_under_voltage", text, int(throttling.is_under_voltage))
    if vitals.power.watts is not None:
        yield GaugeMetricFamily("edgechat_board_watts", f"Power of {vitals.power.basis}.", vitals.power.watts)
    if vitals.mhz is not None:
        yield GaugeMetricFamily("edgechat_board_cpu_mhz", "Clock of the fastest core.", vitals.mhz)
    if vitals.memory_pressure is not None:
        text = "Percent of the last ten seconds in which something waited for memory."
        yield GaugeMetricFamily("edgechat_board_memory_pressure", text, vitals.memory_pressure.some10)
