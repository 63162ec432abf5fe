"""The text of the server's systemd unit: its user, sandbox, memory limit and watchdog. Pure.

Directives are those of systemd.service(5), systemd.exec(5) and systemd.resource-control(5) in version 252; an older
systemd ignores those it does not know.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.models.planning.reserve import MIB, UNUSED_ADDRESS_SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = "edgechat.service"
USER = "edgechat"
"""User and group of the system service. Members of the group may use its engine."""
SYSTEM_HOME = "/var/lib/edgechat"
WATCHDOG_S = 120
_SERVER_BYTES = 160 * MIB
"""Memory of the HTTP server with its threads (60 MB after a day of load), the supervisor (12 MB) and page tables."""
_SLACK = 1.10
"""A plan inside a cgroup keeps 5 % of its limit free, and predictions have an error of up to 5 %."""

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
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallErrorNumber=EPERM
UMask=0077
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """Everything that the unit's text depends on; sizes are bytes."""

    command: tuple[str, ...]
    """Absolute path of the program, and its arguments."""
    is_system: bool
    environment: tuple[tuple[str, str], ...]
    writable: tuple[Path, ...]
    """The directories that edgechat may write."""
    mounts: tuple[Path, ...]
    """Paths that must be mounted before the start."""
    needs_home: bool
    """Whether the program or the models are in a home directory."""
    plan_bytes: int
    """RAM of the plan, for which the memory limit is computed."""
    has_memory_cgroup: bool
    loopback_only: bool
    has_gpu: bool = False
    is_raspberry: bool = False

    @property
    def memory_max(self) -> int:
        """The memory limit of the cgroup: the plan, the server, and the reserve that a plan in a cgroup keeps."""
        return _round_up(int((self.plan_bytes + _SERVER_BYTES) * _SLACK))

    @property
    def address_space(self) -> int:
        """The limit of each process where the kernel has no memory cgroup. Plans take it into account."""
        return _round_up(int((self.plan_bytes + UNUSED_ADDRESS_SPACE) * _SLACK))

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
        # No limit on restarts: the service must come back after any failure.
        yield "StartLimitIntervalSec=0"
        if self.is_system:
            yield "After=network.target"
        if self.mounts:
            yield f"RequiresMountsFor={' '.join(map(_path, self.mounts))}"

    def _service(self) -> Iterable[str]:
        yield "Type=notify"
        yield "NotifyAccess=main"
        # Only root can place a file there, and systemd's own default for a user is the home directory.
        yield "WorkingDirectory=/"
        yield f"ExecStart={' '.join(map(_argument, self.command))}"
        if self.is_system:
            yield "Environment=EDGECHAT_SHARED=/run/edgechat"
        # The engine keeps running, unless --keep-alive among the arguments says otherwise.
        yield "Environment=EDGECHAT_KEEP_ALIVE=-1"
        for name, value in self.environment:
            yield f"Environment={_word(f'{name}={value}')}"
        if self.is_system:
            yield f"User={USER}"
            yield f"Group={USER}"
            yield f"StateDirectory={USER}"
            yield "StateDirectoryMode=0700"
            # For the engine's shared socket, which only the group can reach.
            yield f"RuntimeDirectory={USER}"
            yield "RuntimeDirectoryMode=0750"
        yield "Restart=on-failure"
        yield "RestartSec=5"
        yield f"WatchdogSec={WATCHDOG_S}"
        yield "TimeoutStartSec=120"
        # Running answers have 20 s to end. KillMode=mixed stops the engine after the server.
        yield "TimeoutStopSec=40"
        yield "KillMode=mixed"
        yield "SuccessExitStatus=143"

    def _memory(self) -> Iterable[str]:
        if self.has_memory_cgroup:
            yield f"MemoryMax={self.memory_max}"
            # With weights in swap, above all on an SD card, answers would take too long.
            yield "MemorySwapMax=0"
        else:
            yield f"LimitAS={self.address_space}"
            yield "Environment=MALLOC_ARENA_MAX=2"
        # The kernel kills the engine, which has the higher score; the server starts another.
        yield "OOMPolicy=continue"
        if self.is_system:
            yield "OOMScoreAdjust=-100"
        yield "TasksMax=256"

    def _sandbox(self) -> Iterable[str]:
        yield from _HARDENING.splitlines()
        yield f"PrivateTmp={'no' if any(map(_is_temporary, self.writable)) else 'yes'}"
        # In a user name space, all other users look the same: the engine could not count the places that each of them
        # takes. On a Raspberry Pi, the group of the firmware's device does not exist there either.
        yield f"PrivateUsers={'no' if self.is_system else 'yes'}"
        yield f"ProtectHome={'read-only' if self.needs_home else 'yes'}"
        if self.writable:
            yield f"ReadWritePaths={' '.join(map(_path, self.writable))}"
        if self.is_system:
            yield "RemoveIPC=yes"
        if self.has_gpu:
            pass  # the GPU driver has device files of many names
        elif self.is_raspberry:
            # The firmware reports under-voltage and throttling there.
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
    """The arguments of ``edgechat serve`` in the text of a unit.

    Raises:
        ValueError: the unit was not written by :class:`Unit`.
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
    """Round up to a multiple of 16 MiB."""
    step = 16 * MIB
    return -(-size // step) * step


def _word(text: str) -> str:
    """Quote one word of a setting if needed. ``%`` is doubled, because systemd expands it."""
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _argument(text: str) -> str:
    """Quote one argument of a command line, where systemd also expands ``$``."""
    return _word(text.replace("$", "$$"))


def _path(path: Path) -> str:
    return _word(str(path))
