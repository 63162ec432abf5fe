"""Installs and removes a unit with ``systemctl``, and reads its state. Each command is reported before it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import write_atomically
from edgechat.service.unit import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT_S = 150.0
"""systemctl waits until the server listens, for which the unit allows 120 s."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """The service manager of the system or of one user."""

    is_system: bool
    units: Path
    say: Callable[[str], None] = lambda _text: None

    @classmethod
    def of(cls, *, is_system: bool, say: Callable[[str], None]) -> Systemd:
        """The service manager of this system or this user."""
        if is_system:
            return cls(True, Path("/etc/systemd/system"), say)
        given = os.environ.get("XDG_CONFIG_HOME", "")
        config = Path(given) if given.startswith("/") else Path.home() / ".config"
        return cls(False, config / "systemd" / "user", say)

    @property
    def file(self) -> Path:
        """Path of the unit file."""
        return self.units / NAME

    def require(self, booted: Path = Path("/run/systemd/system")) -> None:
        """Check that systemd runs, as sd_booted(3) does.

        Raises:
            StateError: it does not run.
        """
        if not booted.is_dir() or shutil.which("systemctl") is None:
            raise StateError(
                "systemd does not run on this machine, so no service can be installed.",
                hint="Print the unit with --dry-run, or start `edgechat serve` by another service manager.",
            )

    def install(self, text: str) -> None:
        """Write the unit file, and start the unit now and at every boot.

        Raises:
            StateError: the file cannot be written, or systemd refuses it.
        """
        write(self.file, text)
        self.run("daemon-reload")
        self.run("enable", NAME)
        self.run("restart", NAME)

    def uninstall(self) -> bool:
        """Stop the unit and remove its file; False when there is none.

        Raises:
            StateError: the file cannot be removed.
        """
        if not self.file.exists():
            return False
        self.run("disable", "--now", NAME)
        remove(self.file)
        self.run("daemon-reload")
        return True

    def properties(self, *names: str) -> dict[str, str]:
        """Properties of the unit; empty values for unknown ones."""
        result = self._call(["show", NAME, f"--property={','.join(names)}"])
        pairs = (line.partition("=") for line in result.stdout.splitlines())
        return {name: value for name, _, value in pairs}

    def run(self, *arguments: str) -> None:
        """Run one systemctl command.

        Raises:
            StateError: it failed.
        """
        self.say(" ".join(["systemctl", *self._scope, *arguments]))
        result = self._call(list(arguments))
        if result.returncode:
            output = (result.stderr or result.stdout).strip().splitlines()
            raise StateError(
                f"systemctl {arguments[0]} failed: {output[-1] if output else f'exit status {result.returncode}'}",
                hint=f"See: journalctl {'' if self.is_system else '--user '}-u {NAME} -n 30",
            )

    @property
    def _scope(self) -> list[str]:
        return [] if self.is_system else ["--user"]

    def _call(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["systemctl", *self._scope, *arguments],
                capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StateError(f"systemctl {arguments[0]} failed: {error}.") from error


def write(file: Path, text: str) -> None:
    """Write a system file atomically.

    Raises:
        StateError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())
        file.chmod(0o644)
    except OSError as error:
        raise StateError(f"Cannot write {file}: {error.strerror}.") from error


def remove(file: Path) -> None:
    """Remove a system file, if it exists.

    Raises:
        StateError: it cannot be removed.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"Cannot remove {file}: {error.strerror}.") from error
