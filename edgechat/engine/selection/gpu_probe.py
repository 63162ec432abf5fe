"""Whether a GPU that shares the board's memory can really allocate what a plan needs: tested before loading.

The free memory that such a GPU reports is unreliable (CUDA leaves out what the page cache would release), and a load
that fails half way has already evicted other processes' memory. The test runs in a child process, which the kernel
kills first. Imports no native code; the decisions are pure functions.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.run import describe_exit, last_line, run_child
from edgechat.models.planning.load_settings import main_device
from edgechat.plaintext import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgechat.board.board import Board
    from edgechat.models.planning.plan import Plan

_TIMEOUT_S = 60.0
"""A Jetson clears about 20 GB a second; a test that takes longer is swapping."""
_MOST_PROBED = 3
"""Plans that are tested; where each gets less than the one before, another process is taking the memory."""


@dataclass(frozen=True, slots=True)
class GpuProbe:
    """What a device allocated of a plan's buffers; bytes."""

    wanted: int
    granted: int
    refused: int = 0
    """A single buffer that it refused, although the whole size was there in pieces; 0 when none was."""
    why: str = ""
    """Why it was not all of it, or ``""``."""

    @property
    def is_whole(self) -> bool:
        """Whether the plan can be loaded."""
        return self.granted >= self.wanted and not self.refused

    def covers(self, plan: Plan) -> bool:
        """Whether another plan needs no more than what was allocated."""
        wanted = buffers(plan)
        return sum(wanted) <= self.granted and (not self.refused or max(wanted, default=0) < self.refused)


@dataclass(frozen=True, slots=True)
class ProbedPlans:
    """The plans that are left after testing, and the last refusal."""

    plans: tuple[Plan, ...]
    refusal: GpuProbe | None = None


def needs_probe(board: Board, plan: Plan) -> bool:
    """Whether a plan uses a GPU that shares this board's memory; a GPU with memory of its own reports it correctly."""
    device = main_device(board) if plan.settings.n_gpu_layers else None
    return device is not None and device.unified


def buffers(plan: Plan) -> tuple[int, ...]:
    """Bytes of the buffers that llama.cpp will allocate on such a GPU: weights, KV cache, compute.

    All layers go there or none. Mapped weights are no buffer: CUDA leaves them on the CPU, Metal wraps the pages.
    """
    memory = plan.memory
    return tuple(size for size in (memory.weights - memory.mapped, memory.kv, memory.compute) if size > 0)


def probe_gpu(plan: Plan, *, device: str = "gpu") -> GpuProbe:
    """Allocate a plan's buffers on the device, write to them, and free them.

    The plan's reserve stays free all the time. Every failure counts as a refusal, never as an error, since a smaller
    plan may still work.

    Args:
        plan: the plan to test.
        device: ``gpu``, the one that llama.cpp would use; or ``cpu``, for tests on machines without a GPU.
    """
    import subprocess  # noqa: PLC0415 - 5 ms that only boards with such a GPU pay

    wanted = buffers(plan)
    request = {"buffers": wanted, "keep_free": plan.reserve, "device": device}
    try:
        done = run_child("allocation", request, timeout_s=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""  # bytes, even with text=True
        return _result(wanted, bytes(output).decode(errors="replace"), f"it took longer than {_TIMEOUT_S:.0f} s")
    # Copied to the engine's log, where `edgechat doctor` looks for them.
    sys.stderr.writelines(f"{line}\n" for line in done.stderr.splitlines() if "nvmap" in line.lower())
    if not done.returncode:
        return _result(wanted, done.stdout, "")
    # A program that ends by itself says why in its last line.
    why = last_line(done.stderr) if done.returncode > 0 else ""
    why = why or f"the test {describe_exit(done.returncode, done.stderr)[1]}"
    return _result(wanted, done.stdout, why)


def probe_plans(plans: Sequence[Plan], board: Board, probe: Callable[[Plan], GpuProbe]) -> ProbedPlans:
    """The plans from the first one on that the GPU can really allocate."""
    left, refusal = list(plans), None
    for _ in range(_MOST_PROBED):
        if not left or not needs_probe(board, left[0]):
            break
        answer = probe(left[0])
        if answer.is_whole:
            reason = f"The GPU allocated its {megabytes(answer.wanted)} in a test before loading."
            left[0] = replace(left[0], reasons=(*left[0].reasons, reason))
            break
        refusal = answer
        left = [plan for plan in left[1:] if not needs_probe(board, plan) or answer.covers(plan)]
    else:
        left = [plan for plan in left if not needs_probe(board, plan)]
    if refusal is not None and left:
        reason = f"A larger plan needed {describe_refusal(refusal)}."
        left[0] = replace(left[0], reasons=(*left[0].reasons, reason))
    return ProbedPlans(tuple(left), refusal)


def describe_refusal(refusal: GpuProbe) -> str:
    """A refusal in words, to follow "needed"."""
    return f"{megabytes(refusal.wanted)} of the GPU, which gave {megabytes(refusal.granted)}: {refusal.why}"


def _result(wanted: Sequence[int], output: str, why: str) -> GpuProbe:
    """The result in the last whole line that the child wrote; ``why`` says how the child failed, or is empty."""
    last = output.rpartition("\n")[0].rpartition("\n")[2]
    answer: dict[str, Any] = json.loads(last) if last else {"granted": 0, "refused": 0, "why": ""}
    reason = answer["why"] or why
    is_cut_off = bool(why) and not answer["why"]
    # Killed after the last piece: one of the whole buffers was too large, presumably the largest.
    refused = max(wanted) if is_cut_off and answer["granted"] >= sum(wanted) else answer["refused"]
    return GpuProbe(sum(wanted), answer["granted"], refused, reason)
