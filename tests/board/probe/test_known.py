"""The boards that ``--board`` knows: each shipped file is exactly what the probe reads from its tree."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import from_json, known_names, load_board, recorded_names, to_json
from edgechat.board.probe.derived_boards import DERIVED
from edgechat.board.probe.probe import probe
from edgechat.errors import InvalidInputError, UsageError
from tests.board.trees import BOARDS

if TYPE_CHECKING:
    from pathlib import Path

PROMISED = (
    *("pi-zero-2w", "pi4-2gb", "pi4-4gb", "pi4-8gb", "pi5-4gb", "pi5-8gb", "pi5-16gb"),
    *("jetson-nano-4gb", "orin-nano-4gb", "orin-nano-8gb", "orin-nx-16gb", "agx-orin-32gb", "agx-orin-64gb"),
    *("ipc-8gb", "ipc-16gb", "container-2gb", "mac-16gb"),
)
# These stand for many machines, so the machine itself cannot say the name.
GENERIC = {"ipc-8gb", "ipc-16gb", "container-2gb", "mac-16gb"}


def test_every_promised_board_is_known() -> None:
    assert set(recorded_names()) == set(PROMISED)
    assert set(known_names()) == {*PROMISED, *DERIVED}


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_board_says_what_it_is_derived_from(name: str) -> None:
    board, base = load_board(name), load_board(DERIVED[name].base)
    assert board.name == name
    assert any(DERIVED[name].base in note and "data sheets" in note for note in board.notes)
    # What the board takes for itself stays as it was recorded.
    assert board.memory.total - board.memory.available == base.memory.total - base.memory.available
    assert from_json(to_json(board)) == board


@pytest.mark.parametrize("name", [name for name in DERIVED if re.search(r"-(\d+w|maxn)$", name)])
def test_a_derived_power_mode_is_the_one_in_the_name(name: str) -> None:
    assert load_board(name).power_mode.lower() == name.rpartition("-")[2]


@pytest.mark.parametrize("name", PROMISED)
def test_probing_the_tree_gives_the_shipped_board(name: str) -> None:
    probed = probe(BOARDS / name)
    if name in GENERIC:
        probed = replace(probed, name=name)
    assert probed == load_board(name)


@pytest.mark.parametrize("name", [*PROMISED, *DERIVED])
def test_a_board_has_at_most_the_memory_it_is_named_for(name: str) -> None:
    board = load_board(name)
    found = re.search(r"(\d+)gb", name)
    fitted = int(found.group(1)) << 30 if found else 512 << 20
    room = board.memory.cgroup_limit or board.memory.total
    assert fitted * 0.8 < room <= fitted
    assert board.memory.available < room


def test_unified_accelerators_are_no_second_pool() -> None:
    for name in known_names():
        board = load_board(name)
        for accelerator in board.accelerators:
            assert accelerator.unified, name
            assert accelerator.free <= board.memory.available
            assert accelerator.total <= board.memory.total


def test_metal_may_take_two_thirds_of_sixteen_gib() -> None:
    # llama.cpp prints recommendedMaxWorkingSetSize = 11453.25 MB on an M1 or M2 with 16 GB.
    (metal,) = load_board("mac-16gb").accelerators
    assert round(metal.total / 1e6, 2) == 11453.25


def test_names_are_found_in_any_case_and_near_misses_are_named() -> None:
    assert load_board("PI4-4GB").name == "pi4-4gb"
    with pytest.raises(UsageError) as caught:
        load_board("pi4-4g")
    assert "Did you mean pi4-4gb?" in str(caught.value)


def test_a_file_is_a_board_too(tmp_path: Path) -> None:
    board = replace(load_board("pi5-8gb"), name="bench-pi")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(to_json(board)))
    assert load_board(str(file)) == board


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": "x"}', b"[" * 100_000])
def test_a_file_that_is_no_board_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"broken\.json"):
        load_board(str(file))


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="absent"):
        load_board(str(tmp_path / "absent"))


def test_the_pi_without_memory_cgroup_says_so_and_how_to_mend_it() -> None:
    board = probe(BOARDS / "pi5-8gb-no-memory-cgroup")
    assert not board.memory.cgroup_supported
    assert any("cgroup_enable=memory" in note for note in board.notes)
    # Everything else is the board it is.
    assert replace(
        board, notes=(), memory=replace(board.memory, cgroup_supported=True), kernel="", boot_id=""
    ) == replace(load_board("pi5-8gb"), kernel="", boot_id="")


def test_the_jetson_nano_runs_on_its_processor_and_says_why() -> None:
    board = load_board("jetson-nano-4gb")
    assert board.accelerators == ()
    assert any("CUDA, 10.2" in note for note in board.notes)
