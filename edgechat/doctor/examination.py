"""The whole examination: looks at the machine, the build, the state and the models once, and collects the findings.

The one place of this room where everything is read; each judgement stands in the module of its subject.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgechat.board.probe.probe import probe
from edgechat.board.source import Source
from edgechat.board.vitals.vitals import read_vitals
from edgechat.doctor import caches, compiler, engines, llama_build, machine, nvmap, settings, vitals
from edgechat.doctor import directories as places
from edgechat.doctor import models as inventory
from edgechat.doctor.finding import Finding, exit_code, ok, problem
from edgechat.doctor.installation import Installation
from edgechat.engine.client.client import status
from edgechat.engine.protocol import unix_socket
from edgechat.engine.selection import build_info as engine_kernels
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
    """Everything that was found."""

    findings: tuple[Finding, ...]
    kernels: Kernels | None
    """None when llama.cpp could not be asked."""
    build: Build | None
    settings: tuple[Setting, ...]
    directories: tuple[Setting, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0, or the code of the gravest problem."""
        return exit_code(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the shape that ``edgechat doctor --json`` prints."""
        held = self.kernels
        return {
            "edgechat_version": __version__,
            "exit_code": int(self.exit_code),
            "findings": [
                {"id": f.id, "level": f.level.value, "message": f.message, "command": f.command} for f in self.findings
            ],
            "kernels": {
                "in_use": list(held.in_use) if held else [],
                "missing": list(held.missing) if held else [],
                "build": self.build.to_json() if self.build else None,
            },
            "config": [asdict(setting) for setting in self.settings],
            "directories": [asdict(setting) for setting in self.directories],
        }


def examine(paths: Paths) -> Examination:
    """Look at everything. Takes about a second, most of it for loading llama.cpp in its child."""
    board, source, installation = probe(), Source(), Installation.here()
    config, found = settings.load(paths)
    found += places.findings(paths)
    on_engine, is_loaded = _engine(paths)
    found += [*on_engine, *engines.last_death(paths.state), *engines.habit(paths.state)]
    found += [*engines.stepped_down(paths.state, board.boot_id), *caches.findings(paths)]
    on_models, models = inventory.findings(paths, config, board, installation, is_loaded=is_loaded)
    found += on_models
    on_library, kernels, build = _library(board, installation, models)
    found += [*on_library, *machine.notes(board, source), *machine.swap(source)]
    found += [*vitals.findings(read_vitals(source), board), *nvmap.findings(board, source, paths.state)]
    return Examination(
        findings=tuple(found),
        kernels=kernels,
        build=build,
        settings=tuple(settings.settings(config)),
        directories=tuple(settings.directories(paths)),
    )


def _engine(paths: Paths) -> tuple[list[Finding], bool]:
    """Findings on the running engine, and whether it holds a model."""
    try:
        running = status(paths)
        is_silent = False
        if not running and (knock := unix_socket.connect(paths.state)) is not None:
            knock.close()
            is_silent = True
    except StateError as error:
        return [problem("engine", str(error), "edgechat stop", ExitCode.STATE)], False
    found = engines.running(running, is_silent=is_silent, state=paths.state)
    return found, any(engine.get("model") for engine in running)


def _library(
    board: Board, installation: Installation, models: list[InstalledModel]
) -> tuple[list[Finding], Kernels | None, Build | None]:
    versions = llama_build.versions(installation)
    try:
        build = engine_kernels.read_build()
    except EngineError as error:
        return [*llama_build.broken(error, installation), *versions], None, None
    held = engine_kernels.compare(board.cpu, board.accelerators, build)
    # The compiler is asked only when its answer matters.
    native = compiler.native_features() if held.missing else None
    found = [
        ok("llama-library", f"llama.cpp loads (ggml {build.ggml_version}, {', '.join(build.backends)})."),
        *versions,
        *llama_build.kernels(held, build, board, native, installation),
        *llama_build.flags(build, board, installation, wants_vision=any(model.mmproj for model in models)),
    ]
    return found, held, build
