"""A prepared state is whole or absent, wherever the engine or `docs prepare` is killed or the disk is full."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.documents import prepared
from edgechat.documents.add import add
from edgechat.documents.library import Library
from edgechat.engine.kv_cache.disk_cache import PrefixCache, limit_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.paths import Paths

PUMP = Path(__file__).parent / "data" / "pump.md"
CONTENT = b"state" * 1000
POINTS = frozenset(("open", "os.rename", "os.remove", "os.truncate", "sqlite3.connect"))
"""Audit events before each of which something happens."""


@pytest.fixture
def sections(paths: Paths) -> int:
    with Library.open(paths) as library:
        add(library, [PUMP], "pump")
        return len(library.sections(1))


def _save(path: Path) -> bool:
    path.write_bytes(CONTENT)
    return True


def _prepare(paths: Paths) -> None:
    """What the engine and the command do for one section."""
    cache = PrefixCache(prepared.state_directory(paths), "model")
    file = cache.file_of([1, 2, 3])
    cache.write(file, _save)
    with Library.open(paths) as library:
        prepared.remember(library, 1, model="m:q4", layout="1", file=file, tokens=3)


def _killed_at(point: int, work: Callable[[], None]) -> bool:
    """Run ``work`` in a child that is killed at an event; False when it ended before."""
    child = os.fork()
    if not child:
        count = 0

        def hook(event: str, _arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event in POINTS:
                count += 1
                if count == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.process
def test_a_kill_at_every_point_leaves_a_whole_state_or_none(paths: Paths, sections: int) -> None:
    point, seen = 1, set()
    while _killed_at(point, lambda: _prepare(paths)):
        with Library.open(paths) as library:
            assert library.database.row("PRAGMA integrity_check")[0] == "ok"
            assert len(library.sections(1)) == sections
            states = prepared.states(library, paths, layout="1")
        cache = PrefixCache(prepared.state_directory(paths), "model")
        restored = cache.read(cache.file_of([1, 2, 3]), lambda path: [1] if path.read_bytes() == CONTENT else [])
        assert not states or restored == [1]
        seen.add(bool(restored))
        for each in prepared.state_directory(paths).glob("*"):
            each.unlink()
        point += 1
    assert point > 5
    assert seen == {True, False}


def test_a_full_disk_leaves_no_state(paths: Paths, sections: int) -> None:
    def full(path: Path) -> bool:
        path.write_bytes(CONTENT[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = PrefixCache(prepared.state_directory(paths), "model")
    cache.write(cache.file_of([1]), full)
    assert list(prepared.state_directory(paths).iterdir()) == []


def test_what_is_asked_most_comes_first(paths: Paths, sections: int) -> None:
    with Library.open(paths) as library:
        library.count_question([2])
        library.count_question([3, 2])
        library.count_question([4])
        order = [each.id for each in prepared.in_order(library, library.documents())]
    assert order == [2, 4, 3, 1, *range(5, sections + 1)]


def test_the_bound_is_a_share_of_the_free_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_bavail, f_frsize = 900, 1

    monkeypatch.setattr("os.statvfs", lambda _: Disk)
    (tmp_path / "a.kv").write_bytes(b"x" * 100)
    assert limit_bytes(tmp_path) == 200
    assert limit_bytes(tmp_path, 150) == 150
