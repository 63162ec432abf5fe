"""``edgechat board``: readable at 80 columns, and JSON that ``--board FILE`` accepts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from edgechat.board import summary
from edgechat.board.known import known_names, load_board
from edgechat.cli.board import board as command

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
