"""How the optional packages of a command are installed. One place, so that every hint says the same.

Edgechat is installed from its checkout and stands on no package index, so the extra is named by that folder.
"""

from __future__ import annotations


def install_hint(extra: str) -> str:
    """What to type for the packages of one extra in ``pyproject.toml``: ``serve``, ``web`` or ``eval``."""
    return f"From the checkout: .venv/bin/pip install -e '.[{extra}]'; with pipx: pipx install --force '.[{extra}]'"
