"""The fixed texts of the defect report in three languages: facts, labels, notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.language import Language, Translations

NOTICE: Translations = {
    "en": (
        "The hypotheses are unverified. A statement marked “model” was worded by a language model; rules "
        "composed the rest."
    ),
    "ja": "仮説は検証されていません。「モデル」と記した文は言語モデルが、それ以外の文は規則が作成しました。",
    "zh": "假设未经验证。标为“模型”的语句由语言模型撰写，其余由规则生成。",
}

LABELS: dict[str, Translations] = {
    "title": {"en": "Defect report", "ja": "不良解析報告書", "zh": "缺陷分析报告"},
    "product": {"en": "Product", "ja": "製品", "zh": "产品"},
    "defect": {"en": "Defect", "ja": "不良", "zh": "缺陷"},
    "record": {"en": "Record", "ja": "記録", "zh": "记录"},
    "facts": {
        "en": "D2 Problem: observed facts",
        "ja": "D2 問題の記述(観察された事実)",
        "zh": "D2 问题描述:观察到的事实",
    },
    "containment": {"en": "D3 Containment to consider", "ja": "D3 暫定処置の候補", "zh": "D3 临时遏制措施建议"},
    "hypotheses": {
        "en": "D4 Occurrence: hypotheses (unverified)",
        "ja": "D4 発生原因の仮説(未検証)",
        "zh": "D4 发生原因假设(未验证)",
    },
    "escape": {
        "en": "D4 Escape: hypothesis (unverified)",
        "ja": "D4 流出原因の仮説(未検証)",
        "zh": "D4 流出原因假设(未验证)",
    },
    "cited": {"en": "Cited evidence", "ja": "引用した根拠", "zh": "引用的证据"},
    "wording": {"en": "As recorded", "ja": "記録の原文", "zh": "记录原文"},
    "unknowns": {"en": "Not known yet", "ja": "未確認の事項", "zh": "尚未确认的事项"},
    "summary": {"en": "Summary", "ja": "要約", "zh": "摘要"},
    "flags": {"en": "Flags", "ja": "注意", "zh": "标记"},
    "category": {"en": "Category (6M)", "ja": "分類(6M)", "zh": "类别(6M)"},
    "statement": {"en": "Hypothesis", "ja": "仮説", "zh": "假设"},
    "evidence": {"en": "Evidence", "ja": "根拠", "zh": "证据"},
    "check": {"en": "Check to do", "ja": "確認方法", "zh": "待做检查"},
    "confidence": {"en": "Confidence", "ja": "確信度", "zh": "置信度"},
    "worded_by": {"en": "Worded by", "ja": "作成", "zh": "撰写"},
    "trend": {"en": "Trend over earlier reports", "ja": "過去の報告の傾向", "zh": "与以往报告的比较"},
    "to_fill": {
        "en": "To be filled in by people",
        "ja": "担当者記入欄",
        "zh": "由负责人填写",
    },
    "d5": {"en": "D5 Permanent corrective action", "ja": "D5 恒久対策", "zh": "D5 永久纠正措施"},
    "d6": {"en": "D6 Effectiveness verified", "ja": "D6 効果の確認", "zh": "D6 效果验证"},
    "d7": {
        "en": "D7 Similar cases, recurrence prevention",
        "ja": "D7 水平展開・再発防止",
        "zh": "D7 类似案例与防止再发",
    },
    "d8": {"en": "D8 Team, date, signature", "ja": "D8 担当・日付・署名", "zh": "D8 团队、日期、签名"},
    "none": {"en": "none", "ja": "なし", "zh": "无"},
    "insufficient": {
        "en": "The evidence does not support a hypothesis.",
        "ja": "仮説を立てるには根拠が不足しています。",
        "zh": "证据不足以支持任何假设。",
    },
    "incomplete": {
        "en": "Incomplete: the model's part is missing or was cut off. What is here was composed by rules.",
        "ja": "未完成: モデルの記述が間に合わなかったか、途中で終わりました。ここにある文は規則によるものです。",
        "zh": "不完整: 模型部分缺失或被截断。此处内容由规则生成。",
    },
    "ungrounded": {
        "en": "does not occur in the input",
        "ja": "は入力にありません",
        "zh": "未出现在输入中",
    },
}

CATEGORIES: dict[str, Translations] = {
    "man": {"en": "man", "ja": "人", "zh": "人"},
    "machine": {"en": "machine", "ja": "設備", "zh": "机器"},
    "material": {"en": "material", "ja": "材料", "zh": "材料"},
    "method": {"en": "method", "ja": "方法", "zh": "方法"},
    "measurement": {"en": "measurement", "ja": "測定", "zh": "测量"},
    "environment": {"en": "environment", "ja": "環境", "zh": "环境"},
    "unknown": {"en": "unknown", "ja": "不明", "zh": "未知"},
}

CONFIDENCES: dict[str, Translations] = {
    "low": {"en": "low", "ja": "低", "zh": "低"},
    "medium": {"en": "medium", "ja": "中", "zh": "中"},
    "high": {"en": "high", "ja": "高", "zh": "高"},
}

WORDED_BY: dict[str, Translations] = {
    "rules": {"en": "rules", "ja": "規則", "zh": "规则"},
    "model": {"en": "model", "ja": "モデル", "zh": "模型"},
}

TREND: Translations = {
    "en": "{count} of the last {window} reports have the same {same}: {ids}.",
    "ja": "直近{window}件の報告のうち{count}件が同じ{same}: {ids}。",
    "zh": "最近{window}份报告中有{count}份的{same}相同: {ids}。",
}
TREND_FIELDS: dict[str, Translations] = {
    "defect_type": {"en": "defect", "ja": "不良", "zh": "缺陷"},
    "station": {"en": "station", "ja": "工程・設備", "zh": "工位"},
    "lot": {"en": "lot", "ja": "ロット", "zh": "批次"},
}

FACTS: dict[str, Translations] = {
    "detected": {
        "en": "Defect {defect} at {location} on product {product}, severity {severity}.",
        "ja": "製品{product}の{location}に不良「{defect}」、重大度{severity}。",
        "zh": "产品{product}的{location}处出现缺陷“{defect}”，严重程度{severity}。",
    },
    "confidence": {
        "en": "The detector's confidence is {confidence}.",
        "ja": "検出器の信頼度は{confidence}。",
        "zh": "检测器的置信度为{confidence}。",
    },
    "detected_at": {"en": "Detected at {value}.", "ja": "検出時刻は{value}。", "zh": "检测时间为{value}。"},
    "line": {"en": "Line: {value}.", "ja": "ライン: {value}。", "zh": "产线: {value}。"},
    "station": {"en": "Station: {value}.", "ja": "工程・設備: {value}。", "zh": "工位: {value}。"},
    "lot": {"en": "Lot: {value}.", "ja": "ロット: {value}。", "zh": "批次: {value}。"},
    "readings": {
        "en": "{outside} of {count} readings with limits lie outside them.",
        "ja": "限度のある測定値{count}件のうち{outside}件が限度を外れている。",
        "zh": "有限值的{count}个读数中，{outside}个超出限值。",
    },
    "farthest": {
        "en": "Farthest outside: {words}.",
        "ja": "最も大きく外れた値: {words}。",
        "zh": "偏离最大的读数: {words}。",
    },
    "alarm": {"en": "Log {id} reports: {text}", "ja": "ログ{id}の記録: {text}", "zh": "日志{id}记录: {text}"},
}

UNKNOWNS: dict[str, Translations] = {
    "no_evidence": {
        "en": "No process notes and no log lines were given.",
        "ja": "工程メモもログも与えられていません。",
        "zh": "未提供工艺记录和日志。",
    },
    "not_judged": {
        "en": "The rules know no word of trouble in {ids}; please read it.",
        "ja": "{ids}に規則が知る異常の語はありません。内容を確認してください。",
        "zh": "规则在{ids}中未发现表示异常的词语，请人工阅读。",
    },
    "below_gate": {
        "en": "The detection is not above the gate of {gate}; it was recorded and not analysed.",
        "ja": "検出の信頼度が基準{gate}を超えないため、記録のみ行い解析していません。",
        "zh": "检测置信度未超过门限{gate}，仅作记录，未进行分析。",
    },
}


def label(name: str, language: Language) -> str:
    """The label ``name`` of the report."""
    return LABELS[name][language]
