"""The whole examination: reads the machine, the llama.cpp build, the state and the models, and collects all findings.

The other modules of this package judge what is read here, each for its subject.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.probe import probe
from edgechat.board.source import Source
from edgechat.board.vitals.vitals import read_vitals
from edgechat.doctor import (
    caches,
    directories,
    engines,
    llama_build,
    machine,
    models,
    settings,
    swap,
    vitals,
)
from edgechat.doctor.finding import Finding, exit_code, ok, problem
from edgechat.doctor.installation import Installation
from edgechat.engine.client.client import status
from edgechat.engine.protocol import unix_socket
from edgechat.engine.selection import build_info
from edgechat.errors import EngineError, ExitCode, StateError
from edgechat.version import __version__

if TYPE_CHECKING:
    from edgechat.board.board import Board
    from edgechat.doctor.settings import Setting
    from edgechat.engine.selection.build_info import Build, Kernels
    from edgechat.models.store.installed import InstalledModel
    from edgechat.paths import Paths


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings, and the facts printed beside them."""

    findings: tuple[Finding, ...]
    kernels: Kernels | None
    """None when llama.cpp does not load."""
    build: Build | None
    settings: tuple[Setting, ...]
    directories: tuple[Setting, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0, or the code of the most serious problem."""
        return exit_code(self.findings)

    def to_json(self) -> dict[str, Any]:
        """The object that ``edgechat doctor --json`` prints."""
        kernels = self.kernels
        return {
            "edgechat_version": __version__,
            "exit_code": int(self.exit_code),
            "findings": [
                {"id": f.id, "level": f.level.value, "message": f.message, "command": f.command} for f in self.findings
            ],
            "kernels": {
                "in_use": list(kernels.in_use) if kernels else [],
                "missing": list(kernels.missing) if kernels else [],
                "build": self.build.to_json() if self.build else None,
            },
            "config": [asdict(setting) for setting in self.settings],
            "directories": [asdict(setting) for setting in self.directories],
        }


def examine(paths: Paths) -> Examination:
    """Examine everything. Takes about a second, most of it to load llama.cpp in a child process."""
    board, source, installation = probe(), Source(), Installation.here()
    config, found = settings.load(paths)
    found += directories.findings(paths)
    engine_findings, is_loaded = _engine(paths)
    found += [*engine_findings, *engines.last_crash(paths.state), *engines.repeated_crashes(paths.state)]
    found += [*engines.stepped_down(paths.state, board.boot_id), *caches.findings(paths)]
    model_findings, installed = models.findings(paths, config, board, installation, is_loaded=is_loaded)
    found += model_findings
    build_findings, kernels, build = _llama_build(board, installation, installed)
    found += [*build_findings, *machine.notes(board, source), *machine.npus(board), *swap.findings(source)]
    found += [*vitals.findings(read_vitals(source), board), *machine.nvmap(board, source, paths.state)]
    return Examination(
        findings=tuple(found),
        kernels=kernels,
        build=build,
        settings=tuple(settings.settings(config)),
        directories=tuple(settings.directories(paths)),
    )


def _engine(paths: Paths) -> tuple[list[Finding], bool]:
    """Findings about the running engine, and whether it has loaded a model."""
    try:
        running = status(paths)
        is_silent = False
        if not running and (connection := unix_socket.connect(paths.state)) is not None:
            connection.close()
            is_silent = True
    except StateError as error:
        return [problem("engine", str(error), "edgechat stop", ExitCode.STATE)], False
    found = engines.running(running, is_silent=is_silent, state=paths.state)
    found.append(engines.sandbox(running))
    return found, any(engine.get("model") for engine in running)


def _llama_build(
    board: Board, installation: Installation, installed: list[InstalledModel]
) -> tuple[list[Finding], Kernels | None, Build | None]:
    versions = llama_build.versions(installation)
    try:
        build = build_info.read_build()
    except EngineError as error:
        return [*llama_build.broken(error, installation), *versions], None, None
    kernels = build_info.compare(board.cpu, board.accelerators, build)
    # The compiler runs only when its answer matters.
    native = llama_build.native_features() if kernels.missing else None
    found = [
        ok("llama-library", f"llama.cpp loads (ggml {build.ggml_version}, {', '.join(build.backends)})."),
        *versions,
        *llama_build.kernels(kernels, build, board, native, installation),
        *llama_build.flags(build, board, installation, wants_vision=any(model.mmproj for model in installed)),
    ]
    return found, kernels, build
