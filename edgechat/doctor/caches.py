"""Findings about stale caches and abandoned downloads, by the names, sizes and ages of files."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING

from edgechat.doctor.finding import Finding, advice, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths

_UNUSED_DAYS = 90
"""A prefix's file gets a new modification time at each use."""
_LEFTOVER_MINUTES = 60
"""No write to the cache takes an hour."""
_ABANDONED_DAYS = 7
_MIN_BYTES = 1_000_000
"""Less is not reported."""


def findings(paths: Paths, now: float | None = None) -> list[Finding]:
    """Find files that can be deleted."""
    now = time.time() if now is None else now
    found = [*_leftovers(paths.cache, now), *_unused(paths.cache, now), *_abandoned(paths.models, now)]
    return found or [ok("caches", "No cache is stale and no download was abandoned.")]


def _leftovers(cache: Path, now: float) -> Iterator[Finding]:
    """Temporary files of processes that ended while they wrote."""
    files = [f for f in _files(cache) if f.name.endswith(".new") and _age_s(f, now) > _LEFTOVER_MINUTES * 60]
    if files:
        message = f"{_count(files)} in the cache are incomplete, because the process that wrote them ended."
        yield advice("caches", message, f"find {_quote(cache)} -name '*.new' -mmin +{_LEFTOVER_MINUTES} -delete")


def _unused(cache: Path, now: float) -> Iterator[Finding]:
    files = [f for f in _files(cache) if not f.name.endswith(".new") and _age_s(f, now) > _UNUSED_DAYS * 86_400]
    if sum(_size(f) for f in files) >= _MIN_BYTES:
        message = f"{_count(files)} in the cache were not used for {_UNUSED_DAYS} days."
        yield advice("caches", message, f"find {_quote(cache)} -type f -mtime +{_UNUSED_DAYS} -delete")


def _abandoned(models: Path, now: float) -> Iterator[Finding]:
    parts = [f for f in _files(models) if f.name.endswith(".part") and _age_s(f, now) > _ABANDONED_DAYS * 86_400]
    if parts:
        message = f"{_count(parts)} belong to downloads that were interrupted more than {_ABANDONED_DAYS} days ago."
        command = f"find {_quote(models)} -name '*.part*' -mtime +{_ABANDONED_DAYS} -delete"
        yield advice("abandoned-download", f"{message} To continue, pull the model again.", command)


def _files(directory: Path) -> list[Path]:
    # A directory that cannot be read is reported by directories.py.
    return [found for found in directory.rglob("*") if found.is_file()] if os.access(directory, os.R_OK) else []


def _age_s(file: Path, now: float) -> float:
    try:
        return now - file.stat().st_mtime
    except OSError:  # deleted meanwhile
        return 0.0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _count(files: list[Path]) -> str:
    size = sum(_size(file) for file in files) / 1e6
    return f"{len(files)} file{'s' if len(files) > 1 else ''} ({size:,.0f} MB)"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
