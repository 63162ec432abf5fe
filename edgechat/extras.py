"""How the optional packages of a command are installed. One place, so that every hint says the same.

Edgechat is installed from its checkout and stands on no package index, so the extra is named by that folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import UsageError

if TYPE_CHECKING:
    from typing import NoReturn


def install_hint(extra: str) -> str:
    """What to type for the packages of one extra in ``pyproject.toml``: ``serve``, ``web`` or ``eval``."""
    return f"From the checkout: .venv/bin/pip install -e '.[{extra}]'; with pipx: pipx install --force '.[{extra}]'"


def refuse(error: ModuleNotFoundError, what: str, extra: str) -> NoReturn:
    """Say which package ``what`` needs and how it is installed; a module of our own that is missing is a defect.

    Raises:
        UsageError: the package of an extra is not installed.
        ModuleNotFoundError: the error itself, for a module of edgechat.
    """
    if (error.name or "edgechat").split(".")[0] == "edgechat":
        raise error
    message = f"{what} needs a package that is not installed: {error.name}."
    raise UsageError(message, hint=install_hint(extra)) from error
