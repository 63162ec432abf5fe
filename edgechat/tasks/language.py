"""The languages of task results, texts in all of them, and the language of the locale."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["ja", "en", "zh"]
LANGUAGES: tuple[Language, ...] = ("ja", "en", "zh")
Translations = dict[Language, str]
"""One fixed text in every language."""

# POSIX precedence for messages.
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")


def locale_language(env: Mapping[str, str] | None = None) -> Language:
    """The language of the locale in ``env`` (default: the environment); English for any other locale or none."""
    env = os.environ if env is None else env
    for variable in _VARIABLES:
        if value := env.get(variable, ""):
            for language in LANGUAGES:
                if value.lower().startswith(language):
                    return language
            break
    return "en"


def language_of_question(text: str, locale: Language) -> Language:
    """The language in which the fixed words beside an answer to ``text`` are written.

    Kana are Japanese. Han without kana may be either, so the locale decides; a text without both has the locale's.
    """
    if _KANA.search(text):
        return "ja"
    return "zh" if locale == "en" and _HAN.search(text) else locale
