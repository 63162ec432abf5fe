"""Measures ways to load one model on this board, each in a child process, and says which is best.

The children may abort or be killed for memory: that way is left out and the reason told. Imports no native code.
"""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from edgechat.board.vitals.energy import Recording
from edgechat.engine.child.run import run_apart
from edgechat.errors import EngineError
from edgechat.models.planning.calibration import Measurement, best
from edgechat.models.planning.memory_need import BARE, memory_need, tensor_total
from edgechat.models.planning.reserve import reserve, room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.board.board import Board
    from edgechat.models.planning.candidate import Candidate
    from edgechat.models.planning.plan import LoadSettings

_PATIENCE_S = 900.0
"""Reading 5 GB from an SD card takes two minutes; a trial itself stops after seconds."""
_WORTH_TRYING = 0.05
"""Share of weights that repacking touches, below which it is not tried."""
DISTURBED_BELOW = 0.8
"""Less of the processor than this, and a figure says more about other programs than about the model."""
_CLOCK_SET = 2024
"""A board without a clock wakes in 1970 or at its image's date; years before this are not written down."""


def trial(path: Path, settings: LoadSettings) -> Measurement:
    """Measure one way to load a file.

    Raises:
        EngineError: the child could not load it, died or took too long; the message says which.
    """
    recording = Recording()
    try:
        with recording:
            done = run_apart("trial", {"path": str(path), "settings": asdict(settings)}, patience_s=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{path.name} was not measured within {_PATIENCE_S / 60:.0f} minutes.") from error
    if done.returncode:
        raise _death(path, done.returncode, done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    began, ended = found.pop("decode_began"), found.pop("decode_ended")
    joules = recording.between(began, ended)
    now = datetime.datetime.now(datetime.timezone.utc)
    return Measurement(
        load_mode=settings.load_mode,
        repack=settings.repack,
        n_ubatch=settings.n_ubatch,
        n_threads=settings.n_threads,
        n_gpu_layers=settings.n_gpu_layers,
        kv_type=settings.kv_type,
        n_ctx=settings.n_ctx,
        measured_at=now.isoformat(timespec="seconds") if now.year >= _CLOCK_SET else "",
        tokens_per_joule=round(found["decode_tps"] * (ended - began) / joules, 3) if joules else None,
        joules_of=recording.basis,
        **found,
    )


def calibrate(
    board: Board,
    candidate: Candidate,
    path: Path,
    settings: LoadSettings,
    *,
    on_trial: Callable[[LoadSettings], None],
    on_result: Callable[[Measurement | EngineError], None],
) -> list[Measurement]:
    """Measure the planned way, then what might beat it, keeping what is better at each step.

    Args:
        board: the machine, whose free memory limits what is tried.
        candidate: the file's shape and weights.
        path: the file.
        settings: the plan's.
        on_trial: told before each trial.
        on_result: told after each, also when it failed.

    Raises:
        EngineError: not even the planned way could be measured.
    """
    found: list[Measurement] = []
    for round_of in (_loading, _batching, _threading):
        start = _settings(settings, best(found)) if found else settings
        for way in ([settings] if not found else []) + list(round_of(board, candidate, start)):
            if not _fits(board, candidate, way):
                continue
            on_trial(way)
            try:
                result = _undisturbed(path, way)
            except EngineError as error:
                if not found:
                    raise
                on_result(error)
                continue
            found.append(result)
            on_result(result)
    return found


def _undisturbed(path: Path, settings: LoadSettings) -> Measurement:
    """A trial, repeated once when other programs took the processor; the one they took less from counts."""
    first = trial(path, settings)
    if first.cpu_share >= DISTURBED_BELOW:
        return first
    return max(first, trial(path, settings), key=lambda item: item.cpu_share)


def _loading(_board: Board, candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    """The other way to bring in the weights. Mapped and repacked is not tried: as fast as read, in twice the memory."""
    if start.n_gpu_layers:
        return
    if start.repack or start.load_mode == "read":
        yield replace(start, load_mode="mmap", repack=False)
    elif candidate.weights.repackable >= _WORTH_TRYING * tensor_total(candidate.shape, candidate.weights):
        yield replace(start, load_mode="read", repack=True)


def _batching(_board: Board, _candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    for size in (start.n_ubatch // 2, start.n_ubatch * 2):
        if 32 <= size <= start.n_batch:
            yield replace(start, n_ubatch=size)


def _threading(board: Board, _candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    """Slow cores beside the fast ones hold up every step, as a rule; hyper-threads are not tried."""
    if not start.n_gpu_layers and start.n_threads < board.cpu.n_cores:
        yield replace(start, n_threads=board.cpu.n_cores, n_threads_batch=board.cpu.n_cores)


def _settings(planned: LoadSettings, like: Measurement | None) -> LoadSettings:
    if like is None:
        return planned
    return replace(
        planned,
        load_mode=like.load_mode,
        repack=like.repack,
        n_ubatch=like.n_ubatch,
        n_threads=like.n_threads,
        n_threads_batch=like.n_threads,
    )


def _fits(board: Board, candidate: Candidate, settings: LoadSettings) -> bool:
    device = board.accelerators[0] if settings.n_gpu_layers and board.accelerators else None
    need = memory_need(
        candidate.shape,
        candidate.weights,
        settings,
        process=BARE,
        device=device.kind if device else "",
        unified=device.unified if device else False,
    )
    return need.host <= room(board) - reserve(board).size


def _death(path: Path, code: int, stderr: str) -> EngineError:
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    if code == -signal.SIGKILL:
        return EngineError(f"{path.name}: the kernel ended the trial, most likely for want of memory.", cause="oom")
    if code < 0:
        return EngineError(f"{path.name}: the trial died of {signal.Signals(-code).name}. {last}", cause="signal")
    return EngineError(f"{path.name} could not be measured. {last}", cause="load")
