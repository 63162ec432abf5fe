"""The directories of edgechat. The only reader of ``EDGECHAT_HOME``, ``EDGECHAT_MODELS`` and the XDG variables.

``EDGECHAT_HOME`` moves everything below one directory; ``EDGECHAT_MODELS`` moves the models alone, ``EDGECHAT_STATE``
(which a client passes to the engine that it starts) the state. Socket and lock are in the state directory, because the
login's runtime directory is removed at logout.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.ownership import require_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED = Path("/run/edgechat")
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one user. None of them needs to exist yet."""

    config: Path
    """Holds ``config.toml``, keys and licence acceptances."""
    state: Path
    """Holds the engine's socket, lock, logs and small state files."""
    data: Path
    """Holds the conversations and the index of documents."""
    cache: Path
    """Holds only files that can be recreated."""
    models: Path
    """Holds the model store."""
    models_moved: bool = False
    """True when ``EDGECHAT_MODELS`` names the store: a missing directory then means that a disk is not mounted."""
    shared: Path | None = None
    """Directory of the engine of the machine's service, which other users may use; None: do not look for one."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Paths:
        """Read the environment; an empty variable counts as unset.

        Args:
            env: a description of an environment, for the service and for tests. By default it is this process's own,
                and its directories are checked: what another user can change is not used.

        Raises:
            StateError: neither a variable nor a home directory says where this user's files belong, or another user can
                change one of the directories.
        """
        if env is None:
            paths = cls.from_env(os.environ)
            paths.require_trusted()
            return paths
        moved = env.get("EDGECHAT_MODELS", "")
        if home := env.get("EDGECHAT_HOME", ""):
            root = _absolute(home, "EDGECHAT_HOME")
            config, state, data, cache = (root / name for name in ("config", "state", "data", "cache"))
            models = root / "models"
        else:
            user = _user(env)
            config = _xdg(env, "XDG_CONFIG_HOME", user / ".config")
            state = _xdg(env, "XDG_STATE_HOME", user / ".local" / "state")
            data = _xdg(env, "XDG_DATA_HOME", user / ".local" / "share")
            cache = _xdg(env, "XDG_CACHE_HOME", user / ".cache")
            models = data / "models"
        if moved:
            models = _absolute(moved, "EDGECHAT_MODELS")
        if elsewhere := env.get("EDGECHAT_STATE", ""):
            state = _absolute(elsewhere, "EDGECHAT_STATE")
        # With EDGECHAT_HOME, the machine's own engine is not used by default.
        shared = _absolute(given, "EDGECHAT_SHARED") if (given := env.get("EDGECHAT_SHARED", "")) else None
        if shared is None and not home:
            shared = SHARED
        return cls(config, state, data, cache, models, bool(moved), shared)

    @property
    def socket(self) -> Path:
        """The engine's Unix socket."""
        return self.state / "engine.sock"

    def require_trusted(self) -> None:
        """Check that no other user can change a directory.

        Raises:
            StateError: another user can; the hint has the command that ends this.
        """
        require_trusted((self.config, self.state, self.data, self.cache, self.models))

    def require_models(self) -> Path:
        """The store's directory.

        Raises:
            StateError: ``EDGECHAT_MODELS`` names a directory that does not exist.
        """
        if self.models_moved and not self.models.is_dir():
            raise StateError(
                f"EDGECHAT_MODELS is {self.models}, which does not exist.",
                hint="Mount that disk, create the directory, or unset EDGECHAT_MODELS.",
            )
        return self.models


def private_directory(path: Path) -> Path:
    """Create ``path`` for this user alone and return it.

    Raises:
        StateError: the directory cannot be created (read-only, full, or a file has its name), or another user can
            change it.
    """
    try:
        # mkdir(parents=True) would make the parents with the umask, and others could write in them.
        for folder in reversed([each for each in (path, *path.parents) if not each.exists()]):
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
        path.mkdir(mode=_PRIVATE, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"Cannot create {path}: {error.strerror}.",
            hint="Set EDGECHAT_HOME to a directory that can be written.",
        ) from error
    require_trusted((path,))
    return path


def _absolute(value: str, variable: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise StateError(
            f"{variable} is {value}, and there is no such user.", hint="Write the path in full."
        ) from error


def _user(env: Mapping[str, str]) -> Path:
    if home := env.get("HOME", ""):
        return Path(home).absolute()
    try:
        return Path.home()
    except RuntimeError as error:
        # A container whose user id has no name.
        raise StateError(
            "HOME is not set, and this user has no home directory.",
            hint="Set EDGECHAT_HOME to a directory that can be written.",
        ) from error


def _xdg(env: Mapping[str, str], variable: str, default: Path) -> Path:
    # The XDG specification tells programs to ignore relative paths.
    value = env.get(variable, "")
    return (Path(value) if value.startswith("/") else default) / "edgechat"
