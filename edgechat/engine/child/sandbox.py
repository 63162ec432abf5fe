"""The engine's sandbox: Landlock for files and programs, seccomp for sockets, through plain system calls.

The engine reads files that come from elsewhere (weights, a chat template) with native code. Before its threads start it
gives up what it never needs: :func:`confine` at the start, :func:`confine_further` when the model is loaded. Where the
kernel lacks a part, the engine works without it and says so.

Sources: Linux, userspace-api/landlock.rst and userspace-api/seccomp_filter.rst; the numbers are those of
<linux/landlock.h>, <linux/seccomp.h>, <linux/audit.h> and the system call tables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI version -> number of rights to files."""
_READ = _READ_FILE | _READ_DIR
_TCP = 3
"""Bind and connect, from ABI 4."""
_SCOPES = 3
"""Abstract Unix sockets and signals to processes outside, from ABI 6."""
_NO_NEW_PRIVS = 38

_ARCHITECTURES = {
    # machine: (AUDIT_ARCH, seccomp, socket, connect, execve, execveat)
    "x86_64": (0xC000003E, 317, 41, 42, 59, 322),
    "aarch64": (0xC00000B7, 277, 198, 203, 221, 281),
    "riscv64": (0xC00000F3, 277, 198, 203, 221, 281),
    "armv7l": (0x40000028, 383, 281, 283, 11, 387),
}
_IO_URING_SETUP = 425
"""Its requests can open sockets behind seccomp's back."""
_X32_BIT = 0x40000000
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_TSYNC = 1

SENSOR_PROGRAMS = ("vcgencmd", "nvidia-smi")
"""What the board's readings start; where one is installed, starting it stays allowed."""
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc", "/proc", "/sys", "/dev", "/run", "/opt", "/var/lib")
_GPU_CACHES = (".nv", ".cache/nvidia", ".cache/mesa_shader_cache")


@dataclass(slots=True)
class SandboxState:
    """What holds for this process."""

    landlock: int = 0
    """Version of the kernel's Landlock; 0: files are not confined."""
    seccomp: bool = False
    """Whether it can open no internet socket."""
    no_programs: bool = False
    """Whether it can start no program at all; with Landlock alone only Python and the programs that read sensors."""
    note: str = ""
    """Why a part is missing."""

    def to_json(self) -> dict[str, object]:
        """For ``ps --json``."""
        return asdict(self)


def landlock_version() -> int:
    """The version of Landlock in this kernel; 0 where it has none or it is turned off."""
    if sys.platform != "linux":
        return 0
    return max(_syscall(_CREATE_RULESET, None, 0, 1), 0)


def confine(*, writable: Iterable[Path]) -> SandboxState:
    """Confine this process and its children before it has threads: files can be read, and written only in ``writable``.

    Only this Python and :data:`SENSOR_PROGRAMS` can be started, and only Unix sockets opened.

    Args:
        writable: directories; those that do not exist are left out.
    """
    state = SandboxState()
    if sys.platform != "linux" or _libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        state.note = "this system has no Landlock and no seccomp"
        return state
    rules = [(Path("/"), _READ), (Path("/dev"), _all_rights() & ~_EXECUTE)]
    rules += [(each, _all_rights() & ~_EXECUTE) for each in (*writable, *_gpu_caches())]
    rules += [(each, _EXECUTE | _READ_FILE) for each in _programs()]
    state.landlock = _restrict(rules)
    if not state.landlock:
        state.note = f"this kernel ({platform.release()}) has no Landlock, or it is turned off"
    state.seccomp = _filter(_no_internet())
    if not state.seccomp:
        state.note = f"{state.note}; seccomp is not available".removeprefix("; ")
    return state


def confine_further(state: SandboxState, *, readable: Iterable[Path], has_gpu: bool) -> None:
    """Confine the calling thread, and those that it starts, once the model is loaded.

    It can then read system files, Python's own and ``readable``. No thread of the process can start a program or
    connect to a socket, but where readings of the board or a GPU's driver need it.

    Args:
        state: of :func:`confine`; brought up to date.
        readable: the directories of the model, and those of the state.
        has_gpu: whether llama.cpp was built for one.
    """
    if state.landlock:
        python = {Path(each) for each in (sys.prefix, sys.base_prefix, *sys.path) if each}
        wanted = {*map(Path, _SYSTEM), *python, *readable, *_gpu_caches()}
        _restrict([(each, _all_rights()) for each in wanted])
    if state.seccomp:
        needs_programs = any(map(shutil.which, SENSOR_PROGRAMS))
        numbers = _ARCHITECTURES[platform.machine()]
        denied = [] if needs_programs else [numbers[4], numbers[5]]
        denied += [] if has_gpu else [numbers[3]]
        if denied and _filter([each for number in denied for each in _deny(number, errno.EPERM)], everywhere=True):
            state.no_programs = not needs_programs


def _programs() -> list[Path]:
    """This Python, its dynamic loader, and the programs that read sensors."""
    found = [Path(sys.executable).resolve()]
    found += [Path(path).resolve() for each in SENSOR_PROGRAMS if (path := shutil.which(each))]
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    loaders = {line[line.index("/") :] for line in lines if "/ld-" in line}
    return [*found, *(Path(each).resolve() for each in sorted(loaders))]


def _gpu_caches() -> list[Path]:
    """Directories in which GPU drivers keep compiled kernels."""
    home = os.environ.get("HOME", "")
    return [Path(home, each) for each in _GPU_CACHES] if home.startswith("/") else []


def _all_rights() -> int:
    version = landlock_version()
    bits = max((count for first, count in _FS_RIGHTS.items() if version >= first), default=0)
    return (1 << bits) - 1


def _restrict(rules: Iterable[tuple[Path, int]]) -> int:
    """Apply Landlock rules to this thread; returns the version, or 0 where that failed."""
    version = landlock_version()
    if not version:
        return 0
    handled = struct.pack("QQQ", _all_rights(), _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _syscall(_CREATE_RULESET, handled, size, 0)
    if ruleset < 0:
        return 0
    try:
        for path, rights in rules:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # not on this machine
            # Rights to directories are refused for a plain file.
            allowed = rights if path.is_dir() else rights & (_EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15)
            _syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed & _all_rights(), handle), 0)
            os.close(handle)
        return version if _syscall(_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _no_internet() -> list[bytes]:
    socket = _ARCHITECTURES[platform.machine()][2] if platform.machine() in _ARCHITECTURES else 0
    return [
        *_deny(_IO_URING_SETUP, errno.ENOSYS),
        _statement(0x15, socket, 0, 3),  # another call: go on behind these
        _statement(0x20, 16),  # the first argument: the family
        _statement(0x15, 1, 1, 0),  # AF_UNIX
        _statement(0x06, _ERRNO | errno.EAFNOSUPPORT),
    ]


def _deny(number: int, error: int) -> list[bytes]:
    return [_statement(0x15, number, 0, 1), _statement(0x06, _ERRNO | error)]


def _filter(checks: list[bytes], *, everywhere: bool = False) -> bool:
    """Install a seccomp filter; every check begins with the call's number loaded. ``everywhere``: in all threads."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    architecture, seccomp, *_ = _ARCHITECTURES[platform.machine()]
    if architecture != _native_architecture():
        return False
    program = b"".join(
        (
            _statement(0x20, 4),  # the architecture
            _statement(0x15, architecture, 1, 0),
            _statement(0x06, _ERRNO | errno.EPERM),  # calls of another one have other numbers
            _statement(0x20, 0),  # the call's number
            _statement(0x35, _X32_BIT, 0, 1),
            _statement(0x06, _ERRNO | errno.EPERM),
            *checks,
            _statement(0x06, _ALLOW),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", len(program) // 8, ctypes.addressof(code))
    return _syscall(seccomp, 1, _TSYNC if everywhere else 0, fprog) == 0


def _native_architecture() -> int:
    """Of this process: a 32-bit Python on a 64-bit kernel has other numbers than the machine's name says."""
    found = _ARCHITECTURES[platform.machine()][0]
    return found if bool(found & 0x80000000) == (struct.calcsize("P") == 8) else 0


def _statement(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    """One instruction of classic BPF (struct sock_filter)."""
    return struct.pack("=HBBI", code, jump_true, jump_false, value)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    call = _libc().syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))
