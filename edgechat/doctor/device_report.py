"""The device report of ``edgechat board --report``: one JSON object with a board's hardware, health and counters.

Nothing is written, so the report works with a read-only root or a full disk. A part that cannot be read is null, and
``unread`` says why.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from importlib import metadata
from platform import python_version
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.board_file import to_json as board_to_json
from edgechat.board.probe.probe import probe
from edgechat.board.vitals.vitals import read_vitals
from edgechat.engine.client.client import status
from edgechat.engine.state import exit_reason, metrics
from edgechat.engine.state.pressure_history import boot_s
from edgechat.errors import EdgechatError
from edgechat.models.store.installed import installed
from edgechat.tasks.result import timestamp
from edgechat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.protocol.framing import Frame
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths

FORMAT = 1
_PACKAGES = ("llama-cpp-python", "llguidance", "numpy", "textual")


def report(paths: Paths, now: float | None = None) -> dict[str, Any]:
    """Make the report."""
    now = time.time() if now is None else now
    unread: dict[str, str] = {}

    def part(name: str, read: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        try:
            return read()
        except (EdgechatError, OSError) as error:
            unread[name] = str(error)
            return None

    engines: list[Frame] = part("engine", lambda: status(paths)) or []
    engine = engines[0] if engines else None
    vitals = read_vitals()
    metrics_summary = _metrics(engine, paths)
    models = part("models", lambda: [_model(model) for model in installed(paths)])
    free = part("disk_free_bytes", lambda: _free_disk(paths))
    return {
        "format": FORMAT,
        "what": board_to_json(probe()),
        "when": {"utc": timestamp(now), "uptime_s": round(boot_s(), 1)},
        "health": {
            "verdict": verdict(engine, vitals.throttling.now, unread),
            "vitals": vitals.to_json(),
            "engine": _engine(engine),
            "disk_free_bytes": free,
        },
        "versions": versions(),
        "models": models,
        "counts": {name: metrics_summary[name] for name in ("answers", "tokens", "engines")},
        "errors": _errors(paths, metrics_summary),
        "latency": metrics_summary["latency"],
        "unread": unread,
    }


def versions() -> dict[str, str | None]:
    """Versions of edgechat, Python and the most important packages; None for a missing one."""
    found: dict[str, str | None] = {"edgechat": __version__, "python": python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def verdict(engine: Frame | None, throttling: tuple[str, ...], unread: dict[str, str]) -> dict[str, Any]:
    """``ok`` or ``degraded``, with the reasons."""
    reasons = [f"the board is throttled: {', '.join(throttling)}"] if throttling else []
    care = (engine or {}).get("care") or {}
    if care.get("level"):
        reasons.append(f"the engine is {care['name']}: {care['reason']}")
    if care.get("memory_tight"):
        reasons.append(f"memory is short: {care['memory_reason']}")
    reasons += [f"{name} cannot be read: {why}" for name, why in unread.items()]
    return {"status": "degraded" if reasons else "ok", "reasons": reasons}


def _engine(engine: Frame | None) -> Frame | None:
    if engine is None:
        return None
    return {name: value for name, value in engine.items() if name != "figures"}


def _metrics(engine: Frame | None, paths: Paths) -> dict[str, Any]:
    """The metrics of the running engine, which are the newest; without an engine those of the file."""
    live: dict[str, Any] | None = (engine or {}).get("figures")
    return live or metrics.summary(metrics.read(paths.state))


def _errors(paths: Paths, metrics_summary: dict[str, Any]) -> dict[str, Any]:
    exits = exit_reason.history(paths.state)
    by_cause: dict[str, int] = {}
    for each in exits:
        by_cause[each.cause] = by_cause.get(each.cause, 0) + 1
    last = exits[-1] if exits else None
    return {
        "refused": metrics_summary["errors"],
        "engine_deaths": by_cause,
        "last_death": {**asdict(last), "at": timestamp(last.at)} if last else None,
    }


def _model(model: InstalledModel) -> dict[str, Any]:
    return {
        "model": model.name,
        "quant": model.quant,
        "file_bytes": model.file_bytes,
        "sha256": model.sha256,
        "version": model.version,
    }


def _free_disk(paths: Paths) -> int:
    directory = paths.state
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
