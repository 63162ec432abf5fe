"""The text of a systemd unit that serves: who runs it, what it may touch, how much memory it gets. Pure.

Directive names and meanings are those of systemd.service(5), systemd.exec(5) and systemd.resource-control(5), as of
version 252; an older systemd passes over what it does not know.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = "edgechat.service"
USER = "edgechat"
"""User and group of the system service; who is in the group may use its engine."""
SYSTEM_HOME = "/var/lib/edgechat"
WATCHDOG_S = 120
_MIB = 1 << 20
_SERVER_BYTES = 160 * _MIB
"""The HTTP server with its threads (60 MB after a day of load), the supervisor (12 MB) and page tables."""
_ADDRESS_SPACE = 384 * _MIB
"""Address space that the engine maps and never touches (``models/planning/reserve.py``)."""
_SLACK = 1.10
"""A plan inside a group keeps 5 % of its limit free, and predictions may be 5 % off."""

_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """Everything that a unit's text depends on; sizes are bytes."""

    command: tuple[str, ...]
    """Absolute path of the program, and its arguments."""
    is_system: bool
    environment: tuple[tuple[str, str], ...]
    writable: tuple[Path, ...]
    """What edgechat writes: nothing else can be."""
    mounts: tuple[Path, ...]
    """What must be mounted before it starts."""
    needs_home: bool
    """Whether program or models lie in somebody's home directory."""
    plan_bytes: int
    """RAM of the plan that the memory limit is made for."""
    has_memory_cgroup: bool
    loopback_only: bool
    has_gpu: bool = False
    is_raspberry: bool = False

    @property
    def memory_max(self) -> int:
        """The group's limit: the plan, the server beside it, and the reserve that a plan inside a group keeps."""
        return _round_up(int((self.plan_bytes + _SERVER_BYTES) * _SLACK))

    @property
    def address_space(self) -> int:
        """The ceiling of each process where the kernel cannot limit a group; plans know it and stay below."""
        return _round_up(int((self.plan_bytes + _ADDRESS_SPACE) * _SLACK))

    def text(self) -> str:
        """The unit file."""
        sections = (
            ("Unit", self._unit()),
            ("Service", [*self._service(), *self._memory(), *self._sandbox()]),
            ("Install", [f"WantedBy={'multi-user' if self.is_system else 'default'}.target"]),
        )
        return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections)

    def _unit(self) -> Iterable[str]:
        yield "Description=edgechat, an offline LLM assistant, over HTTP"
        # It must come back whatever happens, for months: systemd's limit on restarts would end that.
        yield "StartLimitIntervalSec=0"
        if self.is_system:
            yield "After=network.target"
        if self.mounts:
            yield f"RequiresMountsFor={' '.join(map(_path, self.mounts))}"

    def _service(self) -> Iterable[str]:
        yield "Type=notify"
        yield "NotifyAccess=main"
        yield f"ExecStart={' '.join(map(_argument, self.command))}"
        if self.is_system:
            yield "Environment=EDGECHAT_SHARED=/run/edgechat"
        # It is there to answer at once: the engine stays, unless --keep-alive among the arguments says otherwise.
        yield "Environment=EDGECHAT_KEEP_ALIVE=-1"
        for name, value in self.environment:
            yield f"Environment={_word(f'{name}={value}')}"
        if self.is_system:
            yield f"User={USER}"
            yield f"Group={USER}"
            yield f"StateDirectory={USER}"
            yield "StateDirectoryMode=0700"
            # Where the engine's shared socket lies: for the group, and nobody else.
            yield f"RuntimeDirectory={USER}"
            yield "RuntimeDirectoryMode=0750"
        yield "Restart=on-failure"
        yield "RestartSec=5"
        yield f"WatchdogSec={WATCHDOG_S}"
        yield "TimeoutStartSec=120"
        # Running answers get 20 s; the engine goes with the server, and not before it.
        yield "TimeoutStopSec=40"
        yield "KillMode=mixed"
        yield "SuccessExitStatus=143"

    def _memory(self) -> Iterable[str]:
        if self.has_memory_cgroup:
            yield f"MemoryMax={self.memory_max}"
            # Weights in swap, on an SD card above all, are as good as no answer.
            yield "MemorySwapMax=0"
        else:
            yield f"LimitAS={self.address_space}"
            yield "Environment=MALLOC_ARENA_MAX=2"
        # The kernel takes the engine, which raises its own score; the server lives on and starts another.
        yield "OOMPolicy=continue"
        if self.is_system:
            yield "OOMScoreAdjust=-100"
        yield "TasksMax=256"

    def _sandbox(self) -> Iterable[str]:
        yield from _HARDENING.splitlines()
        yield f"PrivateTmp={'no' if any(map(_is_temporary, self.writable)) else 'yes'}"
        # A user name space knows no group but the service's own, and the firmware's device belongs to another.
        yield f"PrivateUsers={'no' if self.is_system and self.is_raspberry else 'yes'}"
        yield f"ProtectHome={'read-only' if self.needs_home else 'yes'}"
        if self.writable:
            yield f"ReadWritePaths={' '.join(map(_path, self.writable))}"
        if self.is_system:
            yield "RemoveIPC=yes"
        if self.has_gpu:
            pass  # its driver has device files of many names
        elif self.is_raspberry:
            # Where the firmware tells of under-voltage and throttling.
            yield "DevicePolicy=closed"
            yield "DeviceAllow=/dev/vcio r"
            if self.is_system:
                yield "SupplementaryGroups=video"
        else:
            yield "PrivateDevices=yes"
        if self.loopback_only:
            yield "IPAddressDeny=any"
            yield "IPAddressAllow=localhost"


def serve_arguments(text: str) -> tuple[str, ...]:
    """What stands behind ``edgechat serve`` in the text of a unit.

    Raises:
        ValueError: its command is none that :class:`Unit` writes.
    """
    command = next((line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart=")), "")
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command)]
    return tuple(words[words.index("serve") + 1 :])


def sysusers() -> str:
    """The system service's user, as sysusers.d(5) declares it."""
    return f'u {USER} - "edgechat" {SYSTEM_HOME} -\n'


def _is_temporary(path: Path) -> bool:
    return any(path.is_relative_to(each) for each in ("/tmp", "/var/tmp"))  # noqa: S108 - compared, not used


def _round_up(size: int) -> int:
    """To whole 16 MiB."""
    step = 16 * _MIB
    return -(-size // step) * step


def _word(text: str) -> str:
    """One word of a setting: quoted where it must be, ``%`` doubled, since systemd expands it."""
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _argument(text: str) -> str:
    """One argument of a command line, where systemd also expands ``$``."""
    return _word(text.replace("$", "$$"))


def _path(path: Path) -> str:
    return _word(str(path))
