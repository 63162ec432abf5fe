"""The board at ``/metrics``: what sensors tell has a sample, what they do not tell has none."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from edgechat.board.source import Source
from edgechat.board.vitals.vitals import Vitals, read_vitals
from edgechat.engine.throttle.throttle_levels import Throttle
from edgechat.serve.endpoints.metrics import Metrics
from tests.board.trees import BOARDS


def samples(vitals: Vitals, engine: dict[str, object] | None = None) -> dict[str, float]:
    metrics = Metrics()
    metrics.board.update(vitals, engine)
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if sample.name.startswith(("edgechat_board", "edgechat_care", "edgechat_tokens_per")):
                found[f"{sample.name} {sample.labels.get('zone', '')}".strip()] = sample.value
    return found


def test_a_hot_pi_on_a_weak_supply() -> None:
    assert samples(read_vitals(Source(BOARDS / "pi4-4gb-throttled"))) == {
        "edgechat_board_celsius cpu-thermal": 82.3,
        "edgechat_board_throttled": 1.0,
        "edgechat_board_under_voltage": 1.0,
        "edgechat_board_cpu_mhz": 1000.0,
    }


def test_a_container_with_nothing_has_no_sample() -> None:
    assert samples(read_vitals(Source(BOARDS / "container-2gb"))) == {}


def test_what_the_engine_does_about_it() -> None:
    throttle = replace(Throttle(), level=2, is_tight=True)
    engine: dict[str, object] = {
        "care": throttle.to_json(4),
        "energy": {"joules": 10.0, "basis": "the board's input (VDD_IN)", "tokens_per_joule": 3.5},
    }
    found = samples(read_vitals(Source(BOARDS / "orin-nano-8gb")), engine)
    assert found["edgechat_care_level"] == 2
    assert found["edgechat_care_threads"] == 2
    assert found["edgechat_care_memory_tight"] == 1
    assert found["edgechat_tokens_per_joule"] == 3.5
    assert round(found["edgechat_board_watts"], 2) == 4.67
    assert "edgechat_board_under_voltage" not in found  # a Jetson has no sensor for it
