"""scripts/boards: what it runs in the emulated root, and the table it makes of the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgechat.board.probe.cpu import features, parse_cpuinfo
from scripts.emulated_boards.command import PROCESSORS, TEST_PACKAGES, Result, table, unit_tests
from scripts.emulated_boards.greedy_answers import Answer, compare
from scripts.emulated_boards.root import EmulatedRoot

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_inside_sees_no_network_and_the_processor_that_was_asked_for(tmp_path: Path) -> None:
    command = EmulatedRoot(tmp_path).command("cortex-a53", "processor\t: 0\n", ["echo", "a b"], tmp_path / "my stick")
    assert command[:2] == ["unshare", "--net"]
    assert "ip link" not in command[-1]
    assert "QEMU_CPU=cortex-a53" in command[-1]
    assert f"mount --bind '{tmp_path}/my stick' {tmp_path}/stick" in command[-1]
    assert command[-1].endswith("echo 'a b'")
    assert (tmp_path / "cpuinfo").read_text() == "processor\t: 0\n"


def test_each_processor_shows_the_features_that_the_probe_knows() -> None:
    found = {cpu: features(parse_cpuinfo(processor.cpuinfo()).values()) for cpu, processor in PROCESSORS.items()}
    assert found["cortex-a53"] == found["cortex-a72"] == ("neon",)
    assert found["cortex-a76"] == ("dotprod", "fp16", "neon")
    assert {"i8mm", "sve"} <= set(found["max"])


def test_the_table_says_which_variant_ran_and_what_was_not_run() -> None:
    doctor = json.dumps({"kernels": {"build": {"variant": "armv8.2_2"}}})
    results = [
        Result("cortex-a76", "doctor", 0, 1.0, doctor),
        Result("cortex-a76", "ask", 0, 2.0, "Paris"),
        Result("cortex-a53", "ask", 6, 2.0, ""),
    ]
    lines = table(results).splitlines()
    assert lines[2] == (
        "| cortex-a76 | Raspberry Pi 5, RK3588 | armv8.2_2 | 0 | not run | not run | 0 | not run | not run | not run |"
    )
    assert lines[3].startswith("| cortex-a53 | Raspberry Pi 3, Zero 2 W | not asked | not run |")


def test_the_token_at_which_two_answers_part_is_shown_with_its_margins() -> None:
    one = [
        Answer("Capital?", ["Rome", "."], ["Milan", "!"], [3.0, 2.0]),
        Answer("Planet?", ["It", " is", " Mars"], ["He", " was", " Venus"], [2.0, 1.5, 0.04]),
        Answer("Short?", ["Yes", "."], ["No", "!"], [1.0, 0.1]),
    ]
    other = [
        Answer("Capital?", ["Rome", "."], ["Milan", "!"], [3.1, 1.9]),
        Answer("Planet?", ["It", " is", " Venus"], ["He", " was", " Mars"], [2.1, 1.4, 0.02]),
        Answer("Short?", ["Yes"], ["No"], [1.0]),
    ]
    lines = compare(one, other).splitlines()
    assert lines[2] == "| Capital? | Rome. | the same | | smallest 2.0, 1.9 |"
    assert lines[3] == "| Planet? | It is Mars | It is Venus | token 3: ' Mars', ' Venus' | 0.04, 0.02 |"
    assert lines[4].startswith("| Short? | Yes. | Yes | ")
    assert lines[-1] == "1 of 3 answers are the same."


def test_the_unit_tests_inside_run_from_the_checkout_with_packages_of_their_own() -> None:
    command = unit_tests("tests/board")
    assert command.startswith(f"cd /stick && export PYTHONPATH={TEST_PACKAGES} && ")
    assert command.endswith("--unit tests/board")
