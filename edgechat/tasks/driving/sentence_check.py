"""Decides whether a model's sentence is shown beside the rules' reason.

It is refused when it copies the reason, gives a number another unit or meaning, compares numbers falsely, says a
direction against the components, reassures, gives advice, or uses a word outside a short vocabulary. A true sentence
that is refused costs nothing: the rules' reason stands alone.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.driving.conditions import conditions
from edgechat.tasks.driving.question import LENGTH, facts

if TYPE_CHECKING:
    from edgechat.tasks.driving.conditions import Light, Sky
    from edgechat.tasks.driving.record import DrivingInput
    from edgechat.tasks.driving.result import DrivingResult
    from edgechat.tasks.language import Language

_Patterns = dict["Language", "re.Pattern[str]"]


def _compiled(en: str, ja: str, zh: str) -> _Patterns:
    return {"en": re.compile(en, re.IGNORECASE), "ja": re.compile(ja), "zh": re.compile(zh)}


# The rules never call a scene safe, so a sentence that does so contradicts them.
_REASSURANCE = _compiled(
    (
        r"\b(?:no|not|little|without|low) (?:\w+ )?(?:risk|danger)\w*|\b(?:un)?safe(?:ly|r|ty)?\b|\benough\b"
        r"|\bsufficient\b|\bno need\b|\bfine\b"
        r"|\bcomfortabl\w+|\bnormal\w*|\bokay\b"
    ),
    "安全|危険(?:は|が)?(?:ない|ありません)|問題(?:は)?(?:ない|ありません)|十分|大丈夫|余裕|正常",
    "安全|没有(?:危险|风险|问题)|足够|充足|放心|正常|无需",
)
_ADVICE = _compiled(
    (
        r"\b(?:should|must|need(?:s|ed)? to|have to|ensure|make sure|keep|maintain|avoid|please|brake (?:now"
        r"|early|hard|gently)|slow down|steer|reduce|increase|accelerat\w*"
        r"|speed up|overtake|turn|switch|watch|drive (?:more|with|at)|be (?:careful|aware)|let|try|consider"
        r"|recommended to|advis\w+|caution|stay|return|move|change|pull|stop the)\b|!"
    ),
    (
        "ください|べき|必要が|ましょう|しなさい|注意し|避け|減速し|加速|制動し|ブレーキを|追い越|広げ|詰め"
        "|保っ|保ち|戻|曲が|切り替え|点け|つけ"
    ),
    (
        "请|应|必须|需要(?!\\d)|务必|避免|保持|减速|加速|刹车|制动(?!距离)|超车|变道|注意|小心|拉开|缩短|开启"
        "|返回|建议您|不要"
    ),
)
_OUTCOME = _compiled(
    (
        r"\b(?:crash\w*|collid\w*|collision|accident\w*|hit|fall|fatal|death|injur\w*|certain\w*|definitely"
        r"|inevitabl\w*|impossible|will|going to|about to|may|might|could|likely|only|just|already)\b"
    ),
    "衝突|事故|死|転落|必ず|確実|不可能|恐れ|可能性|でしょう|わずか|だけ|しか",
    "碰撞|事故|死|必然|一定|不可能|可能|将会|会导致|仅|只有",
)
_CLOSING = _compiled(
    (
        r"\b(?:clos(?:es|ing|ed)|approach\w*|near(?:s|ing)|catch\w*|shrink\w*|narrow\w*|towards?|away|drift\w*"
        r"|moving|widen\w*|growing|leaving|cross\w*|depart\w*)\b"
    ),
    "接近|近づ|迫|縮|離れ|遠ざか|寄っ|寄り|ふらつ|はみ出|越え|広が|向か",
    "接近|靠近|逼近|缩小|远离|驶离|越过|偏离|扩大|朝|驶向",
)
_SKY_WORDS: dict[Sky, _Patterns] = {
    "rain": _compiled(r"\brain\w*|\bwet\b", "雨|濡れ|湿っ", "雨|湿滑"),
    "heavy_rain": _compiled(r"\bheavy rain\b", "大雨|豪雨", "大雨|暴雨"),
    "fog": _compiled(r"\bfog\w*", "霧", "雾"),
    "snow": _compiled(r"\bsnow\w*", "雪", "雪"),
    "ice": _compiled(r"\bic[ey]\b", "凍結|氷", "结冰|冰"),
    "clear": _compiled(r"\bclear\b|\bdry\b|\bsunny\b", "晴|乾い|乾燥", "晴|干燥"),
}
_LIGHT_WORDS: dict[Light, _Patterns] = {
    "night": _compiled(r"\bnight\b|\bdark\w*", "夜|暗", "夜|黑暗"),
    "twilight": _compiled(r"\bdusk\b|\bdawn\b|\btwilight\b|\bevening\b", "夕|薄明|明け方|薄暗", "黄昏|黎明|傍晚"),
    "day": _compiled(r"\bday(?:light|time)?\b", "昼|日中", "白天|日间"),
}
_SLIPPERY = _compiled(r"\bslipper\w*|\bslick\b", "滑りやす|滑る", "湿滑|打滑|路滑")

_QUANTITY = re.compile(
    r"(?<![0-9.])([0-9]+(?:\.[0-9]+)?)\s*(km/h|m/s²|m/s2|m/s|m|s|%|秒|メートル|米|キロ|公里/小时)?(?![A-Za-z])"
)
_UNITS = {"秒": "s", "メートル": "m", "米": "m", "キロ": "km/h", "公里/小时": "km/h"}
# Words that must stand in the sentence for each fact whose number it gives.
_ABOUT: dict[str, _Patterns] = {
    "speed": _compiled(r"\bspeed\b|\bat\b|\bfrom\b|\bdriv\w+", "速度|時速|から|で|走行", "速|行驶|以"),
    "gap": _compiled(r"\bgap\b|\bdistance to\b|\bahead\b", "車間", "车距"),
    "recommended_gap": _compiled(r"\brecommended\b", "推奨", "建议"),
    "time_to_contact": _compiled(r"\btime\b|\bcontact\b|\bseconds?\b", "接触|時間", "接触|时间"),
    "stopping_distance": _compiled(r"\bstop\w*", "停止|停車", "停车|刹停|停下"),
    "lane_position": _compiled(r"\bcent(?:er|re)\b", "中央|中心", "中央|中心"),
}
_COMPARED = _compiled(
    (
        r"(?P<more>\b(?:more|longer|larger|greater|higher|exceed\w*|beyond)\b)|(?P<less>\b(?:less|shorter"
        r"|smaller|lower|short of|below|under)\b)"
    ),
    "(?P<more>より(?:も)?(?:長|大き|多)|超え|上回)|(?P<less>より(?:も)?(?:短|小さ|少な)|下回|足りな|満たな)",
    "(?P<more>大于|长于|超过|超出|高于)|(?P<less>小于|短于|不足|低于|不到)",
)
_LEFT = _compiled(r"\bleft\b", "左", "左")
_RIGHT = _compiled(r"\bright\b", "右", "右")
_VOCABULARY = frozenset(
    """a an the at in on of to from by with and is are it its this than that for as while when which there here both
    vehicle car road lane centre center middle left right speed distance stopping stop stops takes take needed needs
    gap ahead recommended contact time reaches reach longer shorter more less larger greater exceeds below under above
    beyond night day daytime daylight dusk dawn twilight evening dark darkness morning noon afternoon rain rainy heavy
    wet fog foggy snow snowy ice icy clear dry sunny cloudy partly overcast slippery surface braking brake grip
    friction light weather sight visibility reduced longer makes make lengthens increases because due position offset
    off would be follow km h m s seconds metres meters roads""".split()  # noqa: SIM905 - a word list
)
_VOCABULARY_CJK: dict[Language, str] = {
    "ja": """
        車線 中央 中心 左 右 位置 車両 車 速度 時速 走行 停止 停車 距離 車間 推奨 接触 時間 夜間 夜 昼間 昼
        日中 夕方 薄明 明け方 朝 午前 午後 暗 雨天 大雨 雨 霧 雪 凍結 氷 晴天 晴 曇 乾燥 乾 濡 路面 道路 滑
        視界 視認 悪 制動 長 短 大 小 多 少 超 下回 上回 足 満 必要 要 秒 点 時 前方 先行 現在 条件
        対 以上 約 離 明
    """,
    "zh": """
        车道 中央 中心 左侧 右侧 左 右 位置 车辆 车 速度 时速 行驶 停车 停下 刹停 距离 车距 建议 接触 时间
        夜间 夜 白天 日间 黄昏 黎明 傍晚 早晨 上午 中午 下午 黑暗 雨天 大雨 雨 雾 雪地 雪 结冰 冰 晴 多云
        阴 干燥 湿滑 湿 路面 道路 路 滑 视线 差 制动 大于 小于 长于 短于 超过 超出 不足 低于 高于 需要 需
        约 为 秒 在 以 的 上 下 时 偏 处 从 前方 前车 条件 和 且 与 比 更长 更短 已 有 是 到 后 因

    """,
}
# Longest first: 車間 must not be read as 車 and a foreign 間.
_KNOWN_CJK: dict[Language, re.Pattern[str]] = {
    language: re.compile("|".join(sorted(words.split(), key=len, reverse=True)))
    for language, words in _VOCABULARY_CJK.items()
}
_KANJI = re.compile(r"[\u3400-\u9fff]+")
_COPIED = 0.72
"""Similarity from which a sentence counts as a copy of the reason."""


def sentence_fault(text: str, record: DrivingInput, result: DrivingResult) -> str:
    """Why a model's sentence is not shown, or ``""``."""
    said, language = unicodedata.normalize("NFKC", clean_line(text)), result.language
    if not said:
        return "The sentence is empty."
    if len(clean_line(text)) >= LENGTH[language] and not said.endswith((".", "。")):
        return "The sentence was cut off."
    for what, patterns in (("reassures", _REASSURANCE), ("gives advice", _ADVICE), ("foretells or judges", _OUTCOME),
                           ("speaks of a motion that was not measured", _CLOSING)):  # fmt: skip
        if found := patterns[language].search(said):
            return f"The sentence {what} ({found[0].strip()!r})."
    for fault in (
        _copy_fault(said, result), _number_fault(said, record, result), _comparison_fault(said, result),
        _condition_fault(said, record, result), _side_fault(said, record.lane_center_offset_m, language),
        _word_fault(said, language),
    ):  # fmt: skip
        if fault:
            return fault
    return ""


def _word_fault(said: str, language: Language) -> str:
    if language == "en":
        unknown = [word for word in re.findall(r"[A-Za-z]+", said) if word.lower() not in _VOCABULARY]
    else:
        rest = _KNOWN_CJK[language].sub("", said)
        unknown = [*_KANJI.findall(rest), *re.findall(r"[A-Za-z]{3,}|[\u30a1-\u30fa]{3,}", rest)]
    return f"The sentence uses words outside its vocabulary: {', '.join(dict.fromkeys(unknown))}." if unknown else ""


def _number_fault(said: str, record: DrivingInput, result: DrivingResult) -> str:
    known: dict[tuple[float, str], list[str]] = {}
    for name, value in facts(record, result).items():
        if name in _ABOUT:
            for number, unit in _quantities(value):
                known.setdefault((number, unit), []).append(name)
    for number, unit in _quantities(said):
        names = known.get((number, unit))
        if names is None:
            return f"The sentence gives a number that the facts do not have with this unit: {number:g} {unit}.".replace(
                " .", "."
            )
        if not any(_ABOUT[name][result.language].search(said) for name in names):
            return f"The sentence gives {number:g} {unit} another meaning than the facts ({', '.join(names)})."
    return ""


def _quantities(text: str) -> list[tuple[float, str]]:
    found = _QUANTITY.finditer(text.replace("㎞", "km"))
    return [(float(match[1]), _UNITS.get(match[2] or "", match[2] or "")) for match in found]


def _comparison_fault(said: str, result: DrivingResult) -> str:
    """A comparison needs two numbers of one unit, and must be true of them in the order in which they stand."""
    compared = _COMPARED[result.language].search(said)
    if compared is None:
        return ""
    numbers = [(float(match[1]), match[2], match.start()) for match in _QUANTITY.finditer(said)]
    if result.language != "ja":
        before = [one for one in numbers if one[2] < compared.start()]
        after = [one for one in numbers if one[2] > compared.start()]
        pair = (before[-1:] + after[:1]) if before and after else []
    else:  # AはBより長い: both stand before the comparison
        pair = [one for one in numbers if one[2] < compared.start()][-2:]
    if len(pair) != 2 or pair[0][1] != pair[1][1]:
        return "The sentence compares without two numbers of one unit."
    is_more = compared.group("more") is not None
    if (pair[0][0] > pair[1][0]) is not is_more or pair[0][0] == pair[1][0]:
        return f"The sentence compares falsely: {pair[0][0]:g} and {pair[1][0]:g}."
    return ""


def _condition_fault(said: str, record: DrivingInput, result: DrivingResult) -> str:
    present, language = conditions(record.weather, record.time_of_day), result.language
    skies = {present.sky} | ({"rain"} if present.sky == "heavy_rain" else set())
    for sky, patterns in _SKY_WORDS.items():
        if sky not in skies and (found := patterns[language].search(said)):
            return f"The sentence speaks of weather or a road that the record does not have ({found[0]!r})."
    for light, patterns in _LIGHT_WORDS.items():
        if light != present.light and (found := patterns[language].search(said)):
            return f"The sentence speaks of a light that the record does not have ({found[0]!r})."
    if not present.is_slippery and (found := _SLIPPERY[language].search(said)):
        return f"The sentence calls a dry road slippery ({found[0]!r})."
    return ""


def _side_fault(said: str, offset_m: float, language: Language) -> str:
    if (_LEFT[language].search(said) and offset_m >= 0) or (_RIGHT[language].search(said) and offset_m <= 0):
        return "The sentence names the wrong side of the lane."
    return ""


def _copy_fault(said: str, result: DrivingResult) -> str:
    """Why a sentence adds no fact: it copies the reason, or has no number and no condition of its own."""
    reason = unicodedata.normalize("NFKC", result.reason)
    if SequenceMatcher(None, said.lower(), reason.lower(), autojunk=False).ratio() >= _COPIED:
        return "The sentence repeats the reason."
    new_numbers = set(_quantities(said)) - set(_quantities(reason))
    names_condition = any(
        patterns[result.language].search(said) for patterns in (*_SKY_WORDS.values(), *_LIGHT_WORDS.values(), _SLIPPERY)
    )
    return "" if new_numbers or names_condition else "The sentence adds nothing to the reason."
