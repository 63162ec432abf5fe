"""Watches what a question to edgechat opens: ``python -m edgechat.doctor.syscall_trace FILE HOME COMMAND…``.

For machines without strace. Every process whose ``EDGECHAT_HOME`` is ``HOME`` is looked at through ``/proc`` some
hundred times a second, and what it has open is written to ``FILE`` in strace's own words, once each: sockets by family,
files that are open for writing. What is opened and closed between two looks is missed; the page says so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

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
"""Files of ``/proc/net`` (proc(5)) and the address family each lists."""
_EVERY_S = 0.005
_O_ACCMODE = 3


def watch(home: str, command: list[str]) -> tuple[int, list[str]]:
    """Run a command and say what the processes of ``home`` opened meanwhile.

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
                return process.wait(_EVERY_S), list(seen)
            except subprocess.TimeoutExpired:
                continue


def _processes(home: str) -> list[str]:
    """Ids of this user's processes that were started with that home: the engine leaves its parents at once."""
    mark = f"EDGECHAT_HOME={home}".encode()
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names are all that is wanted
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
    return "AF_UNIX"  # one end of a pair is in no table; only sockets without a name are in none


def _writes(pid: str, number: str) -> bool:
    for line in Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & _O_ACCMODE != os.O_RDONLY
    return False


def main() -> int:
    """Watch, write what was seen, and leave with the command's own exit status."""
    file, home, *command = sys.argv[1:]
    status, lines = watch(home, command)
    Path(file).write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
