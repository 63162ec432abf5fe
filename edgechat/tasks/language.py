"""The languages that tasks write in, and the one that a machine's locale asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["ja", "en", "zh"]
LANGUAGES: tuple[Language, ...] = ("ja", "en", "zh")

# POSIX precedence for messages.
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


def locale_language(env: Mapping[str, str] | None = None) -> Language:
    """The language of the locale that the environment names; English where it is another one or none."""
    env = os.environ if env is None else env
    for variable in _VARIABLES:
        if value := env.get(variable, ""):
            for language in LANGUAGES:
                if value.lower().startswith(language):
                    return language
            break
    return "en"
