"""Whether a GPU that shares the board's memory really gives what a plan wants of it: asked before loading.

Such a GPU's figure of free memory says little (CUDA's leaves out what the page cache would give back), and a load that
fails half way has already pushed the neighbours aside. The asking happens in a child process, which the kernel takes
first. Imports no native code; the decision is pure.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.run import run_apart
from edgechat.models.planning.step_down import main_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgechat.board.board import Board
    from edgechat.models.planning.plan import Plan

_PATIENCE_S = 60.0
"""A Jetson clears some 20 GB a second; whoever waits this long is swapping."""
_MOST_ASKED = 3
"""Plans that are tried on the GPU. One that was granted less each time is being eaten away by somebody else."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a device gave when it was asked for a plan's buffers; bytes."""

    wanted: int
    granted: int
    refused: int = 0
    """A single buffer that it refused, though all of it was there in pieces; 0 when none was."""
    why: str = ""
    """Why it was not all, or ``""``."""

    @property
    def is_whole(self) -> bool:
        """Whether the plan can be loaded."""
        return self.granted >= self.wanted and not self.refused

    def covers(self, plan: Plan) -> bool:
        """Whether another plan wants no more than what was given."""
        wanted = buffers(plan)
        return sum(wanted) <= self.granted and (not self.refused or max(wanted, default=0) < self.refused)


@dataclass(frozen=True, slots=True)
class Granted:
    """The plans that are left after asking, and the refusal that made them fewer."""

    plans: tuple[Plan, ...]
    refusal: Grant | None = None


def is_asked(board: Board, plan: Plan) -> bool:
    """Whether a plan lies on a GPU that shares this board's memory; memory of its own tells truly what is free."""
    device = main_device(board) if plan.settings.n_gpu_layers else None
    return device is not None and device.unified


def buffers(plan: Plan) -> tuple[int, ...]:
    """Bytes of the buffers that llama.cpp will ask such a GPU for: weights, KV cache, compute.

    All layers go there or none. Mapped weights are no buffer: CUDA's stay behind with the CPU, Metal wraps the pages.
    """
    memory = plan.memory
    return tuple(size for size in (memory.weights - memory.mapped, memory.kv, memory.compute) if size > 0)


def ask(plan: Plan, *, device: str = "gpu") -> Grant:
    """Ask the device for a plan's buffers, write to them, and give them back.

    Never takes the machine below the plan's reserve. Whatever goes wrong is a refusal of what had not been given by
    then: a smaller plan is worth more than an error.

    Args:
        plan: what would be loaded.
        device: ``gpu``, the one that llama.cpp would use; or ``cpu``, which stands in for it where there is none.
    """
    import subprocess  # noqa: PLC0415 - 5 ms of imports, which boards without such a GPU are spared

    wanted = buffers(plan)
    request = {"buffers": wanted, "keep_free": plan.reserve, "device": device}
    try:
        done = run_apart("allocation", request, patience_s=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""  # bytes, whatever was asked for
        return _read(wanted, bytes(said).decode(errors="replace"), f"it took longer than {_PATIENCE_S:.0f} s")
    # `edgechat doctor` looks for these in the engine's log.
    sys.stderr.writelines(f"{line}\n" for line in done.stderr.splitlines() if "nvmap" in line.lower())
    if not done.returncode:
        return _read(wanted, done.stdout, "")
    if done.returncode == -signal.SIGKILL:
        why = "the kernel ended the process that asked for more"
    elif done.returncode < 0:
        why = f"llama.cpp died of {signal.Signals(-done.returncode).name} over more"
    else:
        why = (done.stderr.strip().splitlines() or ["llama.cpp gave no reason"])[-1]
    return _read(wanted, done.stdout, why)


def granted(plans: Sequence[Plan], board: Board, asking: Callable[[Plan], Grant]) -> Granted:
    """The plans of a ladder from the first one that the device keeps its promise for.

    Args:
        plans: largest first.
        board: the machine.
        asking: :func:`ask`.
    """
    left, refusal = list(plans), None
    for _ in range(_MOST_ASKED):
        if not left or not is_asked(board, left[0]):
            break
        answer = asking(left[0])
        if answer.is_whole:
            reason = f"The GPU was asked for its {_mb(answer.wanted)} before loading, and gave them."
            left[0] = replace(left[0], reasons=(*left[0].reasons, reason))
            break
        refusal = answer
        left = [plan for plan in left[1:] if not is_asked(board, plan) or answer.covers(plan)]
    else:
        left = [plan for plan in left if not is_asked(board, plan)]
    if refusal is not None and left:
        reason = f"A larger plan wanted {told(refusal)}."
        left[0] = replace(left[0], reasons=(*left[0].reasons, reason))
    return Granted(tuple(left), refusal)


def told(refusal: Grant) -> str:
    """A refusal in words, to follow "wanted"."""
    return f"{_mb(refusal.wanted)} of the GPU, which gave {_mb(refusal.granted)}: {refusal.why}"


def _read(wanted: Sequence[int], said: str, why: str) -> Grant:
    """The last whole line that the child wrote; ``why`` names what ended it, or is empty."""
    last = said.rpartition("\n")[0].rpartition("\n")[2]
    answer: dict[str, Any] = json.loads(last) if last else {"granted": 0, "refused": 0, "why": ""}
    reason = answer["why"] or why
    is_cut_off = bool(why) and not answer["why"]
    # Ended after the last piece, it was over one whole buffer: which of them is not known, so the largest.
    refused = max(wanted) if is_cut_off and answer["granted"] >= sum(wanted) else answer["refused"]
    return Grant(sum(wanted), answer["granted"], refused, reason)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
