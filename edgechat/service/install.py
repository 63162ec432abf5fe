"""Makes the unit for this machine, from the plan's memory, the paths and the installed program. Writes nothing."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat import config as settings
from edgechat.board.probe.probe import probe
from edgechat.engine.child.interpreter import python_command
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

_PATH_VARIABLES = (
    *("EDGECHAT_HOME", "EDGECHAT_MODELS", "EDGECHAT_STATE"),
    *("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"),
)
"""Variables that move directories; the service must use the same ones as its owner's commands."""
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


def service_paths(env: Mapping[str, str], *, is_system: bool) -> tuple[Paths, tuple[tuple[str, str], ...]]:
    """The directories of the service, and the variables that set them."""
    if is_system:
        env = {"EDGECHAT_HOME": SYSTEM_HOME, **({"EDGECHAT_MODELS": m} if (m := env.get("EDGECHAT_MODELS")) else {})}
    variables = {name: env[name] for name in _PATH_VARIABLES if env.get(name)}
    return Paths.from_env(env), tuple(variables.items())


def make_unit(
    arguments: Sequence[str], wish: Wish, *, is_system: bool, loopback_only: bool, env: Mapping[str, str] | None = None
) -> tuple[Unit, Choice, Board]:
    """Make the unit of ``edgechat serve ARGUMENTS``; also return the chosen model, for its memory limit, and the board.

    Raises:
        NoModelError: no model is installed, or none fits.
        StateError: the service's user cannot run the program.
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
    program = tuple(python_command("edgechat", "serve", *arguments))
    package = Path(__file__).resolve().parents[2]
    read = (Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.prefix), package, choice.path)
    if is_system:
        _require_readable_by_all(read)
    writable = _outermost((paths.config, paths.state, paths.data, paths.cache, paths.models))
    unit = Unit(
        command=program,
        is_system=is_system,
        environment=variables,
        # systemd creates the directory of the system service and makes it writable.
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
    """The directories without those inside another one; their parent, if all have the same one."""
    parents = {each.parent for each in paths}
    if len(parents) == 1 and len(paths) > 1:
        return tuple(parents)
    return tuple(
        each
        for each in dict.fromkeys(paths)
        if not any(each != other and each.is_relative_to(other) for other in paths)
    )


def _require_readable_by_all(paths: tuple[Path, ...]) -> None:
    """Check that another user can read the files of the service.

    Raises:
        StateError: a directory on the path is closed to others.
    """
    for path in paths:
        for place in (path, *path.parents):
            try:
                mode = place.stat().st_mode
            except OSError:
                continue  # does not exist yet, or cannot be read
            needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
            if not mode & needed:
                raise StateError(
                    f"The service's user cannot read {path}: {place} is closed to other users.",
                    hint="Install edgechat where all users can read it: python3 -m venv /opt/edgechat, then in the "
                    "checkout /opt/edgechat/bin/pip install '.[serve]', and run this command from there.",
                )
