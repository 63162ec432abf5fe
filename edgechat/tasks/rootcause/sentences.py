"""The sentences of the report that rules compose: statements, checks, containment, escape, open points, summary.

Every sentence quotes the record and adds only what the rules found out. Nothing here was worded by a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.quantity import without_times
from edgechat.tasks.rootcause.result import EscapeHypothesis
from edgechat.tasks.rootcause.texts import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.language import Language, Translations
    from edgechat.tasks.rootcause.evidence import SortedEvidence
    from edgechat.tasks.rootcause.line_state import JudgedLine
    from edgechat.tasks.rootcause.record import RootCauseInput
    from edgechat.tasks.rootcause.result import Category, Confidence, Hypothesis

_MAX_QUOTE = 160
_LISTED_IDS = 8

SENTENCES: dict[str, Translations] = {
    "above": {
        "en": "{subject}: {value}, above {limit}",
        "ja": "{subject} {value}は{limit}を超えている",
        "zh": "{subject} {value}，超出{limit}",
    },
    "below": {
        "en": "{subject}: {value}, below {limit}",
        "ja": "{subject} {value}は{limit}を下回る",
        "zh": "{subject} {value}，低于{limit}",
    },
    "line": {"en": "log {id} reports “{text}”", "ja": "ログ{id}の記録「{text}」", "zh": "日志{id}记录“{text}”"},
    "note": {"en": "note {id} reports “{text}”", "ja": "メモ{id}の記載「{text}」", "zh": "工艺记录{id}写明“{text}”"},
    "check_man": {
        "en": "Ask the people on shift what was done ({ids}), and compare it with the work instruction.",
        "ja": "当時の作業内容を担当者に確認し、作業標準と照合する({ids})。",
        "zh": "向当班人员核实当时的操作，并与作业指导书对照({ids})。",
    },
    "check_machine": {
        "en": "Inspect the equipment behind {ids}, and read the values again after the repair.",
        "ja": "{ids}に関わる設備を点検し、処置後に値を再確認する。",
        "zh": "检查{ids}涉及的设备，处理后重新确认数值。",
    },
    "check_material": {
        "en": (
            "Compare the lot, its certificate and its storage with the requirements ({ids}); run parts from "
            "another lot."
        ),
        "ja": "ロット、成績書、保管状態を要求と照合し、別ロットで試作する({ids})。",
        "zh": "将批次、质保书和存放状况与要求对照，并用另一批次试制({ids})。",
    },
    "check_method": {
        "en": "Compare what was done with the specification and the valid instruction ({ids}).",
        "ja": "実際の作業を仕様と有効な手順書に照合する({ids})。",
        "zh": "将实际做法与规范及现行作业文件对照({ids})。",
    },
    "check_measurement": {
        "en": "Measure the same parts on a second, calibrated instrument ({ids}).",
        "ja": "同じ部品を校正済みの別の測定器で測り直す({ids})。",
        "zh": "用另一台已校准的量具复测同一批零件({ids})。",
    },
    "check_environment": {
        "en": "Compare the times of the defects with the record of the surroundings ({ids}).",
        "ja": "不良の発生時刻と環境の記録を照合する({ids})。",
        "zh": "将缺陷出现的时间与环境记录对照({ids})。",
    },
    "check_unknown": {
        "en": "Go through {ids} with the people on shift, and find out which of them came before the defect.",
        "ja": "{ids}を担当者と確認し、不良より前に起きたものを特定する。",
        "zh": "与当班人员逐项核对{ids}，确认哪些发生在缺陷之前。",
    },
    "hold_lot": {
        "en": "Hold the parts of lot {lot} until they have been checked.",
        "ja": "ロット{lot}の製品を検査が済むまで保留する。",
        "zh": "隔离批次{lot}的产品，待检查后放行。",
    },
    "hold_product": {
        "en": "Hold the parts of product {product} made under the same conditions until they have been checked.",
        "ja": "同じ条件で作られた製品{product}を検査が済むまで保留する。",
        "zh": "隔离在相同条件下生产的产品{product}，待检查后放行。",
    },
    "measure_again": {
        "en": "Take no decision on parts by the instrument in question until it has been checked.",
        "ja": "対象の測定器が確認されるまで、その値で合否を決めない。",
        "zh": "在相关量具核实之前，不以其数值判定合格与否。",
    },
    "restore_safeguard": {
        "en": "Put the safeguard that {ids} reports as taken away back into force.",
        "ja": "{ids}で解除された安全・防止機能を元に戻す。",
        "zh": "恢复{ids}记录中被解除的防护或防错功能。",
    },
    "escape_override": {
        "en": "A safeguard was taken away ({ids}), so that it could not stop the part.",
        "ja": "防止機能が解除されていたため({ids})、製品を止められなかった。",
        "zh": "防护功能被解除({ids})，因此未能拦截产品。",
    },
    "escape_contradiction": {
        "en": "Two instruments disagree on the same part ({ids}); one of them may also have passed bad parts.",
        "ja": "同じ部品で測定器の値が食い違い({ids})、不良品を合格とした可能性もある。",
        "zh": "两台量具对同一零件的结果不一致({ids})，其中一台也可能放行了不良品。",
    },
    "escape_reported": {
        "en": "The fault reported in {ids} may not have stopped the line.",
        "ja": "{ids}で異常が報告されたが、ラインが止まらなかった可能性がある。",
        "zh": "{ids}已报告异常，但产线可能没有停下。",
    },
    "escape_silent": {
        "en": "The values in {ids} lie outside their limits, and the log holds no alarm for them.",
        "ja": "{ids}の値は限度を外れているが、ログに警報がない。",
        "zh": "{ids}的数值超出限值，但日志中没有报警。",
    },
    "check_escape": {
        "en": "Find out what the line does when such a value or alarm occurs.",
        "ja": "このような値や警報が出たときのラインの動作を確認する。",
        "zh": "确认出现此类数值或报警时产线的处理方式。",
    },
    "not_comparable": {
        "en": (
            "The value and the limit in {ids} cannot be compared: their units differ, or the side of the limit "
            "is unclear."
        ),
        "ja": "{ids}の値と限度は、単位が異なるか上限・下限が不明なため比較できない。",
        "zh": "{ids}的数值与限值无法比较：单位不同，或不清楚是上限还是下限。",
    },
    "contradicts_status": {
        "en": "In {ids} the status word and the numbers disagree.",
        "ja": "{ids}では判定の語と数値が食い違う。",
        "zh": "{ids}中的判定用语与数值不一致。",
    },
    "instructions": {
        "en": "{ids} gives orders or passes a verdict on readings, so it was not used as evidence.",
        "ja": "{ids}は指示や測定値への断定を含むため、根拠に用いていない。",
        "zh": "{ids}含有指令或对读数的断言，未作为证据使用。",
    },
    "no_support": {
        "en": "No reading lies outside its limits, and no note reports trouble.",
        "ja": "限度を外れた値はなく、問題を記したメモもない。",
        "zh": "没有超出限值的读数，也没有记录反映问题。",
    },
    "left_out": {
        "en": "{count} further abnormal lines are listed as evidence and not in the statement.",
        "ja": "他に{count}行の異常があり、根拠に挙げたが文には含めていない。",
        "zh": "另有{count}行异常，已列为证据，未写入陈述。",
    },
    "summary": {
        "en": "{defect} at {location}: {statement} Category by 6M: {category}. Evidence: {ids}.",
        "ja": "{location}の{defect}: {statement}6Mの分類: {category}。根拠: {ids}。",
        "zh": "{location}的{defect}：{statement}6M类别：{category}。证据：{ids}。",
    },
    "summary_none": {
        "en": "{defect} at {location}: the record holds no sign of a cause.",
        "ja": "{location}の{defect}: 記録に原因を示すものはない。",
        "zh": "{location}的{defect}：记录中没有原因线索。",
    },
}
_JOINT: dict[Language, str] = {"en": "; ", "ja": "、", "zh": "；"}
_END: dict[Language, str] = {"en": ". ", "ja": "。", "zh": "。"}


def say(name: str, language: Language, **values: object) -> str:
    """The sentence ``name`` with its values."""
    return SENTENCES[name][language].format(**values)


def line_words(line: JudgedLine, language: Language) -> str:
    """What an abnormal line says: value and limit when it has a reading outside its limits, else its words."""
    reading = line.reading
    if reading is not None and reading.direction != "within":
        subject = reading.subject or line.id
        return say(reading.direction, language, subject=subject, value=reading.value.text, limit=reading.limit_text)
    return say("line", language, id=line.id, text=_quoted(without_times(line.text)))


def note_words(note_id: str, text: str, language: Language) -> str:
    """A note, quoted."""
    return say("note", language, id=note_id, text=_quoted(text))


def statement(cited: Sequence[str], found: SortedEvidence, language: Language) -> str:
    """The rules' statement over the cited evidence: the first note that reports trouble, and the worst deviation."""
    notes = {item.id: item.text for item in (*found.troubles, *found.unclear)}
    lines = {line.id: line for line in (*found.abnormal, *found.overrides)}
    words = [note_words(one, notes[one], language) for one in cited if one in notes][:1]
    ranked = [line for line in lines.values() if line.id in cited]
    words += [line_words(line, language) for line in ranked[:1]]
    joined = _JOINT[language].join(words)
    return f"{joined[:1].upper()}{joined[1:]}{_END[language].strip()}" if joined else ""


def check(category: Category, cited: Sequence[str], language: Language) -> str:
    """What would confirm or refute a hypothesis of this category."""
    return say(f"check_{category}", language, ids=listed(cited))


def containment(record: RootCauseInput, found: SortedEvidence, category: Category, language: Language) -> list[str]:
    """What to do at once."""
    if record.lot:
        steps = [say("hold_lot", language, lot=clean_line(record.lot))]
    else:
        steps = [say("hold_product", language, product=clean_line(record.product_id))]
    if category == "measurement":
        steps.append(say("measure_again", language))
    if found.overrides:
        steps.append(say("restore_safeguard", language, ids=listed([line.id for line in found.overrides])))
    return steps


def escape(found: SortedEvidence, language: Language) -> EscapeHypothesis | None:
    """How the part may have got past earlier checks; None when the record says nothing about it."""
    silent = [line for line in found.abnormal if line.reading and not line.has_status]
    reported = [line for line in found.abnormal if line.has_status]
    for name, lines in (
        ("escape_override", found.overrides), ("escape_contradiction", found.contradictions),
        ("escape_reported", reported), ("escape_silent", silent),
    ):  # fmt: skip
        if lines:
            ids = [line.id for line in lines][:_LISTED_IDS]
            return EscapeHypothesis(
                statement=say(name, language, ids=listed(ids)), evidence_ids=ids,
                check_to_do=say("check_escape", language), confidence="low", worded_by="rules",
            )  # fmt: skip
    return None


def open_points(found: SortedEvidence, language: Language) -> list[str]:
    """What the rules could not read or did not use."""
    groups = (
        ("not_comparable", [line.id for line in found.lines if line.reading and not line.reading.is_comparable]),
        ("contradicts_status", [line.id for line in found.lines if line.contradicts_status]),
        ("instructions", [item.id for item in found.instructions]),
    )
    return [say(name, language, ids=listed(ids)) for name, ids in groups if ids]


def summary(record: RootCauseInput, hypotheses: Sequence[Hypothesis], language: Language) -> str:
    """One line over the first hypothesis."""
    values = {"defect": clean_line(record.defect_type), "location": clean_line(record.location)}
    if not hypotheses:
        return say("summary_none", language, **values)
    first = hypotheses[0]
    return say(
        "summary", language, statement=first.statement, category=CATEGORIES[first.category][language],
        ids=listed(first.evidence_ids), **values,
    )  # fmt: skip


def confidence(cited: Sequence[str], found: SortedEvidence) -> Confidence:
    """Medium when a deviation and a note point to it, else low. No record alone makes a cause certain."""
    lines = {line.id for line in (*found.abnormal, *found.overrides)}
    notes = {note.id for note in found.troubles}
    return "medium" if lines & set(cited) and notes & set(cited) else "low"


def listed(ids: Sequence[str]) -> str:
    """Ids with commas; a long list is cut with its count."""
    shown = ", ".join(ids[:_LISTED_IDS])
    return shown if len(ids) <= _LISTED_IDS else f"{shown} +{len(ids) - _LISTED_IDS}"


def _quoted(text: str) -> str:
    line = clean_line(text).rstrip(".。")
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]}…"
