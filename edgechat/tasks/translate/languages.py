"""The supported languages, their scripts, and the detection of a text's language.

Detection returns ``und`` (BCP 47: undetermined) instead of a guess: 東京 alone may be Japanese or Chinese.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from py3langid.langid import LanguageIdentifier

Script = Literal["latin", "kana", "han", "hangul", "cyrillic", "greek", "arabic", "hebrew", "thai", "devanagari"]

UNDETERMINED = "und"
AUTO = "auto"

# Written as code points, because an editor that normalizes the file would change some of these characters.
_RANGES: dict[Script, str] = {
    "latin": r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a",
    "kana": r"\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "han": r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "hangul": r"\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "cyrillic": r"\u0400-\u052f",
    "greek": r"\u0370-\u03ff\u1f00-\u1fff",
    "arabic": r"\u0600-\u06ff\u0750-\u077f",
    "hebrew": r"\u0590-\u05ff",
    "thai": r"\u0e00-\u0e7f",
    "devanagari": r"\u0900-\u097f",
}
_PATTERNS = {script: re.compile(f"[{ranges}]") for script, ranges in _RANGES.items()}

_CERTAIN = 0.9
_ENOUGH_LETTERS = 20
"""With fewer letters, statistical detection between languages of one script is no better than chance."""
_ENOUGH_HAN = 12


@dataclass(frozen=True, slots=True)
class LanguageInfo:
    """One supported language."""

    code: str
    name: str
    """The English name, used in prompts."""
    name_zh: str
    """The Chinese name, for models with Chinese prompts."""
    scripts: tuple[Script, ...]
    """The scripts of the language, its main script first."""
    spaces: bool = True
    """Whether sentences are separated by spaces."""


_LATIN: tuple[Script, ...] = ("latin",)
_ALL = (
    LanguageInfo("en", "English", "英语", _LATIN),
    LanguageInfo("ja", "Japanese", "日语", ("kana", "han"), spaces=False),
    LanguageInfo("zh", "Chinese", "中文", ("han",), spaces=False),
    LanguageInfo("ko", "Korean", "韩语", ("hangul",)),
    LanguageInfo("de", "German", "德语", _LATIN),
    LanguageInfo("fr", "French", "法语", _LATIN),
    LanguageInfo("es", "Spanish", "西班牙语", _LATIN),
    LanguageInfo("it", "Italian", "意大利语", _LATIN),
    LanguageInfo("pt", "Portuguese", "葡萄牙语", _LATIN),
    LanguageInfo("nl", "Dutch", "荷兰语", _LATIN),
    LanguageInfo("sv", "Swedish", "瑞典语", _LATIN),
    LanguageInfo("da", "Danish", "丹麦语", _LATIN),
    LanguageInfo("fi", "Finnish", "芬兰语", _LATIN),
    LanguageInfo("pl", "Polish", "波兰语", _LATIN),
    LanguageInfo("cs", "Czech", "捷克语", _LATIN),
    LanguageInfo("tr", "Turkish", "土耳其语", _LATIN),
    LanguageInfo("vi", "Vietnamese", "越南语", _LATIN),
    LanguageInfo("id", "Indonesian", "印尼语", _LATIN),
    LanguageInfo("ms", "Malay", "马来语", _LATIN),
    LanguageInfo("ru", "Russian", "俄语", ("cyrillic",)),
    LanguageInfo("uk", "Ukrainian", "乌克兰语", ("cyrillic",)),
    LanguageInfo("el", "Greek", "希腊语", ("greek",)),
    LanguageInfo("ar", "Arabic", "阿拉伯语", ("arabic",)),
    LanguageInfo("fa", "Persian", "波斯语", ("arabic",)),
    LanguageInfo("he", "Hebrew", "希伯来语", ("hebrew",)),
    LanguageInfo("th", "Thai", "泰语", ("thai",), spaces=False),
    LanguageInfo("hi", "Hindi", "印地语", ("devanagari",)),
)
LANGUAGES: dict[str, LanguageInfo] = {language.code: language for language in _ALL}

_lock = threading.Lock()


def scripts_of(text: str) -> dict[Script, int]:
    """The number of letters of each script in a text; scripts without letters are left out."""
    counts = {script: len(pattern.findall(text)) for script, pattern in _PATTERNS.items()}
    return {script: count for script, count in counts.items() if count}


def runs_of(text: str, scripts: Iterable[Script]) -> list[str]:
    """The runs of letters of the given scripts in a text."""
    return [run for script in sorted(scripts) for run in re.findall(f"[{_RANGES[script]}]+", text)]


def detect(text: str) -> str:
    """The code of the language of ``text``, or ``und``."""
    scripts = scripts_of(text)
    if not scripts:
        return UNDETERMINED
    main = max(scripts, key=lambda script: scripts[script])
    east = sum(scripts.get(script, 0) for script in ("kana", "han"))
    # Only Japanese uses kana, so a few decide, even among many Latin product names.
    if scripts.get("kana", 0) and east >= 0.2 * sum(scripts.values()):
        return "ja"
    if main == "han":
        return _guess(text, ("ja", "zh")) if scripts["han"] >= _ENOUGH_HAN else UNDETERMINED
    alone = [language.code for language in _ALL if main in language.scripts]
    if len(alone) == 1:
        return alone[0]
    return _guess(text, tuple(alone)) if scripts[main] >= _ENOUGH_LETTERS else _short(main)


def is_clearly_other(text: str, code: str) -> bool:
    """True when a text is long enough for detection and is in another language with the same script as ``code``."""
    script = LANGUAGES[code].scripts[0]
    alike = tuple(language.code for language in _ALL if script in language.scripts)
    if script in {"kana", "han"} or len(alike) < 2 or scripts_of(text).get(script, 0) < 2 * _ENOUGH_LETTERS:
        return False
    return _guess(text, alike) not in {code, UNDETERMINED}


def _short(script: Script) -> str:
    # Short Latin text counts as English, like the messages of machines (OK, ERROR, Start).
    return "en" if script == "latin" else UNDETERMINED


def _guess(text: str, among: tuple[str, ...]) -> str:
    with _lock:
        code, probability = _identifier(among).classify(text)
    return code if probability >= _CERTAIN else UNDETERMINED


@lru_cache(maxsize=8)
def _identifier(among: tuple[str, ...]) -> LanguageIdentifier:
    # 0.4 s and 30 MB, needed only when the scripts do not decide.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(among))
    return identifier
