"""How much of a partial download is kept: all of it after a kill, the synced part after a power cut."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from edgechat.models.download import partial
from edgechat.models.download.partial import log_boot, log_path, log_sync, resume
from edgechat.progress import SILENT

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = os.urandom(3_000_000)
SYNCED = 2_000_000


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A download of which the first two million bytes were synced."""
    path = tmp_path / "x.part"
    log_boot(path)
    path.write_bytes(CONTENT)
    log_sync(path, 1_000_000, hashlib.sha256(CONTENT[:1_000_000]))
    log_sync(path, SYNCED, hashlib.sha256(CONTENT[:SYNCED]))
    return path


def resumed(path: Path, size: int = 5_000_000) -> int:
    hasher, at = resume(path, size, SILENT, "")
    assert path.stat().st_size == at if path.exists() else at == 0
    assert hasher.hexdigest() == hashlib.sha256(CONTENT[:at]).hexdigest()
    return at


def test_a_killed_process_loses_nothing(part: Path) -> None:
    assert resumed(part) == len(CONTENT)


def test_a_power_cut_loses_what_was_not_synced(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_boot_id", lambda: "another")
    assert resumed(part) == SYNCED


def test_zeros_in_the_synced_part_are_cut_away(part: Path) -> None:
    """A file system may keep the length and lose the blocks."""
    with part.open("r+b") as stream:
        stream.seek(1_500_000)
        stream.write(bytes(1000))
    assert resumed(part) == 1_000_000


def test_a_log_that_is_cut_off_is_believed_up_to_there(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_path(part)
    log.write_text(log.read_text()[:-10])
    monkeypatch.setattr(partial, "_boot_id", lambda: "another")
    assert resumed(part) == 1_000_000


def test_more_than_there_is_to_fetch_is_worth_nothing(part: Path) -> None:
    assert resumed(part, size=1000) == 0


def test_a_log_without_its_file_is_removed(part: Path) -> None:
    part.unlink()
    assert resumed(part) == 0
    assert not log_path(part).exists()
