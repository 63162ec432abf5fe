"""The example turns of the questions, in three languages.

A check looks for their words in answers, since small models copy them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgechat.tasks.language import Language


@dataclass(frozen=True, slots=True)
class Example:
    """One example turn."""

    defect: str
    evidence: dict[str, str]
    causes: list[dict[str, Any]]


def _cause(cause: str, evidence: list[str], category: str) -> dict[str, Any]:
    return {"cause": cause, "evidence": evidence, "category": category}


EXAMPLES: dict[Language, tuple[Example, ...]] = {
    "en": (
        Example(
            "dull cut, slat 9",
            {"N3": "Saw blade 2 has lost two teeth.", "L4": "feed force: 91 N, above max 60"},
            [_cause("Saw blade 2 has lost two teeth, so the feed force is above its limit.", ["N3", "L4"], "machine")],
        ),
        Example(
            "cloudy lacquer, drawer",
            {
                "N1": "The lacquer tin was not stirred before filling, as the new hand did not know the rule.",
                "L2": "gloss: 41, below min 70",
            },
            [_cause("The new hand did not stir the lacquer tin before filling.", ["N1", "L2"], "man")],
        ),
        Example(
            "swollen cork, bottle",
            {"N2": "Cork sack 31 came from a new grower and was damp.", "L7": "cork density: 240, above limit 210"},
            [_cause("Cork sack 31 was damp.", ["N2", "L7"], "material")],
        ),
        Example(
            "seam opens, bag",
            {"N5": "The sheet for the sewer leaves out the second stitch."},
            [_cause("The sheet for the sewer leaves out the second stitch.", ["N5"], "method")],
        ),
        Example(
            "angle rejected, bracket",
            {"N1": "The protractor was dropped and not adjusted since.", "L1": "angle: 47.2 deg, above limit 46"},
            [_cause("The protractor was dropped and not adjusted since.", ["N1", "L1"], "measurement")],
        ),
        Example(
            "mould spots, crate",
            {"N4": "Rain came through the open roof onto the crates.", "L3": "wood moisture: 29 %, above limit 18 %"},
            [_cause("Rain came through the open roof onto the crates.", ["N4", "L3"], "environment")],
        ),
    ),
    "ja": (
        Example(
            "切り口の荒れ、桟9",
            {"N3": "のこ刃2の歯が二枚欠けている。", "L4": "送り力 91 Nは上限 60を超えている"},
            [_cause("のこ刃2の歯が二枚欠けており、送り力が上限を超えている。", ["N3", "L4"], "machine")],
        ),
        Example(
            "ニスの曇り、引き出し",
            {"N1": "見習いがニス缶をかき混ぜずに注いだ。", "L2": "光沢 41は下限 70を下回る"},
            [_cause("見習いがニス缶をかき混ぜずに注いだ。", ["N1", "L2"], "man")],
        ),
        Example(
            "コルクの膨れ、瓶",
            {"N2": "新しい農家から届いたコルク袋31は湿っていた。"},
            [_cause("コルク袋31は湿っていた。", ["N2"], "material")],
        ),
        Example(
            "縫い目のほつれ、袋",
            {"N5": "縫製の指図書に二度目の縫いが書かれていない。"},
            [_cause("縫製の指図書に二度目の縫いが書かれていない。", ["N5"], "method")],
        ),
        Example(
            "角度の不合格、金具",
            {"N1": "分度器を落とした後、調整していない。", "L1": "角度 47.2 度は上限 46を超えている"},
            [_cause("分度器を落とした後、調整していない。", ["N1", "L1"], "measurement")],
        ),
        Example(
            "カビ、木箱",
            {"N4": "屋根が開いていて、木箱に雨がかかった。", "L3": "木材水分 29 %は上限 18 %を超えている"},
            [_cause("屋根が開いていて、木箱に雨がかかった。", ["N4", "L3"], "environment")],
        ),
    ),
    "zh": (
        Example(
            "切口粗糙，木条9",
            {"N3": "锯片2掉了两个齿。", "L4": "进给力 91 N，超出上限 60"},
            [_cause("锯片2掉了两个齿，进给力超出上限。", ["N3", "L4"], "machine")],
        ),
        Example(
            "清漆发白，抽屉",
            {"N1": "学徒没有搅拌清漆就倒了进去。", "L2": "光泽 41，低于下限 70"},
            [_cause("学徒没有搅拌清漆就倒了进去。", ["N1", "L2"], "man")],
        ),
        Example(
            "软木塞膨胀，瓶口", {"N2": "新农户送来的软木袋31是湿的。"}, [_cause("软木袋31是湿的。", ["N2"], "material")]
        ),
        Example(
            "缝线开口，布袋", {"N5": "缝纫单上没有写第二道线。"}, [_cause("缝纫单上没有写第二道线。", ["N5"], "method")]
        ),
        Example(
            "角度不合格，支架",
            {"N1": "量角器摔过之后没有调整。", "L1": "角度 47.2 度，超出上限 46"},
            [_cause("量角器摔过之后没有调整。", ["N1", "L1"], "measurement")],
        ),
        Example(
            "发霉，木箱",
            {"N4": "屋顶开着，雨淋到了木箱。", "L3": "木材含水 29 %，超出上限 18 %"},
            [_cause("屋顶开着，雨淋到了木箱。", ["N4", "L3"], "environment")],
        ),
    ),
}


@cache
def example_texts(language: Language) -> tuple[str, ...]:
    """The words that the example turns answer with, and their data."""
    return tuple([text for example in EXAMPLES[language] for text in (example.defect, *example.evidence.values())])
