"""Hints and errors for optional packages (the extras in ``pyproject.toml``).

edgechat is installed from its checkout and is on no package index, so a hint names the checkout's directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from typing import NoReturn


def install_hint(extra: str) -> str:
    """The commands that install the packages of an extra: ``serve``, ``web`` or ``eval``."""
    return f"From the checkout: .venv/bin/pip install -e '.[{extra}]'; with pipx: pipx install --force '.[{extra}]'"


def raise_missing(error: ModuleNotFoundError, what: str, extra: str) -> NoReturn:
    """Raise an error that says which package ``what`` needs and how to install it.

    Raises:
        UsageError: the package of an extra is not installed.
        ModuleNotFoundError: ``error`` itself for a module of edgechat, which is a defect.
    """
    if (error.name or "edgechat").split(".")[0] == "edgechat":
        raise error
    message = f"{what} needs a package that is not installed: {error.name}."
    raise UsageError(message, hint=install_hint(extra)) from error
