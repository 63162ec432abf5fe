"""A shared bench file becomes a row that the fit reads, and says nothing about machine or user."""

from __future__ import annotations

import csv
import getpass
import json
import socket
from dataclasses import asdict, replace
from pathlib import Path

from edgechat.board.probe.board_file import load_board
from edgechat.cli.bench import shareable
from edgechat.models.planning.calibration import Measurement
from scripts.speed_model.bench_row import missing, row
from scripts.speed_model.speed_rows import TSV, load

MEASURED = Measurement("read", True, 128, 4, 0, "f16", 4096, 43.0, 9.1, 2.0, 1_500_000_000, "2026-11-30T10:00:00+00:00")


def document(model: str = "qwen2.5-1.5b-instruct") -> dict[str, object]:
    board = load_board("pi5-8gb")
    return {
        "model": model,
        "quant": "Q4_K_M",
        "file_bytes": 986_048_768,
        "best": asdict(MEASURED),
        "board": shareable(board),
        "llama": "0.3.36",
    }


def columns() -> list[str]:
    return TSV.read_text(encoding="utf-8").splitlines()[0].split("\t")


def test_a_bench_becomes_a_row_that_the_fit_reads(tmp_path):
    made = row(document(), columns(), number=900, source="somewhere")
    table = tmp_path / "board_speeds.tsv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns(), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerow(made)

    (read,) = load(table)

    assert (read.model, read.platform) == ("Qwen2.5-1.5B", "pi5/cpu")
    assert (read.decode, read.prefill, read.prompt) == (9.1, 43.0, 256)
    assert read.work.repacked


def test_what_the_fit_does_not_know_is_named():
    known, new = document(), document("my-model")
    new["board"] = {**shareable(load_board("pi5-8gb")), "board": "", "model": "A board"}

    assert not missing(known, row(known, columns(), number=900, source="somewhere"))
    needs = missing(new, row(new, columns(), number=900, source="somewhere"))
    assert [("my-model" in need, "A board" in need) for need in needs] == [(True, False), (False, True)]


def test_a_disturbed_measurement_is_left_out_of_the_fit():
    busy = {**document(), "best": asdict(replace(MEASURED, cpu_share=0.4))}
    made = row(busy, columns(), number=900, source="somewhere")

    assert made["use"] == "low"
    assert "without other programs" in missing(busy, made)[0]


def test_nothing_that_is_shared_names_the_machine_or_its_user():
    text = json.dumps(shareable(load_board("pi5-8gb")))

    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert getpass.getuser() not in text.replace('"', " ").split()
