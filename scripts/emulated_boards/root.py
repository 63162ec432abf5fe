"""A Debian root for arm64 that runs here: made once with debootstrap, entered with QEMU's user-mode emulation.

Needs root, Linux, and the packages debootstrap and qemu-user-static. Programs inside see no network interface, and the
processor that QEMU_CPU names. QEMU 7.2 shows them this machine's /proc/cpuinfo, so one of a board is put over it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# The first bytes of an ELF file for aarch64, and which of them count (Documentation/admin-guide/binfmt-misc.rst).
# Flag F opens the emulator now, so that it need not be in the root.
_AARCH64 = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OCF"
)
PACKAGES = "python3"
_CORES = "sys/devices/system/cpu"


class RootError(Exception):
    """The root cannot be made or entered here: what is missing."""


@dataclass(frozen=True)
class EmulatedRoot:
    """One unpacked Debian."""

    folder: Path

    def make(self, mirror: str) -> None:
        """Make it unless it is there; ten to twenty minutes, most of them emulated.

        Raises:
            RootError: a program is missing, or debootstrap failed.
        """
        missing = [
            name for name in ("debootstrap", "qemu-aarch64-static", "unshare", "ip") if shutil.which(name) is None
        ]
        if missing or os.geteuid() != 0:
            raise RootError(
                "Emulated boards need root, and: apt-get install debootstrap qemu-user-static util-linux iproute2 "
                f"(missing: {', '.join(missing) or 'root'})."
            )
        self._register()
        if (self.folder / "usr/bin/python3").exists() and not (self.folder / "debootstrap").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        first = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", f"--include={PACKAGES}", "bookworm"]
        for command in (
            [*first, str(self.folder), mirror],
            ["chroot", str(self.folder), "/debootstrap/debootstrap", "--second-stage"],
        ):
            if subprocess.run(command, check=False).returncode != 0:
                raise RootError(f"{shlex.join(command)} failed. Remove {self.folder} and try again.")

    def command(
        self, cpu: str, cpuinfo: str, arguments: list[str], stick: Path, *, loopback: bool = False
    ) -> list[str]:
        """The command that runs `arguments` inside, on `cpu`, without a network, with the stick at /stick.

        `loopback` brings up the one interface that leads nowhere else, for tests with servers of their own.
        """
        (self.folder / "cpuinfo").write_text(cpuinfo, encoding="utf-8")
        (self.folder / "stick").mkdir(exist_ok=True)
        # Every installed system has this file; debootstrap leaves it to the installer.
        (self.folder / "etc").mkdir(exist_ok=True)
        (self.folder / "etc/hosts").write_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n", encoding="utf-8")
        inside = ["env", "-i", f"QEMU_CPU={cpu}", "HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]
        script = " && ".join(
            [
                *(["ip link set lo up"] if loopback else []),
                f"mount --bind {shlex.quote(str(stick))} {self.folder}/stick",
                f"mount -t proc proc {self.folder}/proc",
                f"mount --bind {self.folder}/cpuinfo {self.folder}/proc/cpuinfo",
                f"mount --rbind /dev {self.folder}/dev",
                # Which processors share a core: nothing else of this machine's /sys, which would be a PC's.
                f"mkdir -p {self.folder}/{_CORES}",
                f"mount --rbind /{_CORES} {self.folder}/{_CORES}",
                f"exec chroot {self.folder} {shlex.join([*inside, *arguments])}",
            ]
        )
        return ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]

    def _register(self) -> None:
        if not (BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=False)
        if (BINFMT / "qemu-aarch64").exists():
            return
        try:
            (BINFMT / "register").write_text(_AARCH64, encoding="ascii")
        except OSError as error:
            raise RootError(f"The kernel does not take an emulator for aarch64 ({error}).") from error
