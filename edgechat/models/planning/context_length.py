"""Context sizes: the default, the smallest usable one, and the sizes that a plan tries. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import PlanRequest

DEFAULT_N_CTX = 4096
USABLE_N_CTX = 2048
"""The least context for a system prompt, a document and an answer."""
TIGHT_N_CTX = (1024, 512)
"""Contexts for short questions, where no usable one fits."""
_LARGEST_ON_CPU, _LARGEST_ON_DEVICE = 16384, 32768
"""Largest contexts without --ctx. A CPU that prefills 50 tokens a second reads 16384 in five minutes."""
_CELLS_STEP = 256
"""llama.cpp pads n_ctx and the sliding caches to this many cells."""


def contexts(
    candidate: Candidate, request: PlanRequest, *, on_device: bool, leaves_half: Callable[[int], bool]
) -> tuple[int, ...]:
    """Contexts to try, largest first, down to the smallest usable one.

    Without ``request.n_ctx`` it starts at 4096 and doubles while the whole plan needs at most half of the usable
    memory, so that half is left for the rest of the machine. Never longer than the model was trained for.

    Args:
        candidate: the model file.
        request: ``n_ctx`` and ``exact`` of it count.
        on_device: layers go to a GPU.
        leaves_half: whether a plan with this context fits and needs at most half of the usable memory.
    """
    limit = max(candidate.n_ctx_limit, 1)
    if request.n_ctx is not None:
        return (padded(min(request.n_ctx, limit)),)
    most = min(DEFAULT_N_CTX, limit)
    largest = _LARGEST_ON_DEVICE if on_device else _LARGEST_ON_CPU
    while most * 2 <= min(limit, largest) and not request.exact and leaves_half(padded(most * 2)):
        most *= 2
    found = [most]
    while found[-1] // 2 >= USABLE_N_CTX:
        found.append(found[-1] // 2)
    return tuple(padded(n_ctx) for n_ctx in found)


def padded(cells: int) -> int:
    """The number of cells that llama.cpp allocates for so many tokens."""
    return -(-cells // _CELLS_STEP) * _CELLS_STEP
