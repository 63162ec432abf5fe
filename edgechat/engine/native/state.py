"""Copies the KV cells of one sequence to and from a file or memory, in llama.cpp's format.

llama.cpp checks layout and types of such a file but not the weights: the caller makes sure that it belongs to the same
model. It holds no logits: at least one token must be decoded after a restore.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from edgechat.engine.native.lib import llama

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.native.context import Context


def save(context: Context, sequence: int, tokens: list[int], file: Path) -> bool:
    """Write the cells of a sequence, which hold exactly ``tokens``; False when llama.cpp could not."""
    array = (ctypes.c_int32 * len(tokens))(*tokens)
    written = llama.llama_state_seq_save_file(context.handle, str(file).encode(), sequence, array, len(tokens))
    return bool(written)


_MAGIC = 0x67677371
"""``LLAMA_FILE_MAGIC_GGSQ`` of llama.h; behind it a version, the number of tokens and the tokens, 32 bits each."""


def tokens_of(file: Path) -> tuple[int, ...]:
    """The tokens whose cells a file holds, read from its header; empty when it does not exist or is no such file."""
    try:
        with file.open("rb") as content:
            magic, _, count = struct.unpack("=3I", content.read(12))
            return struct.unpack(f"={count}i", content.read(4 * min(count, 1 << 20))) if magic == _MAGIC else ()
    except (OSError, struct.error):
        return ()


def restore(context: Context, sequence: int, capacity: int, file: Path) -> list[int]:
    """Read the cells into an empty sequence and return their tokens; empty when llama.cpp refused the file."""
    array = (ctypes.c_int32 * capacity)()
    count = ctypes.c_size_t(0)
    read = llama.llama_state_seq_load_file(
        context.handle, str(file).encode(), sequence, array, capacity, ctypes.byref(count)
    )
    return array[: count.value] if read else []


_ALL, _PARTIAL = 0, 1  # LLAMA_STATE_SEQ_FLAGS_NONE, _PARTIAL_ONLY


def size_of(context: Context, sequence: int) -> int:
    """Bytes that :func:`copy_out` would take."""
    return _size(context, sequence, _ALL)


def copy_out(context: Context, sequence: int) -> bytearray | None:
    """The content of a sequence's cells; None when llama.cpp failed.

    Raises:
        MemoryError: there is not enough memory.
    """
    return _copy(context, sequence, _ALL)


def copy_in(context: Context, sequence: int, data: bytearray) -> bool:
    """Restore what :func:`copy_out` returned into an empty sequence; False when llama.cpp refused it."""
    return _set(context, sequence, data, _ALL)


def partial_size(context: Context, sequence: int) -> int:
    """Bytes that :func:`copy_partial` would take."""
    return _size(context, sequence, _PARTIAL)


def copy_partial(context: Context, sequence: int, into: bytearray | None = None) -> bytearray | None:
    """A sequence's recurrent state and the cells of its sliding window; None when llama.cpp or the memory failed.

    Args:
        context: has the sequence.
        sequence: its id.
        into: an earlier copy that is not needed any more; fresh pages for 20 MB take longer than copying them.
    """
    try:
        return _copy(context, sequence, _PARTIAL, into)
    except MemoryError:
        return None


def set_partial(context: Context, sequence: int, data: bytearray) -> bool:
    """Put what :func:`copy_partial` returned in the place of a sequence's own; False when llama.cpp refused it.

    The cells of layers with full attention stay as they are.
    """
    return _set(context, sequence, data, _PARTIAL)


def _size(context: Context, sequence: int, flags: int) -> int:
    size: int = llama.llama_state_seq_get_size_ext(context.handle, sequence, flags)
    return size


def _copy(context: Context, sequence: int, flags: int, into: bytearray | None = None) -> bytearray | None:
    size = _size(context, sequence, flags)
    if not size:
        return None
    data = into if into is not None and len(into) == size else bytearray(size)
    target = (ctypes.c_uint8 * size).from_buffer(data)
    return data if llama.llama_state_seq_get_data_ext(context.handle, target, size, sequence, flags) == size else None


def _set(context: Context, sequence: int, data: bytearray, flags: int) -> bool:
    source = (ctypes.c_uint8 * len(data)).from_buffer(data)
    return bool(llama.llama_state_seq_set_data_ext(context.handle, source, len(data), sequence, flags) == len(data))
