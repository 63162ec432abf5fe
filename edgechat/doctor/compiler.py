"""The processor features that this machine's C++ compiler supports: a rebuild of llama.cpp can use no others."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from edgechat.engine.selection.build_info import CPU_KERNELS

if TYPE_CHECKING:
    from collections.abc import Mapping


def native_features(env: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """The features, named as in the board's, that a native build would use; None without a working compiler.

    Args:
        env: for ``CXX`` and ``PATH``; by default the process's environment.
    """
    import subprocess  # noqa: PLC0415

    env = os.environ if env is None else env
    words = shlex.split(env.get("CXX") or "c++")
    compiler = shutil.which(words[0], path=env.get("PATH"))
    if compiler is None:
        return None
    # The flag is -march on x86 and -mcpu on ARM, where Clang accepts only the latter.
    for flag in ("-mcpu=native", "-march=native"):
        try:
            result = subprocess.run(
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
        # GCC for x86 accepts -mcpu as a deprecated name of -mtune, with a warning.
        if result.returncode == 0 and "deprecated" not in result.stderr:
            macros = {line.split(maxsplit=2)[1] for line in result.stdout.splitlines() if line.startswith("#define ")}
            return frozenset(kernel.feature for kernel in CPU_KERNELS if kernel.macro in macros)
    return None
