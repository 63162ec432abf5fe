"""The facts about one machine, as plain data. Sizes are bytes.

Every field can be written by hand, so that plans can be tested for boards that are not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor, as far as this process may use it."""

    arch: str
    """``x86_64``, ``aarch64`` or ``armv7l``."""
    model: str
    """The vendor's name, or ``""``."""
    n_cores: int
    """Physical cores that this process may use."""
    n_threads: int
    """Hardware threads that this process may use."""
    n_big_cores: int
    """Cores of the fastest kind, without their hyper-threads: what decoding should use."""
    features: tuple[str, ...] = ()
    """SIMD features that llama.cpp has kernels for, sorted: ``avx2``, ``dotprod``, ``i8mm``, …

    x86 names are the kernel's; ARM names are llama.cpp's (``neon``, ``fp16``, ``dotprod``, ``i8mm``, ``sve``).
    Only what every usable core has is listed.
    """
    max_mhz: int | None = None
    """Highest clock of the fastest usable core, or None where the kernel does not say."""
    quota: float | None = None
    """Cores' worth of CPU time the cgroup allows, or None. The counts above are already lowered to it, rounded up."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The RAM. Swap is reported and never counted as available."""

    total: int
    available: int
    """MemAvailable, already lowered to what the cgroup still allows."""
    cgroup_limit: int | None = None
    """The tightest memory limit above this process (``memory.high`` counts as one), or None."""
    cgroup_used: int | None = None
    """Usage that counts against that limit and cannot be reclaimed: without file pages."""
    cgroup_supported: bool = True
    """False where the kernel has no memory controller (Raspberry Pi firmware)."""
    swap_total: int = 0
    bandwidth: int | None = None
    """Bytes a second the memory can deliver, when known (measured or from the board's data sheet)."""
    bandwidth_source: str = ""
    """``measured``, ``datasheet`` or ``""``."""
    address_space_limit: int | None = None
    """``RLIMIT_AS`` of this process, or None. Mapped weights count against it; ``available`` is not lowered by it."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A device that llama.cpp can offload layers to."""

    kind: str
    """``cuda`` or ``metal``."""
    name: str
    total: int
    """Its own memory, or the part of the RAM that it may use where the RAM is shared."""
    free: int
    unified: bool
    """True where the device shares the RAM (Jetson, Apple silicon): its memory is then not a second pool."""
    index: int = 0
    """Its number in CUDA, and so in llama.cpp."""
    compute_capability: str = ""
    bandwidth: int | None = None
    """Bytes a second, when known."""


@dataclass(frozen=True, slots=True)
class Board:
    """One machine."""

    name: str
    """A name that ``--board`` knows, or the machine's own model string."""
    kind: str
    """``raspberry-pi``, ``jetson``, ``container``, ``mac`` or ``pc``."""
    os: str
    """The distribution as it calls itself (``Debian GNU/Linux 12 (bookworm)``), or ``macOS 15.1``."""
    kernel: str
    """The kernel's release: ``6.6.31+rpt-rpi-v8``."""
    cpu: Cpu
    memory: Memory
    accelerators: tuple[Accelerator, ...] = ()
    boot_id: str = ""
    """Changes at every boot; state that lasts until reboot is keyed by it."""
    notes: tuple[str, ...] = field(default=())
    """Sentences about what the probe could not read, and what limits this machine."""
    model: str = ""
    """The machine's own model string (device tree, DMI, or Apple's), or ``""``."""
    power_mode: str = ""
    """A Jetson's power mode (``7W``, ``15W``, ``25W``, ``MAXN``), or ``""`` where none is known."""
    starter_prefill_tps: float | None = None
    """Tokens a second that the starter model read on this machine, or None while nobody measured."""
    starter_decode_tps: float | None = None
    """Tokens a second that the starter model wrote on this machine."""
    environment: str = ""
    """The container or subsystem around this process: ``docker``, ``podman``, ``kubernetes``, ``lxc``,
    ``container``, ``wsl`` or ``""``."""
    npus: tuple[str, ...] = ()
    """Neural processing units that are fitted, and that llama.cpp cannot use."""
