"""Checkpoints at the end of a file of cells, so that both are written, checked and deleted as one.

llama.cpp reads such a file from its beginning and ignores what follows its own content. Behind it stand the states, for
each the number of its tokens and of its bytes, the number of states, and a mark. The digest beside the file
(:mod:`edgechat.engine.kv_cache.disk_cache`) covers all of it.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from edgechat.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgechat.engine.kv_cache.checkpoints import Checkpoint

_MARK = b"ecpoint1"
_ENTRY, _END = struct.Struct("<IQ"), struct.Struct("<I8s")
MOST = 2
"""Checkpoints in one file: before the last answer, and before the one before it."""


def append(file: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Write checkpoints behind the content of a file, at most :data:`MOST`.

    Raises:
        OSError: the disk is full, say.
    """
    kept = checkpoints[-MOST:]
    with os.fdopen(open_own(file, os.O_WRONLY | os.O_APPEND), "ab") as content:
        for each in kept:
            content.write(each.state)
        for each in kept:
            content.write(_ENTRY.pack(len(each.tokens), len(each.state)))
        content.write(_END.pack(len(kept), _MARK))


def places(file: Path) -> tuple[int, ...]:
    """After how many tokens the checkpoints of a file were taken; empty where it has none, or does not exist."""
    return tuple(count for count, _, _ in _entries(file))


def read(file: Path) -> list[tuple[int, bytearray]]:
    """The states of a file that is known to be undamaged, each with the number of its tokens; empty where it has none.

    Raises:
        MemoryError: there is not enough memory.
    """
    found = []
    for count, start, size in _entries(file):
        try:
            with file.open("rb") as content:
                content.seek(start)
                state = bytearray(size)
                if content.readinto(state) == size:
                    found.append((count, state))
        except OSError:
            return []  # the conversation is read again
    return found


def _entries(file: Path) -> list[tuple[int, int, int]]:
    """Number of tokens, first byte and size of each state."""
    try:
        with file.open("rb") as content:
            end = content.seek(0, 2)
            content.seek(end - _END.size)
            number, mark = _END.unpack(content.read(_END.size))
            if mark != _MARK or number > MOST:
                return []
            content.seek(end - _END.size - number * _ENTRY.size)
            entries = [_ENTRY.unpack(content.read(_ENTRY.size)) for _ in range(number)]
    except (OSError, struct.error, ValueError):
        return []
    start = end - _END.size - number * _ENTRY.size - sum(size for _, size in entries)
    if start < 0:
        return []
    found = []
    for count, size in entries:
        found.append((count, start, size))
        start += size
    return found
