"""Scores translations against references with sacrebleu: chrF and BLEU for each direction.

The only module that imports sacrebleu. The tokenizers need no download and no dictionary: ``13a``, ``zh``, and single
characters for Japanese, Thai and Korean; the signature names the one used.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from edgechat.errors import UsageError
from edgechat.extras import install_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.scoring.reference_file import Pair
    from edgechat.tasks.scoring.scores import Result, Scores

_TOKENIZERS = {"zh": "zh", "ja": "char", "th": "char", "ko": "char"}


def require_sacrebleu() -> None:
    """Check before the first question that sacrebleu is installed.

    Raises:
        UsageError: sacrebleu is not installed.
    """
    if find_spec("sacrebleu") is None:
        raise UsageError(
            "Translations are scored with sacrebleu, which is not installed.", hint=install_hint("sacrebleu")
        )


def translation_scores(pairs: Sequence[Pair], results: Sequence[Result]) -> Scores:
    """ChrF and BLEU of every direction. A record that is not ``ok`` counts as an empty translation."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for pair, done in zip(pairs, results, strict=True):
        result = done["result"] or {}
        source = pair.input.get("source", "auto")
        source = result.get("source", source) if source == "auto" else source
        translated = result["translation"] if result and done["status"] == "ok" else ""
        groups.setdefault(f"{source}-{pair.input['target']}", []).append((translated, pair.reference["translation"]))
    return {"directions": {direction: _scores(direction, texts) for direction, texts in sorted(groups.items())}}


def _scores(direction: str, texts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - 0.3 s, and an optional package
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    translated, right = [one for one, _ in texts], [[other for _, other in texts]]
    bleu, chrf = BLEU(tokenize=_TOKENIZERS.get(direction.rpartition("-")[2], "13a")), CHRF()
    scores = {"chrf": chrf.corpus_score(translated, right), "bleu": bleu.corpus_score(translated, right)}
    return {
        "records": len(texts),
        **{name: round(float(found.score), 2) for name, found in scores.items()},
        "chrf_signature": str(chrf.get_signature()),
        "bleu_signature": str(bleu.get_signature()),
    }
