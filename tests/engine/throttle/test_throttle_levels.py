"""The engine's care: recorded ramps drive its decisions, and a board that would slow itself never has to."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from edgechat.board.vitals import thermal
from edgechat.board.vitals.pressure import MemoryStall, Pressure
from edgechat.board.vitals.thermal import Zone
from edgechat.board.vitals.throttle_flags import Throttling
from edgechat.board.vitals.vitals import Vitals
from edgechat.engine.state import pressure_history
from edgechat.engine.state.pressure_history import RecentPressure
from edgechat.engine.throttle import throttle_levels
from edgechat.engine.throttle.monitor import ThrottleMonitor
from edgechat.engine.throttle.throttle_levels import Throttle
from scripts.measure.throttle_trace import Look, replay
from tests.board.trees import BOARDS, write

if TYPE_CHECKING:
    from pathlib import Path

RAMPS = BOARDS / "ramps"
LEVELS = {"normal": 0, "eased": 1, "slowed": 2, "resting": 3}


def at(celsius: float, **facts: object) -> Vitals:
    """A Raspberry Pi at a temperature."""
    return replace(Vitals(zones=(Zone("cpu-thermal", celsius),), is_raspberry_pi=True), **facts)  # type: ignore[arg-type]


@cache
def looks_of(name: str) -> list[Look]:
    """Every look of a recording."""
    return list(replay(RAMPS / f"{name}.jsonl"))


def course(name: str) -> list[tuple[float, int]]:
    """When the level changed over a recording, and to what."""
    changes, level = [], 0
    for look in looks_of(name):
        if look.throttle.level != level:
            level = look.throttle.level
            assert look.note.startswith(look.throttle.name)
            changes.append((look.t_s, level))
    return changes


def test_a_temperature_ramp_is_met_before_the_board_acts_and_left_step_by_step() -> None:
    looks = looks_of("pi5-heat")
    changes = course("pi5-heat")
    assert [level for _, level in changes] == [1, 2, 3, 2, 1, 0]
    first = next(look for look in looks if look.throttle.level)
    assert first.vitals.hottest is not None
    assert first.vitals.hottest.celsius < 80
    # Coming back takes at least twenty seconds a level, and begins well below where the level began.
    downs = [t for (t, level), (_, before) in zip(changes[1:], changes, strict=False) if level < before]
    assert all(later - earlier >= throttle_levels.RESUME_S for earlier, later in pairwise(downs))
    back = next(look for look in looks if look.t_s == downs[0])
    assert back.vitals.hottest is not None
    assert back.vitals.hottest.celsius < 80 - throttle_levels.HYSTERESIS_C


def test_under_voltage_halves_the_load_at_once_and_for_as_long_as_it_comes_back() -> None:
    changes = course("pi4-under-voltage")
    assert changes[0] == (10.0, 2)
    # The supply held from 16 s to 22 s: too short to believe it.
    assert changes[1][0] >= 40 + throttle_levels.RESUME_S
    assert [level for _, level in changes] == [2, 1, 0]


def test_a_board_that_slows_itself_all_the_same_gets_one_quarter_of_the_threads() -> None:
    looks = {look.t_s: look for look in looks_of("orin-throttling")}
    assert looks[60.0].throttle.level == 3
    assert looks[60.0].throttle.threads(4) == 1
    assert "the board slows itself" in looks[60.0].note
    assert "passive trip point" in looks[8.0].note


def test_pressure_drops_caches_once_a_minute_and_touches_no_thread() -> None:
    looks = looks_of("ipc-pressure")
    assert {look.throttle.level for look in looks} == {0}
    drops = [look.t_s for look in looks if "caches dropped" in look.note]
    assert drops == [22.0, 82.0]
    over = next(look.t_s for look in looks if "no longer short" in look.note)
    assert over >= 110 + throttle_levels.EASY_S  # when the other program has left
    assert not looks[-1].throttle.is_tight
    assert looks[11].note.startswith("memory is short: work on this machine waited for memory for 13 % of ten seconds")
    assert "with only 422 MB available" in looks[11].note


def test_a_neighbour_that_thrashes_under_its_own_limit_is_no_shortage_of_ours() -> None:
    looks = looks_of("ipc-neighbour")
    assert max(pressure.some10 for look in looks if (pressure := look.vitals.memory_pressure)) == 38.0
    assert [look.note for look in looks if look.note] == []
    assert not any(look.throttle.is_tight for look in looks)


def test_our_own_group_under_its_limit_is_short_whatever_the_machine_has_left() -> None:
    notes = [look.note for look in looks_of("ipc-own-limit") if look.note]
    assert len(notes) == 2
    assert all("work in edgechat's own group waited for memory" in note for note in notes)
    assert not any("available" in note for note in notes)


@pytest.mark.parametrize(("n_threads", "ambient", "unslowed"), [(4, 30.0, 96.0), (8, 40.0, 120.0), (2, 25.0, 90.0)])
def test_a_board_that_would_slow_itself_never_has_to(n_threads: int, ambient: float, unslowed: float) -> None:
    # A heat sink as one capacity and one resistance, heated in proportion to the threads that run.
    tau_s, celsius, throttle = 75.0, ambient, Throttle()
    hottest, threads, changes = celsius, [], 0
    for second in range(0, 3600, 2):
        before, throttle = throttle, throttle_levels.decide(throttle, at(celsius), float(second))
        changes += throttle.level != before.level
        threads.append(throttle.threads(n_threads))
        aim = ambient + (unslowed - ambient) * threads[-1] / n_threads
        celsius += (aim - celsius) * 2 / tau_s
        hottest = max(hottest, celsius)
    assert unslowed > thermal.RASPBERRY_PI_C > hottest
    assert sum(threads) / len(threads) > n_threads * 0.3  # it did not simply stand still
    assert changes < 3600 / throttle_levels.RESUME_S  # nor flutter


def test_nothing_measured_nothing_done() -> None:
    assert throttle_levels.decide(Throttle(), Vitals(), 5.0) == Throttle()


def test_a_single_thread_stays() -> None:
    hot = throttle_levels.decide(Throttle(), at(90.0), 0.0)
    assert [hot.threads(n) for n in (1, 2, 4, 8)] == [1, 1, 1, 2]


def test_the_firmwares_own_words_count_without_a_temperature() -> None:
    near = Vitals(throttling=Throttling(("firmware",), ("near the temperature limit",)))
    capped = Vitals(throttling=Throttling(("firmware",), ("clock capped",)))
    assert throttle_levels.decide(Throttle(), near, 0.0).level == 1
    assert throttle_levels.decide(Throttle(), capped, 0.0).level == 3


def test_a_moment_of_pressure_is_not_enough_and_full_stalls_count() -> None:
    def pressed(some: float, full: float = 0.0) -> Throttle:
        return throttle_levels.decide(Throttle(), Vitals(memory_stall=MemoryStall(own=Pressure(some, 0.0, full))), 0.0)

    assert not pressed(9.9).is_tight
    assert pressed(10.0).is_tight
    assert pressed(6.0, 5.0).is_tight


@pytest.mark.parametrize(("available", "is_ours"), [(999, True), (1000, False), (23_700_000_000, False), (None, False)])
def test_the_machines_pressure_counts_only_where_the_plan_no_longer_has_what_it_was_promised(
    available: int | None, is_ours: bool
) -> None:
    stall = MemoryStall(machine=Pressure(40.0, 40.0, 20.0), available=available)
    assert throttle_levels.decide(Throttle(), Vitals(memory_stall=stall), 0.0, needed=1000).is_tight == is_ours
    # The group's own pressure says more than the machine's, in either direction.
    calm = replace(stall, own=Pressure(0.0, 0.0))
    assert throttle_levels.decide(Throttle(), Vitals(memory_stall=calm), 0.0, needed=1000).is_tight == is_ours
    stalled = replace(stall, own=Pressure(12.0, 3.0))
    assert throttle_levels.decide(Throttle(), Vitals(memory_stall=stalled), 0.0, needed=1000).is_tight


def test_a_shortage_ends_when_memory_is_back_though_the_neighbour_goes_on_thrashing() -> None:
    short = MemoryStall(machine=Pressure(40.0, 40.0), available=10)
    throttle = throttle_levels.decide(Throttle(), Vitals(memory_stall=short), 0.0, needed=1000)
    assert throttle.is_tight
    for second in range(2, 2 + int(throttle_levels.EASY_S) + 2, 2):
        throttle = throttle_levels.decide(
            throttle, Vitals(memory_stall=replace(short, available=5000)), float(second), needed=1000
        )
    assert not throttle.is_tight


def test_the_carer_reads_the_board_and_writes_down_what_it_did(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    zone = "sys/class/thermal/thermal_zone0"
    source = write(tmp_path / "root", {f"{zone}/type": "cpu-thermal\n", f"{zone}/temp": "50000\n"})
    monitor = ThrottleMonitor(state, source)
    assert not monitor.tick(0.0, is_idle=False)  # nothing is loaded, so nothing is looked at
    monitor.n_planned, monitor.n_ctx, monitor.needed = 4, 8192, 1_000_000_000
    assert not monitor.tick(1.0, is_idle=False)
    assert monitor.threads(4) == 4
    write(tmp_path / "root", {f"{zone}/temp": "83000\n", "proc/pressure/memory": "some avg10=50.00 avg60=1 total=1\n"})
    write(tmp_path / "root", {"proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 90000 kB\n"})
    assert not monitor.tick(1.5, is_idle=False)  # not yet time to look again
    assert monitor.tick(3.0, is_idle=False)
    assert (monitor.threads(4), monitor.threads(1)) == (2, 1)
    said = monitor.to_json()
    assert (said["name"], said["n_threads"], said["memory_tight"], said["decisions"]) == ("slowed", 2, True, 1)
    assert json.dumps(said)
    assert "care: slowed: cpu-thermal 83.0 °C" in capfd.readouterr().err
    tight = pressure_history.read(state)
    assert tight is not None
    assert tight.n_ctx == 4096
    assert tight.description == (
        "Memory was tight in the hour before loading (work on this machine waited for memory for 50 % of ten seconds "
        "with only 92 MB available)"
    )


def test_the_next_load_is_smaller_for_an_hour_of_this_boot(tmp_path: Path) -> None:
    assert pressure_history.read(tmp_path) is None
    pressure_history.record(tmp_path, 8192, "it was", now=1000.0)
    assert pressure_history.read(tmp_path, now=1000.0 + 3599) == RecentPressure(4096, "it was")
    assert pressure_history.read(tmp_path, now=1000.0 + 3601) is None
    assert pressure_history.read(tmp_path, now=10.0) is None  # the machine started anew
    pressure_history.record(tmp_path, 1280, now=5.0)
    assert pressure_history.read(tmp_path, now=6.0) == RecentPressure(pressure_history.LEAST_N_CTX)
    (tmp_path / "tightness.json").write_text('{"n_ctx": 2048, "boot_s": 5.0}')
    assert pressure_history.read(tmp_path, now=6.0) == RecentPressure(2048)  # of a version that kept no reason
    (tmp_path / "tightness.json").write_text("{")
    assert pressure_history.read(tmp_path, now=6.0) is None
