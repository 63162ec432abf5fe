"""Which directories the engine reads and writes: the sandbox of ``engine/child/sandbox.py`` for this engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.engine.child.sandbox import SandboxState, confine, confine_further
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.selection.model_choice import Choice


def confine_engine(paths: Paths) -> SandboxState:
    """Confine a new engine, before its first thread: it writes its state and its caches alone."""
    for directory in (paths.state, paths.cache):
        private_directory(directory)
    return confine(writable=_writable(paths))


def confine_loaded(state: SandboxState, paths: Paths, choice: Choice | None) -> None:
    """Confine an engine further when its model is loaded: it starts no program and reads little else."""
    from edgechat.engine.native.lib import llama  # noqa: PLC0415 - in the process since the model was loaded

    files = [] if choice is None else [choice.path, *([choice.mmproj] if choice.mmproj else [])]
    models = [place for each in files for place in (each.parent, each.resolve().parent)]
    confine_further(
        state,
        readable=[*models, paths.models, paths.config, *_writable(paths)],
        has_gpu=bool(llama.llama_supports_gpu_offload()),
    )


def _writable(paths: Paths) -> list[Path]:
    return [paths.state, paths.cache, *([paths.shared] if paths.shared is not None else [])]
