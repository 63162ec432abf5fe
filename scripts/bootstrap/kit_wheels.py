"""The wheels that a board without a network needs beside llama.cpp's: edgechat itself, all its dependencies, and pip.

For each Python of the boards the resolver says which versions, within constraints.txt, and pip fetches them as wheels
for the board's processor. `edgechat models export --with-app` puts them on a stick.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from scripts.bootstrap.constraints import index_environment
from scripts.bootstrap.supervised import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LLAMA = "llama-cpp-python"
# Ubuntu 22.04 and JetPack 6, Raspberry Pi OS bookworm, Ubuntu 24.04, Raspberry Pi OS trixie.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 35
_UV_PLATFORMS = {"aarch64": "aarch64-manylinux_2_35", "x86_64": "x86_64-manylinux_2_35"}


def gather(root: Path, folder: Path, target: str, pythons: Sequence[str], pip_python: Path) -> None:
    """Put the wheels into `folder`; those of another edgechat are removed. `pip_python` has pip.

    Raises:
        SetupError: the index was not reached, or a dependency has no wheel for the board.
    """
    build = root / ".build"
    pip, environ = [str(pip_python), "-m", "pip"], dict(os.environ)
    log = build / "log/kit.log"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        if not old.name.startswith("llama_cpp_python-"):
            old.unlink()
    run(
        "Building edgechat's wheel",
        [*pip, "wheel", "--no-deps", "--build-constraint", str(root / "constraints.txt"), "--wheel-dir", str(folder),
         str(root)],
        log=log, env=environ, cwd=root,
    )  # fmt: skip
    tool = build / "uv"
    if not (tool / "bin/uv").exists():
        run(
            "Installing the resolver",
            [*pip, "install", "--upgrade", "--target", str(tool), "uv"],
            log=log, env=environ, cwd=root,
        )  # fmt: skip
    for version in pythons:
        answer = build / f"uv/kit-{target}-{version}.txt"
        run(
            f"Resolving for Python {version}",
            [str(tool / "bin/uv"), "pip", "compile", "--python-version", version, "--python-platform",
             _UV_PLATFORMS[target], "--constraint", "constraints.txt", "--no-annotate", "--no-header",
             "--no-emit-index-url", "--no-emit-find-links", "--system-certs", "--quiet", "--output-file", str(answer),
             "pyproject.toml"],
            log=log, env=index_environment(environ), cwd=root,
        )  # fmt: skip
        pins = without_llama(answer.read_text(encoding="utf-8"))
        pins += f"pip=={_pinned_pip(root)}\n"
        answer.write_text(pins, encoding="utf-8")
        run(
            f"Fetching wheels for {target} and Python {version}",
            [*pip, "download", "--no-deps", "--progress-bar", "raw", "--dest", str(folder), "-r", str(answer),
             *download_options(target, version)],
            log=log, env=environ, cwd=root,
        )  # fmt: skip


def download_options(target: str, version: str) -> list[str]:
    """Pip's options for wheels of another machine: every glibc from manylinux2014's to JetPack 6's."""
    minor = version.partition(".")[2]
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    for abi in (f"cp3{minor}", "abi3", "none"):
        options += ["--abi", abi]
    for glibc in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1):
        options += ["--platform", f"manylinux_2_{glibc}_{target}"]
    return [*options, "--platform", f"manylinux2014_{target}"]


def without_llama(pins: str) -> str:
    """The resolver's answer without llama.cpp, whose wheel is made here and is not on the index."""
    return re.sub(rf"^{re.escape(LLAMA)}==.*\n", "", pins, flags=re.MULTILINE)


def _pinned_pip(root: Path) -> str:
    found = re.search(r"^pip==(\S+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SetupError("constraints.txt gives no version of pip: `git checkout constraints.txt` restores it.")
    return found[1]
