"""The question to the model about an assessed moment, and the check of its explanation.

The model gets the computed numbers and the chosen countermeasures and puts them into words. It cannot set any of them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from edgechat.plaintext import clean_line
from edgechat.tasks.driving import texts
from edgechat.tasks.driving.wording import MAX_WORDED, wording_schema
from edgechat.tasks.grounding import GroundingTexts

if TYPE_CHECKING:
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.driving.record import DrivingInput, DrivingResult
    from edgechat.tasks.language import Language

_SYSTEM: dict[Language, str] = {
    "en": (
        "You explain a driving risk to the driver. The risk has been computed and is final. "
        "Say in one or two short sentences why it is so. Then word each countermeasure anew in one short sentence "
        "that tells the driver to do the same. Use only the facts given and their numbers. "
        "Add no number, no advice of your own and no reassurance."
    ),
    "ja": (
        "あなたは運転者に運転リスクの理由を説明します。リスクは計算済みで変更できません。"
        "その理由を短い1、2文の日本語で述べ、続いて各対策を、同じ操作を促す短い一文に言い換えてください。"
        "与えられた事実と数値だけを使い、新しい数値、独自の助言、安心させる表現を加えないでください。"
    ),
    "zh": (
        "你向驾驶员解释驾驶风险的原因。风险已经计算完毕，不能更改。"
        "请用一两句简短的中文说明原因，然后把每条对策改写成一句简短的话，要求驾驶员做同样的事。"
        "只使用给出的事实和数值，不要添加新的数值、自己的建议或让人放心的说法。"
    ),
}
_LENGTH: dict[Language, int] = {"en": 200, "ja": 100, "zh": 90}

# The rules never call a scene safe, so an answer that does so contradicts them.
_REASSURANCES = (
    "no risk", "no danger", "not dangerous", "perfectly safe", "is safe", "are safe", "safe to",
    "安全です", "危険はありません", "危険はない", "問題ありません", "没有危险", "没有风险", "是安全的", "很安全",
)  # fmt: skip


_ENDS = (".", "!", "?", "。", "！", "？")
# The point in 45.0 does not end a sentence.
_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|[。！？]|$)\s*", re.DOTALL)


def answer_schema(result: DrivingResult) -> Schema:
    """Schema of the answer: the explanation, and a wording for each of the most urgent countermeasures; all bounded."""
    codes = [item.code for item in result.countermeasures[:MAX_WORDED]]
    return {
        "type": "object",
        "properties": {
            "explanation": {"type": "string", "minLength": 1, "maxLength": _LENGTH[result.language]},
            "countermeasures": wording_schema(codes, result.language),
        },
        "required": ["explanation", "countermeasures"],
        "additionalProperties": False,
    }


def answer_messages(record: DrivingInput, result: DrivingResult) -> tuple[Message, ...]:
    """A system message that is the same for every moment, so that its prefix is reused; then the facts as JSON."""
    return (
        Message("system", _SYSTEM[result.language]),
        Message("user", json.dumps(_facts(record, result), ensure_ascii=False)),
    )


def explanation_fault(text: str, record: DrivingInput, result: DrivingResult) -> str:
    """Why a model's explanation is rejected, or ``""``."""
    if not clean_line(text):
        return "The explanation is empty."
    if promise := reassurance(text):
        return f"The explanation reassures ({promise!r}); nothing here is called safe."
    ground = GroundingTexts(str(fact) for name, fact in _facts(record, result).items() if name != "countermeasures")
    if missing := ground.missing(text):
        cited = ", ".join(found.token for found in missing)
        return f"The explanation cites what the rules did not say: {cited}."
    return ""


def reassurance(text: str) -> str:
    """The first words in ``text`` that call something safe, or ``""``."""
    return next((words for words in _REASSURANCES if words in text.lower()), "")


def unrepeated(text: str, language: Language) -> str:
    """``text`` without repeated sentences and without an unfinished last one.

    Small models repeat themselves until the string is full.
    """
    sentences = [part.strip() for part in _SENTENCE.findall(text) if part.strip()]
    kept = list(dict.fromkeys(sentences))
    if len(kept) > 1 and not kept[-1].endswith(_ENDS):
        kept.pop()
    return ("" if language in {"ja", "zh"} else " ").join(kept)


def _facts(record: DrivingInput, result: DrivingResult) -> dict[str, object]:
    measured = {
        "risk": f"{result.risk:.2f}",
        "alert_above": f"{result.threshold:g}",
        "level": texts.LEVELS[result.level][result.language],
        "main_reason": result.reason,
        "speed": f"{record.speed_kmh:g} km/h",
        "gap": _with_unit(record.distance_to_car_m, "m"),
        "recommended_gap": _with_unit(result.recommended_gap_m, "m"),
        "time_to_collision": _with_unit(result.ttc_s, "s"),
        "stopping_distance": _with_unit(result.stopping_distance_m, "m"),
        "weather": record.weather,
        "time_of_day": record.time_of_day,
        "lane_center_offset": _with_unit(record.lane_center_offset_m, "m"),
        "countermeasures": {item.code: item.text for item in result.countermeasures[:MAX_WORDED]},
    }
    return {name: value for name, value in measured.items() if value is not None}


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{round(value, 1):g} {unit}"
