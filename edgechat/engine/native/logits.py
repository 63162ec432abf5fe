"""A row of llama.cpp's logits as a numpy array without a copy; numpy is imported at first use."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from edgechat.engine.native.lib import llama

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgechat.engine.native.context import Context


def row(context: Context, index: int, n_vocab: int) -> NDArray[np.float32]:
    """The logits of a batch position, shape (n_vocab,), f32, in llama.cpp's memory: overwritten by the next decode."""
    import numpy as np  # noqa: PLC0415 - 100 ms that plain answers do not pay

    # The pointer changes with every decode; the array is valid for this step only.
    pointer = llama.llama_get_logits_ith(context.handle, index)
    view = memoryview(_type(n_vocab).from_address(ctypes.addressof(pointer.contents)))
    found: NDArray[np.float32] = np.frombuffer(view, dtype=np.float32)
    return found


def is_imported() -> bool:
    """Whether numpy is imported already."""
    return "numpy" in sys.modules


def prepare() -> None:
    """Import numpy while the engine is idle; the plan includes its memory."""
    if not is_imported():
        import numpy as np  # noqa: F401, PLC0415


@cache
def _type(n_vocab: int) -> Any:
    return ctypes.c_float * n_vocab
