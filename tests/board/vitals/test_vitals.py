"""Temperatures, clocks, power and pressure read from recorded trees; a sensor that is missing gives no value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.power_mode import parse_power_modes
from edgechat.board.source import Source
from edgechat.board.vitals.power import Counter, is_on_battery, joules_between, pmic_rails
from edgechat.board.vitals.pressure import Pressure, parse
from edgechat.board.vitals.thermal import DEFAULT_C, Trip, Zone
from edgechat.board.vitals.throttle_flags import Throttling
from edgechat.board.vitals.vitals import Vitals, read_throttle_inputs, read_vitals
from tests.board.trees import BOARDS, V2_MOUNT, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def of(tree: str) -> Vitals:
    return read_vitals(Source(BOARDS / tree))


def test_a_healthy_pi_5() -> None:
    pi = of("pi5-8gb")
    assert pi.is_raspberry_pi
    assert pi.hottest is not None
    assert (pi.hottest.name, pi.hottest.celsius, pi.mhz) == ("cpu-thermal", 48.85, 1500)
    assert {trip.kind for trip in pi.hottest.trips} == {"active", "critical"}
    assert (pi.throttling.now, pi.throttling.since_start, pi.throttling.bits) == ((), (), 0)
    assert pi.memory_pressure is None
    assert pi.power.watts is None
    (card,) = pi.wear
    assert (card.kind, card.used_percent, card.reserve, card.is_worn) == ("SD", None, "", False)


def test_a_hot_pi_4_on_a_weak_supply() -> None:
    held = of("pi4-4gb-throttled").throttling
    assert held.bits == 0x5000F
    assert held.is_under_voltage
    assert held.is_slowed
    assert held.now == ("under-voltage", "clock capped", "throttled", "near the temperature limit")
    assert "near the temperature limit" in held.since_start  # what holds now has held since the start
    assert held.sources == ("firmware", "rpi_volt")


def test_a_supply_that_was_too_weak_earlier_is_not_too_weak_now(tmp_path: Path) -> None:
    source = write(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n"})
    held = read_vitals(source).throttling
    assert (held.now, held.since_start) == ((), ("under-voltage", "throttled"))


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, False),
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging"}, True),
        ({"BAT0/type": "Battery", "BAT0/status": "Not charging", "AC/type": "Mains", "AC/online": "0"}, True),
        ({"BAT0/type": "Battery", "BAT0/status": "Charging", "AC/type": "Mains", "AC/online": "1"}, False),
        ({"mouse/type": "Battery", "mouse/status": "Discharging", "mouse/scope": "Device"}, False),
        ({"usb/type": "USB", "usb/online": "0"}, False),
    ],
)
def test_a_battery_supplies_the_machine_or_does_not(tmp_path: Path, supplies: dict[str, str], expected: bool) -> None:
    files = {f"sys/class/power_supply/{name}": f"{text}\n" for name, text in supplies.items()}
    assert is_on_battery(write(tmp_path, files)) == expected


def test_the_voltage_monitor_alone_tells_under_voltage(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon4"
    source = write(tmp_path, {f"{chip}/name": "rpi_volt\n", f"{chip}/in0_lcrit_alarm": "1\n"})
    assert read_throttle_inputs(source).throttling.is_under_voltage


def test_an_orin_reads_its_rails_and_leaves_out_what_is_switched_off() -> None:
    orin = of("orin-nano-8gb")
    assert {zone.name for zone in orin.zones} == {
        *("cpu-thermal", "gpu-thermal", "soc0-thermal", "soc1-thermal", "soc2-thermal", "tj-thermal")
    }
    assert orin.power.watts == pytest.approx(5.080 * 0.920)
    assert orin.power.basis == "the board's input (VDD_IN)"
    assert [rail.name for rail in orin.power.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert orin.gpu_clock is not None
    assert (orin.gpu_clock.mhz, orin.gpu_clock.max_mhz, orin.gpu_clock.load) == (306, 1020, 0.037)
    assert orin.power_mode is not None
    assert (orin.power_mode.name, orin.power_mode.strongest) == ("MAXN_SUPER", 2)
    assert (orin.throttling.now, orin.throttling.over_current) == ((), 0)
    assert orin.fans == (1342,)
    assert orin.memory_pressure is not None


def test_a_pc_whose_zone_tells_no_limit_takes_it_from_its_chip() -> None:
    pc = of("ipc-16gb")
    limits = {zone.name: [trip.celsius for trip in zone.trips] for zone in pc.zones}
    assert limits["coretemp Package id 0"] == [100.0]
    assert limits["x86_pkg_temp"] == []
    assert not any(clock.is_held_low for clock in pc.cpu_clocks)  # intel_pstate's powersave is no lowest clock
    (flash,) = pc.wear
    assert (flash.used_percent, flash.reserve) == (20, "normal")
    assert [(c.name, c.microjoules) for c in pc.power.counters] == [("package-0", 182930112345)]
    assert pc.gpu_clock is not None


def test_a_laptop_tells_its_draw_and_a_mouse_is_no_battery() -> None:
    laptop = of("laptop-16gb")
    (battery,) = laptop.power.batteries
    assert (battery.name, battery.percent, laptop.power.on_mains) == ("BAT0", 76, False)
    assert laptop.power.watts == pytest.approx(11.82 * 0.761)
    assert laptop.power.basis == "the battery"


def test_a_container_with_nothing_tells_nothing() -> None:
    assert of("container-2gb") == Vitals()
    assert of("container-2gb").to_json() == {}
    assert of("container-2gb").hottest is None
    assert of("container-2gb").headroom is None


def test_limits_are_the_boards_own_where_it_tells_them() -> None:
    def limit(*trips: Trip, is_pi: bool = False) -> float:
        room = Vitals(zones=(Zone("cpu-thermal", 50.0, trips),), is_raspberry_pi=is_pi).headroom
        assert room is not None
        return room.limit

    assert limit(Trip("passive", 95.0), Trip("critical", 105.0)) == 95.0
    assert limit(Trip("critical", 110.0), Trip("active", 60.0), is_pi=True) == 80.0
    assert limit(Trip("critical", 100.0), Trip("active", 40.0)) == 85.0
    assert limit(Trip("hot", 90.0), Trip("critical", 100.0)) == 75.0
    assert limit() == DEFAULT_C
    pc = of("ipc-16gb").headroom
    assert pc is not None
    assert (pc.zone, pc.limit) == ("coretemp Package id 0", 100.0)  # not x86_pkg_temp, which tells no limit


def test_the_nearest_to_its_limit_counts_not_the_hottest() -> None:
    zones = (Zone("cpu-thermal", 80.0, (Trip("passive", 99.0),)), Zone("gpu-thermal", 78.0, (Trip("passive", 85.0),)))
    room = Vitals(zones=zones).headroom
    assert room is not None
    assert room.zone == "gpu-thermal"


def test_this_machine_is_read_without_error() -> None:
    here = read_vitals()
    assert here.hottest is None or -40 < here.hottest.celsius < 150
    assert here.mhz is None or here.mhz > 0
    assert all(0 <= p.some10 <= 100 for p in (here.memory_pressure, here.io_pressure) if p)
    assert read_throttle_inputs(Source()).is_raspberry_pi == here.is_raspberry_pi


def test_files_full_of_nonsense_are_absent(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files: Mapping[str, str] = {
        f"{zone}/type": "cpu-thermal",
        f"{zone}/temp": "hot",
        "sys/class/hwmon/hwmon0/name": "ina3221",
        "sys/class/hwmon/hwmon0/curr1_input": "",
        "proc/pressure/memory": "some avg10=?\n",
        "sys/block/mmcblk0/device/type": "MMC",
        "sys/block/mmcblk0/device/life_time": "0x00 0x00",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "xyz",
        "var/lib/nvpmodel/status": "pmode:",
    }
    read = read_vitals(write(tmp_path, files))
    assert (read.zones, read.memory_pressure, read.power.watts, read.power_mode) == ((), None, None, None)
    assert read.throttling == Throttling()
    assert read.wear[0].used_percent is None


def test_a_container_under_its_limit_stalls_while_the_machine_does_not(tmp_path: Path) -> None:
    files = {
        "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        "proc/self/mountinfo": V2_MOUNT,
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.pressure": (
            "some avg10=41.50 avg60=9.00 avg300=1.00 total=5\nfull avg10=12.00 avg60=2.00 avg300=0.00 total=3\n"
        ),
    }
    strain = read_throttle_inputs(write(tmp_path, files))
    pressure, stall = strain.memory_pressure, strain.memory_stall
    assert pressure is not None
    assert stall is not None
    assert (pressure.some10, pressure.full10) == (41.5, 12.0)
    assert (stall.own, stall.machine, stall.available) == (pressure, Pressure(0.0, 0.0), None)


@pytest.mark.parametrize("is_container", [False, True])
def test_the_root_of_all_groups_has_the_machines_pressure_and_a_containers_root_its_own(
    tmp_path: Path, is_container: bool
) -> None:
    files = {
        "proc/pressure/memory": "some avg10=7.00 avg60=1.00 avg300=0.00 total=0\n",
        "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
        "proc/self/mountinfo": V2_MOUNT,
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.pressure": "some avg10=7.00 avg60=1.00 avg300=0.00 total=0\n",
    }
    if is_container:
        files["sys/fs/cgroup/cgroup.events"] = "populated 1\nfrozen 0\n"
        files |= {"sys/fs/cgroup/memory.max": "500000000\n", "sys/fs/cgroup/memory.current": "100000000\n"}
    stall = read_throttle_inputs(write(tmp_path, files)).memory_stall
    assert stall is not None
    assert (stall.own is not None) == is_container
    assert stall.available == (400_000_000 if is_container else 3_072_000_000)


def test_forms_of_the_kernel_and_of_programs() -> None:
    assert parse("nothing of the kind") is None
    rails = pmic_rails("3V7_WL_SW_A current(0)=0.1A\n VDD_CORE_A current(7)=2.5A\nVDD_CORE_V volt(15)=0.8V\n")
    assert [(rail.name, rail.watts) for rail in rails] == [("VDD_CORE", 2.0)]
    modes = parse_power_modes("< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >")
    assert modes == {0: "MAXN", 1: "MODE_15W"}


def test_an_energy_counter_that_wraps_around() -> None:
    before = (Counter("package-0", 900, 1000),)
    assert joules_between(before, (Counter("package-0", 100, 1000),)) == (
        200 / 1e6,
        "the processor alone (RAPL package)",
    )
    both = (Counter("package-0", 950, 1000), Counter("psys", 7_000_000, 10_000_000))
    whole = joules_between((*before, Counter("psys", 2_000_000, 10_000_000)), both)
    assert whole == (5.0, "the whole machine (psys)")
    assert joules_between((), before) is None
