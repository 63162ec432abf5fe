"""What this machine's C++ compiler can emit for this very processor: a rebuild helps only as far as that goes."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from edgechat.engine.selection.build_info import CPU_KERNELS

if TYPE_CHECKING:
    from collections.abc import Mapping


def native_features(env: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """The features (as the board names them) that a native build would get, or None when no compiler can be asked.

    Args:
        env: where ``CXX`` and ``PATH`` are looked up; the process's own environment by default.
    """
    import subprocess  # noqa: PLC0415

    env = os.environ if env is None else env
    words = shlex.split(env.get("CXX") or "c++")
    compiler = shutil.which(words[0], path=env.get("PATH"))
    if compiler is None:
        return None
    # The flag is -march on x86 and -mcpu on ARM, where Clang knows only the latter.
    for flag in ("-mcpu=native", "-march=native"):
        try:
            asked = subprocess.run(
                [compiler, *words[1:], flag, "-dM", "-E", "-x", "c++", os.devnull],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                env={**env, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        # GCC for x86 takes -mcpu as an old name of -mtune, and warns.
        if asked.returncode == 0 and "deprecated" not in asked.stderr:
            macros = {line.split(maxsplit=2)[1] for line in asked.stdout.splitlines() if line.startswith("#define ")}
            return frozenset(kernel.feature for kernel in CPU_KERNELS if kernel.macro in macros)
    return None
