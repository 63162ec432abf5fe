"""Talks to systemd by its commands: are there units to be had here, put one in place, take it away, how is it.

Says each command it runs; knows nothing of what a unit holds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.service.unit import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 150.0
"""Starting waits until the server listens; the unit allows it 120 s."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """The manager of the system, or of one user.

    Args:
        is_system: which of the two.
        units: the directory of its own unit files.
        say: gets each command before it runs.
    """

    is_system: bool
    units: Path
    say: Callable[[str], None] = lambda _text: None

    @classmethod
    def of(cls, *, is_system: bool, say: Callable[[str], None]) -> Systemd:
        """The manager of this machine or this user."""
        if is_system:
            return cls(True, Path("/etc/systemd/system"), say)
        given = os.environ.get("XDG_CONFIG_HOME", "")
        config = Path(given) if given.startswith("/") else Path.home() / ".config"
        return cls(False, config / "systemd" / "user", say)

    @property
    def file(self) -> Path:
        """Where the unit lies."""
        return self.units / NAME

    def require(self, booted: Path = Path("/run/systemd/system")) -> None:
        """See that it runs at all: sd_booted(3).

        Raises:
            StateError: it does not.
        """
        if not booted.is_dir() or shutil.which("systemctl") is None:
            raise StateError(
                "systemd does not run here, so no service can be installed.",
                hint="See the unit with --dry-run, or start `edgechat serve` from what starts programs here.",
            )

    def put(self, text: str) -> None:
        """Write the unit, and start it now and at every boot.

        Raises:
            StateError: it cannot be written, or systemd refuses it.
        """
        write(self.file, text)
        self.run("daemon-reload")
        self.run("enable", NAME)
        self.run("restart", NAME)

    def take_away(self) -> bool:
        """Stop the unit and remove it; False when there is none.

        Raises:
            StateError: it cannot be removed.
        """
        if not self.file.exists():
            return False
        self.run("disable", "--now", NAME)
        remove(self.file)
        self.run("daemon-reload")
        return True

    def properties(self, *names: str) -> dict[str, str]:
        """What systemd knows of the unit; empty values where it knows nothing."""
        asked = self._call(["show", NAME, f"--property={','.join(names)}"])
        pairs = (line.partition("=") for line in asked.stdout.splitlines())
        return {name: value for name, _, value in pairs}

    def run(self, *arguments: str) -> None:
        """One systemctl command.

        Raises:
            StateError: it failed.
        """
        self.say(" ".join(["systemctl", *self._scope, *arguments]))
        done = self._call(list(arguments))
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StateError(
                f"systemctl {arguments[0]} failed: {said[-1] if said else f'exit status {done.returncode}'}",
                hint=f"See: journalctl {'' if self.is_system else '--user '}-u {NAME} -n 30",
            )

    @property
    def _scope(self) -> list[str]:
        return [] if self.is_system else ["--user"]

    def _call(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", *self._scope, *arguments],
                capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StateError(f"systemctl {arguments[0]} failed: {error}.") from error


def write(file: Path, text: str) -> None:
    """Put a system file in place, whole or not at all.

    Raises:
        StateError: it cannot be written.
    """
    draft = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.chmod(0o644)
        draft.replace(file)
    except OSError as error:
        raise StateError(f"Cannot write {file}: {error.strerror}.") from error


def remove(file: Path) -> None:
    """Take a system file away, if it is there.

    Raises:
        StateError: it cannot be removed.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"Cannot remove {file}: {error.strerror}.") from error
