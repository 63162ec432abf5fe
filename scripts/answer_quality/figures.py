"""Figures from answers and references. Pure functions.

A translation is spoiled when it is not the text's translation by a rule: it has a fatal flag, lacks a placeholder or a
tag, or the source was kept. A spoiled one counts as empty in chrF, whoever made it.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from edgechat.tasks.scoring.scores import rootcause_scores
from edgechat.tasks.scoring.translation import translation_scores
from edgechat.tasks.translate.checks import FATAL, flags_of
from edgechat.tasks.translate.protect import keeps_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.scoring.reference_file import Pair
    from scripts.answer_quality.answers import Answer

MAIN = ("ja-en", "en-ja", "zh-en", "en-zh")
"""The directions of the mean."""


def direction(pair: Pair) -> str:
    """Such as ``ja-en``."""
    return f"{pair.input['source']}-{pair.input['target']}"


def is_spoiled(pair: Pair, answer: Answer) -> bool:
    """Whether an answer is no translation of its text, by rule."""
    text, translation = pair.input["text"], (answer.result or {}).get("translation", "")
    flags = flags_of(text, translation, source_language=pair.input["source"], target_language=pair.input["target"])
    kept = "kept_source" in (answer.result or {}).get("flags", ())
    return answer.status != "ok" or kept or bool(FATAL.intersection(flags)) or not keeps_parts(text, translation)


def translation_figures(pairs: Sequence[Pair], answers: Sequence[Answer]) -> dict[str, Any]:
    """ChrF by direction and its means, spoiled and flagged answers, tokens."""
    spoiled = [is_spoiled(pair, answer) for pair, answer in zip(pairs, answers, strict=True)]
    scored = [
        {"status": "failed" if is_bad else "ok", "result": answer.result}
        for is_bad, answer in zip(spoiled, answers, strict=True)
    ]
    chrf = {name: each["chrf"] for name, each in translation_scores(pairs, scored)["directions"].items()}
    main = [is_bad for pair, is_bad in zip(pairs, spoiled, strict=True) if direction(pair) in MAIN]
    others = [score for name, score in chrf.items() if name not in MAIN]
    return {
        "records": len(pairs),
        "chrf": {name: round(score, 1) for name, score in chrf.items()},
        "chrf_mean": round(fmean(score for name, score in chrf.items() if name in MAIN), 1),
        "chrf_others": round(fmean(others), 1) if others else None,
        "spoiled": sum(main),
        "spoiled_of": len(main),
        "spoiled_others": sum(spoiled) - sum(main),
        "flagged": sum(bool((answer.result or {}).get("flags")) for answer in answers),
        **_cost(answers),
    }


def rootcause_figures(pairs: Sequence[Pair], answers: Sequence[Answer]) -> dict[str, Any]:
    """Category, evidence and insufficiency, and tokens."""
    scores = rootcause_scores(pairs, [{"result": answer.result, "status": answer.status} for answer in answers])
    return {
        "records": len(pairs),
        "category_first": scores["category_first"],
        "evidence_precision": scores["evidence"]["precision"],
        "evidence_recall": scores["evidence"]["recall"],
        "insufficient": scores["insufficient_evidence"],
        **_cost(answers),
    }


def _cost(answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "tokens_mean": round(fmean(answer.tokens for answer in answers), 1),
        "tokens_max": max(answer.tokens for answer in answers),
        "questions": sum(answer.questions for answer in answers),
        "seconds": round(sum(answer.seconds for answer in answers), 1),
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The figures that differ between two runs, as ``name before -> after``."""
    found = []
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict):
            found += [f"{name} {line}" for line in changes(old if isinstance(old, dict) else {}, value)]
        elif name != "seconds" and old != value:
            found.append(f"{name} {old} -> {value}")
    return found
