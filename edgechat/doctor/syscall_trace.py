"""Records what a command opens: ``python -m edgechat.doctor.syscall_trace FILE HOME COMMAND…``.

For machines without strace. Reads ``/proc`` about a hundred times a second for each process whose ``EDGECHAT_HOME`` is
``HOME``, and writes its sockets and the files that are open for writing to ``FILE``, each once, in strace's format.
    What is
opened and closed between two readings is missed; the page of ``--proof`` says so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from edgechat.files import write_atomically

_TABLES = {
    "unix": "AF_UNIX",
    "tcp": "AF_INET",
    "udp": "AF_INET",
    "raw": "AF_INET",
    "tcp6": "AF_INET6",
    "udp6": "AF_INET6",
    "raw6": "AF_INET6",
    "packet": "AF_PACKET",
    "netlink": "AF_NETLINK",
}
"""File in ``/proc/net`` (proc(5)) -> the address family of its sockets."""
_INTERVAL_S = 0.005
_O_ACCMODE = 3


def watch(home: str, command: list[str]) -> tuple[int, list[str]]:
    """Run a command and record what the processes of ``home`` opened meanwhile.

    Returns:
        The command's exit status, and lines such as ``socket(AF_UNIX`` and ``openat("/path", O_WRONLY)``, each once.
    """
    seen: dict[str, None] = {}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        while True:
            for pid in _processes(home):
                for line in _opened(pid):
                    seen.setdefault(line)
            try:
                return process.wait(_INTERVAL_S), list(seen)
            except subprocess.TimeoutExpired:
                continue


def _processes(home: str) -> list[str]:
    """Ids of this user's processes with that home. The engine is no child of the command, so parents do not help."""
    mark = f"EDGECHAT_HOME={home}".encode()
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - only names are needed
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def _opened(pid: str) -> list[str]:
    lines = []
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115
                if target.startswith("socket:["):
                    lines.append(f"socket({_family(pid, target[8:-1])}")
                elif target.startswith("/") and _writes(pid, number):
                    lines.append(f'openat("{target}", O_WRONLY)')
    return lines


def _family(pid: str, inode: str) -> str:
    for table, family in _TABLES.items():
        with contextlib.suppress(OSError):
            if any(inode in line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()):
                return family
    return "AF_UNIX"  # socketpair(2) makes sockets that no table lists


def _writes(pid: str, number: str) -> bool:
    for line in Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & _O_ACCMODE != os.O_RDONLY
    return False


def main() -> int:
    """Record, write the file, and return the command's exit status."""
    file, home, *command = sys.argv[1:]
    status, lines = watch(home, command)
    write_atomically(Path(file), "".join(f"{line}\n" for line in sorted(lines)).encode("utf-8", "replace"), sync=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
