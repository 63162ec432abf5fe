"""Access to the files and commands that machine facts are read from: of the running system, or of a recorded tree.

The only module of ``board`` that opens /proc and /sys files or starts a command. It interprets no file. A recorded tree
has the files at their own paths, and each command's output under ``commands/``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_COMMAND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """One machine to read: the root ``/`` is the running one, any other root is a recorded tree."""

    root: Path = Path("/")

    @property
    def live(self) -> bool:
        """True when this is the running machine."""
        return str(self.root) == "/"

    def text(self, path: str) -> str | None:
        """A file's text without trailing NULs and blanks, or None when it cannot be read.

        Device tree strings end in a NUL; undecodable bytes are replaced, so that one bad byte fails no probe.
        """
        try:
            # A plain open on a joined string: pathlib costs as much again, and a probe reads some sixty files.
            with open(f"{self.root}/{path}", "rb") as file:  # noqa: PTH123
                return file.read().decode("utf-8", "replace").strip("\0 \t\r\n")
        except OSError:
            return None

    def integer(self, path: str) -> int | None:
        """The whole number in a file, or None."""
        text = self.text(path)
        try:
            return int(text) if text is not None else None
        except ValueError:
            return None

    def exists(self, path: str) -> bool:
        """Whether a path exists, of any kind."""
        return os.path.lexists(f"{self.root}/{path}")

    def usable(self, path: str) -> bool:
        """Whether this process may read and write a device node."""
        return os.access(f"{self.root}/{path}", os.R_OK | os.W_OK)

    def names(self, path: str) -> list[str]:
        """A directory's entries, sorted; empty when it cannot be listed."""
        try:
            return sorted(os.listdir(f"{self.root}/{path}"))  # noqa: PTH208
        except OSError:
            return []

    def uname(self) -> tuple[str, str, str]:
        """System, release and machine as ``uname -srm`` prints them."""
        if self.live:
            name = os.uname()
            return name.sysname, name.release, name.machine
        parts = (self.command("uname", "-srm") or "").split()
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")

    @property
    def narrow(self) -> bool:
        """True when this process itself is 32-bit, whatever the kernel is."""
        return self.live and sys.maxsize <= 2**32

    def has_command(self, program: str) -> bool:
        """Whether a program is installed, or was when the tree was recorded."""
        if self.live:
            import shutil  # noqa: PLC0415 - its compressors cost a cold start 10 ms

            return shutil.which(program) is not None
        return self.exists(f"commands/{program}")

    def command(self, program: str, *arguments: str, timeout: float = _COMMAND_SECONDS) -> str | None:
        """A program's output on stdout, or None when it is absent, fails or takes too long.

        Output of a program that fails part of its job (``sysctl`` with one unknown name) is still returned.
        """
        if not self.live:
            return self.text(f"commands/{program}")
        import subprocess  # noqa: PLC0415 - 8 ms, and most boards need no command

        try:
            done = subprocess.run(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        output = done.stdout.decode("utf-8", "replace").strip()
        return output if output or done.returncode == 0 else None
