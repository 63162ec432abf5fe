"""Makes the unit for this machine: the plan's memory, the paths in use, the program as it is installed.

Decides; writes nothing and starts nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat import config as settings
from edgechat.board.probe.probe import probe
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state import oom_history
from edgechat.errors import StateError
from edgechat.paths import Paths
from edgechat.service.unit import SYSTEM_HOME, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.board.board import Board
    from edgechat.engine.protocol.request import Wish
    from edgechat.engine.selection.model_choice import Choice

_KEPT = (
    *("EDGECHAT_HOME", "EDGECHAT_MODELS", "EDGECHAT_STATE"),
    *("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"),
)
"""Variables that say where things are: the service must find what its owner's commands find."""
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


def service_paths(env: Mapping[str, str], *, is_system: bool) -> tuple[Paths, tuple[tuple[str, str], ...]]:
    """Where the service keeps things, and the variables that tell it so."""
    if is_system:
        env = {"EDGECHAT_HOME": SYSTEM_HOME, **({"EDGECHAT_MODELS": m} if (m := env.get("EDGECHAT_MODELS")) else {})}
    kept = {name: env[name] for name in _KEPT if env.get(name)}
    return Paths.from_env(env), tuple(kept.items())


def make_unit(
    arguments: Sequence[str], wish: Wish, *, is_system: bool, loopback_only: bool, env: Mapping[str, str] | None = None
) -> tuple[Unit, Choice, Board]:
    """The unit of ``edgechat serve ARGUMENTS``, the choice that its memory is made for, and the board.

    Raises:
        NoModelError: nothing to answer with, or nothing that fits.
        StateError: the program cannot be run by the service's user.
    """
    env = os.environ if env is None else env
    paths, variables = service_paths(env, is_system=is_system)
    board = probe()
    choice = choose(
        wish,
        paths=paths,
        config=settings.load(paths.config, {}),
        board=board,
        offload=False,
        oom_history=oom_history.read(paths.state, board.boot_id),
    )
    program = (sys.executable, "-m", "edgechat", "serve", *arguments)
    package = Path(__file__).resolve().parents[2]
    read = (Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.prefix), package, choice.path)
    if is_system:
        _require_open_to_all(read)
    writable = _outermost((paths.config, paths.state, paths.data, paths.cache, paths.models))
    unit = Unit(
        command=program,
        is_system=is_system,
        environment=variables,
        # systemd itself makes the system service's directory, and lets it write there.
        writable=tuple(each for each in writable if not is_system or not each.is_relative_to(SYSTEM_HOME)),
        mounts=writable,
        needs_home=any(each.is_relative_to(home) for home in _homes() for each in (*read, *writable)),
        plan_bytes=choice.plan.memory.host,
        has_memory_cgroup=board.memory.cgroup_supported,
        loopback_only=loopback_only,
        has_gpu=bool(board.accelerators),
        is_raspberry=board.kind == "raspberry-pi",
    )
    return unit, choice, board


def _homes() -> tuple[Path, ...]:
    own = Path.home()
    return (*_HOMES, own) if own != Path("/") else _HOMES


def _outermost(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Directories that no other one of these contains, each once; a common edgechat home stands for what it holds."""
    parents = {each.parent for each in paths}
    if len(parents) == 1 and len(paths) > 1:
        return tuple(parents)
    return tuple(
        each
        for each in dict.fromkeys(paths)
        if not any(each != other and each.is_relative_to(other) for other in paths)
    )


def _require_open_to_all(paths: tuple[Path, ...]) -> None:
    """See that another user can reach what the service runs and reads.

    Raises:
        StateError: a directory on the way is closed.
    """
    for path in paths:
        for place in (path, *path.parents):
            try:
                mode = place.stat().st_mode
            except OSError:
                continue  # not made yet, or not ours to look at
            needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
            if not mode & needed:
                raise StateError(
                    f"The service's own user cannot reach {path}: {place} is closed to it.",
                    hint="Install edgechat where everybody can read it: python3 -m venv /opt/edgechat, then in the "
                    "checkout /opt/edgechat/bin/pip install '.[serve]', and run this command from there.",
                )
