"""Asks a device for memory: ``python -m edgechat.engine.native.allocation``, a JSON request on standard input.

Allocates buffers of the device's own kind, writes to every byte, and frees them. A line after each piece says how much
was allocated so far, so that the parent knows it even if the kernel kills this process.
``engine/selection/gpu_probe.py`` starts it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.probe import probe
from edgechat.engine.child.process_memory import raise_oom_score
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECE, _LEAST_PIECE = 256 << 20, 16 << 20
"""Bytes allocated between two checks of the free memory; halved where that is too much, down to the least."""
_FIRST_VICTIM = 1000
"""``oom_score_adj``: if memory runs out all the same, the kernel kills this process before the engine (800)."""
_DEVICE_TYPES = {"cpu": (0,), "gpu": (1, 2)}
"""enum ggml_backend_dev_type in the order in which llama.cpp takes them: an integrated GPU only where no other is."""


class Device:
    """The device that llama.cpp would offload to, as ggml's backend interface shows it (``ggml-backend.h``).

    Args:
        llama: the low-level module; its library handle also finds ggml's functions, for which it has no bindings.
        kind: ``gpu``; or ``cpu``, for tests on machines without a GPU.

    Raises:
        ValueError: llama.cpp finds no such device.
    """

    def __init__(self, llama: Any, kind: str) -> None:
        self._ggml = llama._lib
        by_type = self._function("ggml_backend_dev_by_type", ctypes.c_void_p, ctypes.c_int)
        device = next(filter(None, map(by_type, _DEVICE_TYPES[kind])), None)
        if device is None:
            raise ValueError(f"llama.cpp finds no {kind.upper()}")
        handle = ctypes.c_void_p
        self._type = self._function("ggml_backend_dev_buffer_type", handle, handle)(device)
        self._allocate = self._function("ggml_backend_buft_alloc_buffer", handle, handle, ctypes.c_size_t)
        self._fill = self._function("ggml_backend_buffer_clear", None, handle, ctypes.c_uint8)
        self._free = self._function("ggml_backend_buffer_free", None, handle)
        self.largest: int = self._function("ggml_backend_buft_get_max_size", ctypes.c_size_t, handle)(self._type)
        """Bytes of the largest buffer it makes; llama.cpp splits what is larger."""
        self._held: list[int] = []

    def allocate(self, size: int, *, write: bool) -> bool:
        """Allocate one more buffer; False when the device refuses. ``write`` makes the kernel back it with memory."""
        buffer = self._allocate(self._type, size)
        if not buffer:
            return False
        self._held.append(buffer)
        if write:
            self._fill(buffer, 0)
        return True

    def free_all(self) -> None:
        """Free every buffer."""
        while self._held:
            self._free(self._held.pop())

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._ggml, name)
        function.argtypes, function.restype = arguments, result
        return function


def probe_device(device: Device, buffers: Sequence[int], keep_free: int) -> Iterator[dict[str, Any]]:
    """What the device allocates, step by step; the last value yielded counts.

    First the whole size in small pieces, as long as ``keep_free`` bytes stay available to other processes. Then each
    buffer as a whole, as llama.cpp will ask for it: NVIDIA's L4T 36.4.7 refuses a single gigabyte while several are
    free (llama.cpp discussion 16706).

    Args:
        device: the device to probe.
        buffers: bytes of each buffer.
        keep_free: bytes of the machine's memory that must stay available.

    Yields:
        ``granted``: bytes so far; ``refused``: bytes of a single buffer that was refused, or 0; ``why``: the reason for
        stopping, or ``""``.
    """
    granted, wanted, piece = 0, sum(buffers), _PIECE
    while granted < wanted:
        piece = min(piece, device.largest, wanted - granted)
        free = probe().memory.available
        why = ""
        if free - piece < keep_free:
            why = f"{megabytes(free)} of the memory were left then, and {megabytes(keep_free)} stay reserved"
        elif not device.allocate(piece, write=True):
            why = "it refused more"
        if not why:
            granted += piece
            yield _answer(granted)
        elif piece > _LEAST_PIECE:
            piece //= 2
        else:
            yield _answer(granted, why=why)
            return
    device.free_all()
    for size in buffers:
        left = size
        while left:
            part = min(left, device.largest)
            if not device.allocate(part, write=False):
                yield _answer(granted, refused=size, why=f"it refused {megabytes(part)} in one buffer")
                return
            left -= part


def _answer(granted: int, *, refused: int = 0, why: str = "") -> dict[str, Any]:
    return {"granted": granted, "refused": refused, "why": why}


def main() -> int:
    """Carry out the request; exit 1 with the reason on standard error where there is no such device."""
    raise_oom_score(_FIRST_VICTIM)
    from edgechat.engine.native.lib import llama  # noqa: PLC0415 - loads llama.cpp, which may end the process

    request = json.load(sys.stdin)
    try:
        device = Device(llama, request["device"])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for answer in probe_device(device, request["buffers"], request["keep_free"]):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    device.free_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
