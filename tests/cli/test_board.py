"""``edgechat board``: readable at 80 columns, and JSON that ``--board FILE`` accepts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from edgechat.board.probe import summary
from edgechat.board.probe.board_file import known_names, load_board
from edgechat.board.source import Source
from edgechat.board.vitals import summary as vitals_summary
from edgechat.board.vitals.vitals import read_vitals
from edgechat.cli.board import _engine_lines
from edgechat.cli.board import board as command
from edgechat.engine.throttle.throttle_levels import Throttle
from edgechat.errors import UsageError
from tests.board.trees import BOARDS

if TYPE_CHECKING:
    from pathlib import Path


def test_json_is_what_board_file_accepts(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0
    file = tmp_path / "here.json"
    file.write_text(result.stdout)
    read = load_board(str(file))
    assert read.memory.total == json.loads(result.stdout)["memory"]["total"] > 0


def test_the_table_is_plain_text_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(command)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "available now" in result.stdout


def test_a_terminal_gets_colours() -> None:
    assert "\x1b[" in CliRunner().invoke(command, color=True).stdout


@pytest.mark.parametrize("name", known_names())
def test_every_known_board_can_be_put_in_words(name: str) -> None:
    board = load_board(name)
    words = {line.label: line.text for line in summary.lines(board)}
    assert words["memory"].startswith(summary.size(board.memory.total))
    assert all(line.text for line in summary.lines(board))
    assert name in summary.title(board)


def test_what_matters_most_is_said() -> None:
    container = {line.label: line.text for line in summary.lines(load_board("container-2gb"))}
    assert container["limit"] == "2.15 GB for this process and its group, 29.9 MB of it in use"
    assert container["kind"] == "docker container"
    assert container["cores"] == "2 usable, up to 4.4 GHz, CPU time for 2"
    orin = {line.label: line.text for line in summary.lines(load_board("orin-nano-8gb"))}
    assert orin["accelerator"] == "cuda: NVIDIA Orin (integrated), compute 8.7, shares the memory above, up to 7.99 GB"
    mac = {line.label: line.text for line in summary.lines(load_board("mac-16gb"))}
    assert mac["cores"] == "8 usable, 4 of them big"
    assert mac["limit"] == "none"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (427_072 << 10, "437 MB"), (3_884_328 << 10, "3.98 GB")]
)
def test_sizes(count: int, text: str) -> None:
    assert summary.size(count) == text


def looks(*arguments: str) -> list[str]:
    result = CliRunner().invoke(command, ["--watch", "--times", "2", "--interval", "0.2", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_watching_gives_one_json_line_a_look() -> None:
    first, second = map(json.loads, looks("--json"))
    assert set(first) == set(second) == {"utc", "memory", "vitals", "engine"}
    assert 0 < first["memory"]["available"] < first["memory"]["total"]
    assert first["engine"] is None


def test_watching_through_a_pipe_is_plain_text_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = looks()
    assert sum(line.startswith("engine") for line in lines) == 2
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_two_things_at_once_are_refused() -> None:
    result = CliRunner().invoke(command, ["--watch", "--report"])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ("pi5-8gb", {"temperature": "48.9 °C (cpu-thermal), the fan stands still", "held back": "by nothing now"}),
        (
            "pi4-4gb-throttled",
            {"held back": "now: under-voltage, clock capped, throttled, near the temperature limit"},
        ),
        (
            "orin-nano-8gb",
            {
                "power": "4.7 W (the board's input (VDD_IN))",
                "clocks": "processor 1190 of 1728 MHz (schedutil), GPU 306 of 1020 MHz, 4% busy, power mode MAXN_SUPER",
            },
        ),
        ("laptop-16gb", {"battery": "BAT0 76 %, discharging"}),
        ("ipc-16gb", {"flash": "mmcblk0 (MMC) up to 20 % of its life used"}),
        ("container-2gb", {"sensors": vitals_summary.SILENT}),
    ],
)
def test_how_a_board_feels_in_words(tree: str, says: dict[str, str]) -> None:
    words = {line.label: line.text for line in vitals_summary.lines(read_vitals(Source(BOARDS / tree)))}
    assert {label: words.get(label) for label in says} == says
    assert all(words.values())


def test_the_screen_says_what_the_engines_care_did() -> None:
    care = replace(Throttle(), level=2, reason="cpu-thermal 77.0 °C", is_tight=True, drops=1, pressure_reason="33 %")
    engine = {
        "model": "m",
        "quant": "q4_0",
        "stage": "decode",
        "running": 1,
        "rss_bytes": 5_000_000,
        "care": {**care.to_json(4), "decisions": 1, "last": "slowed: cpu-thermal 77.0 °C"},
        "energy": {"joules": 10.0, "basis": "the board's input (VDD_IN)", "tokens_per_joule": 3.21},
    }
    said = [f"{line.label}: {line.text}" for line in _engine_lines(engine, "")]
    assert said == [
        "engine: m:q4_0, decode, 1 running, 5 MB",
        "care: slowed, 2 of 4 threads: cpu-thermal 77.0 °C",
        ": memory is short: 33 %; caches dropped",
        "last done: slowed: cpu-thermal 77.0 °C",
        "energy: 3.21 tokens per joule (the board's input (VDD_IN))",
    ]
    old = {key: engine[key] for key in ("model", "quant", "stage", "running", "rss_bytes")}
    assert len(_engine_lines(old, "")) == 1
    assert _engine_lines(None, "no answer")[0].text == "no answer"
