"""Energy over time from rails and counters; nothing where nothing is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.vitals.energy import Meter, Recording, Sample, joules_passed
from edgechat.board.vitals.power import Counter, Power, Rail
from tests.board.trees import write

if TYPE_CHECKING:
    from pathlib import Path

RAPL = "sys/class/powercap/intel-rapl:0"
INA = "sys/class/hwmon/hwmon0"


def rail(milliamperes: int) -> dict[str, str]:
    return {
        f"{INA}/name": "ina3221\n",
        f"{INA}/in1_label": "VDD_IN\n",
        f"{INA}/in1_input": "5000\n",
        f"{INA}/curr1_input": f"{milliamperes}\n",
    }


def test_watts_are_added_up_between_looks(tmp_path: Path) -> None:
    meter = Meter(write(tmp_path, rail(1000)))
    assert meter.sample(0.0) == 0.0
    write(tmp_path, rail(2000))
    assert meter.sample(2.0) == pytest.approx((5 + 10) / 2 * 2)
    assert meter.sample(3.0) == pytest.approx(10.0)
    assert meter.joules == pytest.approx(25.0)
    assert meter.basis == "the board's input (VDD_IN)"


def test_counters_are_taken_as_they_are(tmp_path: Path) -> None:
    files = {f"{RAPL}/name": "package-0\n", f"{RAPL}/max_energy_range_uj": "1000000000\n"}
    meter = Meter(write(tmp_path, {**files, f"{RAPL}/energy_uj": "5000000\n"}))
    meter.sample(0.0)
    write(tmp_path, {f"{RAPL}/energy_uj": "26000000\n"})
    assert meter.sample(1.0) == pytest.approx(21.0)
    assert "processor alone" in meter.basis


def test_the_boards_input_counts_before_the_processors_counters() -> None:
    def power(watts: float, microjoules: int, *, is_input: bool) -> Power:
        return Power((Rail("X", watts, is_input),), (), (Counter("package-0", microjoules, 10**9),))

    def between(*, is_input: bool) -> tuple[float, str] | None:
        before, after = (power(w, j, is_input=is_input) for w, j in ((4.0, 0), (6.0, 7_000_000)))
        return joules_passed(Sample(0.0, before), Sample(1.0, after))

    assert between(is_input=True) == (5.0, "the board's input (X)")
    assert between(is_input=False) == (7.0, "the processor alone (RAPL package)")


def test_nothing_measured_is_no_energy(tmp_path: Path) -> None:
    meter = Meter(write(tmp_path, {}))
    meter.sample(0.0)
    assert (meter.sample(5.0), meter.basis) == (0.0, "")
    with Recording(write(tmp_path, {})) as recording:
        pass
    assert recording.between(0.0, 1.0) is None


def test_a_recording_is_asked_for_any_stretch_of_it(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path, rail(1000)))
    with recording:
        pass
    began, ended = recording._course[0][0], recording._course[-1][0]
    whole = recording.between(began, ended)
    assert whole == pytest.approx(5.0 * (ended - began))
    half = recording.between(began, (began + ended) / 2)
    assert half == pytest.approx(5.0 * (ended - began) / 2)
