"""Measurements are kept for one board and one file, and the frugal one of equals is taken."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.errors import StateError
from edgechat.models.planning.calibration import FILE, Measurement, best, board_key, file_key, keep, read_calibration

PI5, PI4 = load_board("pi5-8gb"), load_board("pi4-8gb")
KEY = file_key("qwen2.5-1.5b-instruct", "q4_k_m", 986_048_768)
SLIM = Measurement("mmap", False, 128, 4, 0, "f16", 4096, 59.0, 19.6, 0.5, 1_158_000_000, "2026-11-21T00:00:00Z")
FAT = Measurement("mmap", True, 512, 4, 0, "f16", 4096, 55.0, 20.0, 3.2, 1_765_000_000, "2026-11-21T00:00:00Z")


def test_what_was_kept_is_read_again_for_this_board_alone(paths):
    keep(paths, PI5, KEY, [SLIM, FAT])

    assert read_calibration(paths, PI5) == {KEY: (SLIM, FAT)}
    assert read_calibration(paths, PI4) == {}


def test_measuring_again_replaces_and_leaves_others_alone(paths):
    keep(paths, PI5, KEY, [SLIM, FAT])
    keep(paths, PI4, KEY, [FAT])
    keep(paths, PI5, KEY, [FAT])

    assert read_calibration(paths, PI5) == {KEY: (FAT,)}
    assert read_calibration(paths, PI4) == {KEY: (FAT,)}


def test_free_memory_and_reboots_do_not_make_another_board():
    busy = replace(PI5, boot_id="another", kernel="7.0", memory=replace(PI5.memory, available=1))

    assert board_key(busy) == board_key(PI5) != board_key(PI4)


def test_of_equally_fast_settings_the_frugal_one_is_best_and_a_faster_one_beats_it():
    fast = replace(FAT, decode_tps=25.0)

    assert best([FAT, SLIM]) is SLIM
    assert best([fast, SLIM]) is fast
    assert best([]) is None


def test_nothing_measured_yet_is_no_error_and_a_damaged_file_is(paths):
    assert read_calibration(paths, PI5) == {}
    paths.state.mkdir(parents=True)
    incomplete = json.dumps({"format": 1, "boards": {board_key(PI5): {"x": [{}]}}})
    for content in ("{", "[]", incomplete):
        (paths.state / FILE).write_text(content)
        with pytest.raises(StateError, match=FILE):
            read_calibration(paths, PI5)


def test_another_versions_format_is_left_behind_not_misread(paths):
    paths.state.mkdir(parents=True)
    (paths.state / FILE).write_text('{"format": 99, "boards": 7}')

    assert read_calibration(paths, PI5) == {}
    keep(paths, PI5, KEY, [SLIM])
    assert read_calibration(paths, PI5) == {KEY: (SLIM,)}
