"""What Prometheus reads at ``/metrics``. Counts what it is told; asks nobody anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from edgechat.serve.endpoints.board_metrics import BoardMetrics

if TYPE_CHECKING:
    from edgechat.engine.protocol.events import Done

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counters of one server."""

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

    def note_done(self, done: Done) -> None:
        """Count a finished answer."""
        for name, counter in self._tokens.items():
            counter.inc(done.usage.get(name, 0))
        if done.usage.get("cached_tokens", 0) > 0:
            self.cache_hits.inc()

    def note_engine(self, pid: int | None, rss_bytes: int) -> None:
        """Note which engine process runs, if any."""
        self.engine_rss.set(rss_bytes)
        if pid is not None and pid != self._pid:
            self.engine_starts.inc()
            if self._pid is not None:
                self.engine_restarts.inc()
            self._pid = pid

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)
