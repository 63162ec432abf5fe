"""Errors for packages that are not installed, with the command that installs them beside the running program."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def install_hint(package: str) -> str:
    """The command that installs a package beside the running edgechat, which needs an index or a folder of packages."""
    requirement = shlex.quote(_requirement(package))
    if "pipx" in Path(sys.prefix).parts:
        return f"Run: pipx inject edgechat {requirement}"
    return f"Run: {shlex.quote(sys.executable)} -m pip install {requirement}"


def raise_missing(error: ModuleNotFoundError, what: str) -> NoReturn:
    """Raise an error that says which package ``what`` needs and how to install it.

    Raises:
        UsageError: a package that edgechat depends on is not installed.
        ModuleNotFoundError: ``error`` itself for a module of edgechat, which is a defect.
    """
    module = (error.name or "edgechat").split(".")[0]
    if module == "edgechat":
        raise error
    message = f"{what} needs a package that is not installed: {module}. This installation of edgechat is incomplete."
    raise UsageError(message, hint=install_hint(module)) from error


def require(modules: Sequence[str], what: str) -> None:
    """Check that the packages are installed which ``what`` will need later.

    Raises:
        UsageError: one is not.
    """
    from importlib.util import find_spec  # noqa: PLC0415

    for module in modules:
        try:
            is_there = find_spec(module) is not None
        except ValueError:
            is_there = False  # put out of reach, as tests do
        if not is_there:
            raise_missing(ModuleNotFoundError(name=module), what)


def _requirement(package: str) -> str:
    """The versions of a package that edgechat is made for; its bare name where edgechat does not name it."""
    from importlib import metadata  # noqa: PLC0415 - 20 ms, only for an error

    try:
        lines = metadata.requires("edgechat") or []
    except metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        requirement = line.partition(";")[0].strip()
        name = re.split(r"[\s<>=!~\[(]", requirement, maxsplit=1)[0]
        if re.sub(r"[-_.]+", "-", name).lower() == re.sub(r"[-_.]+", "-", package).lower():
            return requirement
    return package.replace("_", "-")
