"""The question to the model about an assessed moment: one sentence that adds to the rules' reason.

The rules' reason is the explanation. The model may add what the moment makes worse, in one sentence without advice;
``sentence_check.py`` decides whether it is shown. The model words no countermeasure and sets no number.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgechat.engine.protocol.request import Message
from edgechat.tasks.driving import texts

if TYPE_CHECKING:
    from edgechat.tasks.contract import Schema
    from edgechat.tasks.driving.record import DrivingInput
    from edgechat.tasks.driving.result import DrivingResult
    from edgechat.tasks.language import Language

MAX_TOKENS = 60
LENGTH: dict[Language, int] = {"en": 120, "ja": 60, "zh": 50}
"""Maximum characters of the sentence."""

_SYSTEM: dict[Language, str] = {
    "en": (
        "The message holds facts of a driving moment, measured and final. Write one short sentence that adds "
        "to the reason: "
        "speed with stopping distance, road and light, or the position in the lane. Use only these facts and "
        "their numbers. "
        "Do not repeat the reason. Give no advice."
    ),
    "ja": (
        "メッセージは運転中の一時点の確定した事実です。理由に加えることを短い一文で書いてください。"
        "速度と停止距離、路面と明るさ、車線内の位置のいずれかです。この事実と数値だけを使います。"
        "理由を繰り返さず、助言をしません。"
    ),
    "zh": (
        "消息是某一驾驶时刻已确定的事实。请写一句简短的话补充理由：速度与停车距离、路面与光线，或车道内的位置。"
        "只用这些事实和数值，不重复理由，不给建议。"
    ),
}
_EXAMPLES: dict[Language, tuple[tuple[dict[str, str], str], ...]] = {
    "en": (
        (
            {
                "reason": "The gap of 31.0 m is short of the 84.0 m recommended here.",
                "speed": "84 km/h",
                "gap": "31 m",
                "stopping_distance": "57.2 m",
                "weather": "cloudy",
                "time_of_day": "night",
            },
            "At 84 km/h at night, stopping takes 57.2 m, more than the gap of 31 m.",
        ),
        (
            {
                "reason": "The wheels are 0.06 m from the lane line.",
                "speed": "91 km/h",
                "lane_position": "0.79 m left of the lane centre",
                "weather": "snow",
                "time_of_day": "day",
            },
            "The vehicle is 0.79 m left of the lane centre at 91 km/h on snow.",
        ),
    ),
    "ja": (
        (
            {
                "reason": "車間距離31.0 mは、この条件での推奨84.0 mに足りません。",
                "speed": "84 km/h",
                "gap": "31 m",
                "stopping_distance": "57.2 m",
                "weather": "cloudy",
                "time_of_day": "night",
            },
            "夜間に84 km/hからの停止距離は57.2 mで、車間距離31 mより長いです。",
        ),
        (
            {
                "reason": "車輪から車線までの距離は0.06 mです。",
                "speed": "91 km/h",
                "lane_position": "車線中央から左へ0.79 m",
                "weather": "snow",
                "time_of_day": "day",
            },
            "雪の路面を91 km/hで、車線中央から左へ0.79 mの位置です。",
        ),
    ),
    "zh": (
        (
            {
                "reason": "车距31.0 m不足此条件下建议的84.0 m。",
                "speed": "84 km/h",
                "gap": "31 m",
                "stopping_distance": "57.2 m",
                "weather": "cloudy",
                "time_of_day": "night",
            },
            "夜间以84 km/h行驶，停车距离为57.2 m，大于车距31 m。",
        ),
        (
            {
                "reason": "车轮距车道线0.06 m。",
                "speed": "91 km/h",
                "lane_position": "偏车道中央左侧0.79 m",
                "weather": "snow",
                "time_of_day": "day",
            },
            "雪地上以91 km/h行驶，偏车道中央左侧0.79 m。",
        ),
    ),
}
_SIDES: dict[Language, tuple[str, str, str]] = {
    "en": ("{offset} m left of the lane centre", "{offset} m right of the lane centre", "at the lane centre"),
    "ja": ("車線中央から左へ{offset} m", "車線中央から右へ{offset} m", "車線の中央"),
    "zh": ("偏车道中央左侧{offset} m", "偏车道中央右侧{offset} m", "车道中央"),
}


def answer_schema(language: Language) -> Schema:
    """Schema of the answer: one bounded sentence."""
    return {
        "type": "object",
        "properties": {"sentence": {"type": "string", "minLength": 1, "maxLength": LENGTH[language]}},
        "required": ["sentence"],
        "additionalProperties": False,
    }


def answer_messages(record: DrivingInput, result: DrivingResult) -> tuple[Message, ...]:
    """Instructions and example turns, the same for every moment so that they are read once; then the facts as JSON."""
    turns = [
        message
        for given, sentence in _EXAMPLES[result.language]
        for message in (
            Message("user", json.dumps(given, ensure_ascii=False)),
            Message("assistant", json.dumps({"sentence": sentence}, ensure_ascii=False)),
        )
    ]
    given = json.dumps(facts(record, result), ensure_ascii=False)
    return (Message("system", _SYSTEM[result.language]), *turns, Message("user", given))


def facts(record: DrivingInput, result: DrivingResult) -> dict[str, str]:
    """The facts that a sentence may use, in words with their units."""
    has_gap = record.distance_to_car_m is not None
    measured = {
        "reason": result.reason,
        "level": texts.LEVELS[result.level][result.language],
        "speed": f"{record.speed_kmh:g} km/h",
        "gap": _with_unit(record.distance_to_car_m, "m"),
        "recommended_gap": _with_unit(result.recommended_gap_m, "m") if has_gap else None,
        "time_to_contact": _with_unit(result.ttc_s, "s"),
        "stopping_distance": _with_unit(result.stopping_distance_m, "m"),
        "lane_position": lane_position(record.lane_center_offset_m, result.language),
        "weather": record.weather,
        "time_of_day": record.time_of_day,
    }
    return {name: value for name, value in measured.items() if value is not None}


def lane_position(offset_m: float, language: Language) -> str:
    """Where the vehicle is in its lane, in words."""
    left, right, centre = _SIDES[language]
    offset = f"{abs(offset_m):g}"
    return centre if offset_m == 0 else (left if offset_m < 0 else right).format(offset=offset)


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{round(value, 1):g} {unit}"
