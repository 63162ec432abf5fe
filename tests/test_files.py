"""Atomic writes: the old content or the new one, and nothing left behind."""

import errno
import json
import os
from pathlib import Path

import pytest

from edgechat import files


def test_json_is_written_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    files.write_json(target, {"a": "é", "broken": "\udc80"})
    assert json.loads(target.read_text(encoding="utf-8")) == {"a": "é", "broken": "\udc80"}
    assert [each.name for each in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize("sync", [True, False])
def test_content_and_directory_are_synced_only_on_request(tmp_path, monkeypatch, sync: bool) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    files.write_atomically(tmp_path / "file", b"new", sync=sync)
    assert (len(synced), (tmp_path / "file").read_bytes()) == (2 if sync else 0, b"new")


def test_what_cannot_be_written_leaves_the_old_content_and_no_temporary_file(tmp_path, monkeypatch) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(target, b"new")
    assert ([each.name for each in tmp_path.iterdir()], target.read_bytes()) == (["file"], b"old")
