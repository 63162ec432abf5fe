"""Two reports of ``edgechat eval`` side by side."""

from __future__ import annotations

from typing import Any

from edgechat.plaintext import clean_line

_FACTS = ("task_version", "records", "seconds_per_record", "decode_tps", "edgechat_version")
_LEFT_OUT = ("chrf_signature", "bleu_signature")


def comparison_text(first: dict[str, Any], second: dict[str, Any]) -> str:
    """One line for each fact and score: its name, the first report's value, the second's, and the difference."""
    before, after = (
        {**{name: report[name] for name in _FACTS}, **report["status"], **_flat(report["scores"])}
        for report in (first, second)
    )
    rows = [("", _label(first), _label(second), "")]
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        rows.append((name, _shown(one), _shown(other), _difference(one, other)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3])).rstrip()
        for row in rows
    )


def _flat(scores: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in scores.items():
        if name in _LEFT_OUT:
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _label(report: dict[str, Any]) -> str:
    return clean_line(f"{report['model']}:{report['quant']}") if report["model"] else "rules alone"


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _difference(first: object, second: object) -> str:
    if isinstance(first, (int, float)) and isinstance(second, (int, float)) and first != second:
        return f"{round(second - first, 4):+}"
    return ""
