"""Measures several ways to load one model on this board, each in a child process (``native/measure.py``).

A child may abort or be killed when memory runs out: that way is skipped and the reason reported. Imports no native
code.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from edgechat.board.vitals.energy import Recording
from edgechat.engine.child.run import describe_exit, last_line, run_child
from edgechat.errors import EngineError
from edgechat.models.planning.board_speed import UNDISTURBED
from edgechat.models.planning.calibration import Measurement, best
from edgechat.models.planning.memory_need import BARE, memory_need, tensor_total
from edgechat.models.planning.plan import LoadSettings
from edgechat.models.planning.reserve import reserve, usable_memory
from edgechat.models.planning.starter_speed import STARTER_PROMPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgechat.board.board import Board, Cpu
    from edgechat.models.planning.candidate import Candidate

_TIMEOUT_S = 900.0
"""Reading 5 GB from an SD card takes two minutes; a measurement itself stops after seconds."""
_WORTH_TRYING = 0.05
"""Repacking is tried only where it changes more than this share of the weights."""
DISTURBED_BELOW = UNDISTURBED
_QUICK_STEP, _QUICK_S, _QUICK_TIMEOUT_S = 64, 1.5, 20.0
"""A slow core reads 64 tokens of the starter in two seconds."""
_CLOCK_SET = 2024
"""A board without a clock starts in 1970 or at its image's date; earlier years than this are not recorded."""


def measure(
    path: Path, settings: LoadSettings, quota: float | None = None, timeout_s: float = _TIMEOUT_S, **size: float
) -> Measurement:
    """Measure one way to load a file.

    Args:
        path: the file.
        settings: how to load it.
        quota: cores' worth of processor time that the cgroup allows (``Cpu.quota``); no other program has the rest.
        timeout_s: the measurement is given up after this.
        size: ``prompt_tokens`` and ``enough_s`` of ``native/measure.py``, where they are not the usual ones.

    Raises:
        EngineError: the child could not load it, died or took too long; the message says which.
    """
    recording = Recording()
    try:
        with recording:
            done = run_child(
                "measure", {"path": str(path), "settings": asdict(settings), "size": size}, timeout_s=timeout_s
            )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{path.name} was not measured within {timeout_s:.0f} s.") from error
    if done.returncode:
        cause, words = describe_exit(done.returncode, done.stderr)
        last = last_line(done.stderr) if cause == "signal" else ""
        raise EngineError(f"{path.name}: the measurement {words}. {last}".rstrip(), cause=cause)
    found = json.loads(done.stdout.splitlines()[-1])
    began, ended = found.pop("decode_began"), found.pop("decode_ended")
    joules = recording.between(began, ended)
    allowed = min(1.0, quota / settings.n_threads) if quota else 1.0
    found["cpu_share"] = round(min(1.0, found["cpu_share"] / allowed), 2)
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


def measure_starter(path: Path, cpu: Cpu) -> Measurement:
    """Measure the starter for a few seconds: what the speed of an unknown board is predicted from.

    Raises:
        EngineError: as :func:`measure`.
    """
    n_threads = cpu.n_big_cores
    settings = LoadSettings(512, n_batch=_QUICK_STEP, n_ubatch=_QUICK_STEP, n_seq_max=1, n_outputs_max=1,
                            n_threads=n_threads, n_threads_batch=n_threads)  # fmt: skip
    return measure(path, settings, cpu.quota, _QUICK_TIMEOUT_S, prompt_tokens=STARTER_PROMPT, enough_s=_QUICK_S)


def calibrate(
    board: Board,
    candidate: Candidate,
    path: Path,
    settings: LoadSettings,
    *,
    on_start: Callable[[LoadSettings], None],
    on_result: Callable[[Measurement | EngineError], None],
) -> list[Measurement]:
    """Measure the plan's settings, then settings that may be faster, keeping the better ones at each step.

    Args:
        board: the machine; only settings that fit its free memory are tried.
        candidate: the file's shape and weights.
        path: the file.
        settings: the plan's.
        on_start: called before each measurement.
        on_result: called after each one, also when it failed.

    Raises:
        EngineError: the plan's own settings could not be measured.
    """
    found: list[Measurement] = []
    for variants in (_load_variants, _ubatch_variants, _thread_variants):
        start = _settings(settings, best(found)) if found else settings
        for way in ([settings] if not found else []) + list(variants(board, candidate, start)):
            if not _fits(board, candidate, way):
                continue
            on_start(way)
            try:
                result = _undisturbed(path, way, board.cpu.quota)
            except EngineError as error:
                if not found:
                    raise
                on_result(error)
                continue
            found.append(result)
            on_result(result)
    return found


def _undisturbed(path: Path, settings: LoadSettings, quota: float | None) -> Measurement:
    """Measure; once more where other programs used the processor, keeping the less disturbed result."""
    first = measure(path, settings, quota)
    if first.cpu_share >= DISTURBED_BELOW:
        return first
    return max(first, measure(path, settings, quota), key=lambda item: item.cpu_share)


def _load_variants(_board: Board, candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    """The other way to load the weights. Mapped and repacked is not tried: as fast as read, in twice the memory."""
    if start.n_gpu_layers:
        return
    if start.repack or start.load_mode == "read":
        yield replace(start, load_mode="mmap", repack=False)
    elif candidate.weights.repackable >= _WORTH_TRYING * tensor_total(candidate.shape, candidate.weights):
        yield replace(start, load_mode="read", repack=True)


def _ubatch_variants(_board: Board, _candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    for size in (start.n_ubatch // 2, start.n_ubatch * 2):
        if 32 <= size <= start.n_batch:
            yield replace(start, n_ubatch=size)


def _thread_variants(board: Board, _candidate: Candidate, start: LoadSettings) -> Iterator[LoadSettings]:
    """All cores, slow ones included (they usually slow every step down); hyper-threads are not tried."""
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
    return need.host <= usable_memory(board) - reserve(board).size
