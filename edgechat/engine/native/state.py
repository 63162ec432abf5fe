"""KV cells of one sequence to and from a file, by llama.cpp's own format.

llama.cpp checks layout and types of such a file, not the weights, so whoever calls must know that it belongs to this
very model. The file holds no logits: at least one token must be decoded after a restore.
"""

from __future__ import annotations

import ctypes
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


def restore(context: Context, sequence: int, capacity: int, file: Path) -> list[int]:
    """Read the cells into an empty sequence and return their tokens; empty when llama.cpp refused the file."""
    array = (ctypes.c_int32 * capacity)()
    count = ctypes.c_size_t(0)
    read = llama.llama_state_seq_load_file(
        context.handle, str(file).encode(), sequence, array, capacity, ctypes.byref(count)
    )
    return array[: count.value] if read else []
