"""The probe: reads files and commands of a machine once and returns a ``Board``.

Costs a few milliseconds on Linux and imports only the standard library there, since every engine start calls it. Facts
that cannot be read are listed in ``Board.notes``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.board.board import Board
from edgechat.board.probe import cgroup
from edgechat.board.probe.accelerators import read_accelerators
from edgechat.board.probe.cpu import read_cpu
from edgechat.board.probe.identity import read_identity
from edgechat.board.probe.memory import address_space_limit, combine, controller_note, parse_meminfo
from edgechat.board.probe.npus import read_npus
from edgechat.board.probe.power_mode import power_mode
from edgechat.board.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping


def probe(root: Path = Path("/"), *, env: Mapping[str, str] | None = None) -> Board:
    """Probe the running machine, or the recorded tree at ``root``.

    Args:
        root: ``/``, or a directory that holds a machine's proc, sys, etc, dev and commands.
        env: where ``CUDA_VISIBLE_DEVICES`` is looked up; the process's own environment by default, and nothing for a
            recorded tree.
    """
    source = Source(root)
    if source.uname()[0] == "Darwin":
        from edgechat.board.probe.macos import probe_macos  # noqa: PLC0415 - unused on every Linux board

        return probe_macos(source)
    if env is None:
        env = os.environ if source.live else {}
    return _probe_linux(source, env)


def _probe_linux(source: Source, env: Mapping[str, str]) -> Board:
    notes: list[str] = []
    mounts, groups = cgroup.own(source)
    meminfo = parse_meminfo(source.text("proc/meminfo") or "")
    if not meminfo.get("MemTotal"):
        notes.append("/proc/meminfo cannot be read: the size of the memory is unknown and counts as none.")
    identity = read_identity(source, meminfo.get("MemTotal", 0), notes)
    supported = cgroup.memory_controller(source, mounts)
    if note := controller_note(source, supported):
        notes.append(note)
    memory = replace(
        combine(meminfo, cgroup.memory_levels(source, mounts, groups), notes),
        cgroup_supported=supported is not False,
        bandwidth=identity.bandwidth,
        bandwidth_source="datasheet" if identity.bandwidth else "",
        address_space_limit=address_space_limit(source.text("proc/self/limits") or ""),
    )
    cpu = read_cpu(source, cgroup.cpu_quota(source, mounts, groups), notes)
    accelerators = read_accelerators(source, memory, identity.compatible, env.get("CUDA_VISIBLE_DEVICES"), notes)
    return Board(
        name=identity.name,
        kind=identity.kind,
        os=identity.os,
        kernel=source.uname()[1],
        cpu=cpu,
        memory=memory,
        accelerators=accelerators,
        boot_id=identity.boot_id,
        notes=tuple(notes),
        model=identity.model,
        environment=identity.environment,
        npus=read_npus(source, identity.compatible),
        power_mode=power_mode(source) if identity.kind == "jetson" else "",
    )
