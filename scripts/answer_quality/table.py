"""The kept figures (edgechat/tasks/measured.json) and the tables of docs/quality.md that are made from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.answer_quality.figures import MAIN

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "edgechat" / "tasks" / "measured.json"
PAGE = ROOT / "docs" / "quality.md"
BEGIN, END = "<!-- tables: scripts/quality --keep -->", "<!-- end of tables -->"

Row = dict[str, Any]
"""``task, task_version, model, sha256, set, figures``, and ``plain``: figures of the plain sentence."""


def read_rows() -> list[Row]:
    """The kept rows; none before the first run."""
    rows: list[Row] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    return rows


def with_row(rows: list[Row], row: Row) -> list[Row]:
    """``rows`` with ``row`` in the place of the one for the same task, model and set."""
    others = [each for each in rows if key(each) != key(row)]
    old = next((each for each in rows if key(each) == key(row)), {})
    whole = {**({"plain": old["plain"]} if "plain" in old else {}), **row}
    return sorted([*others, whole], key=key)


def keep(rows: list[Row]) -> None:
    """Write the figures and the page's tables."""
    KEPT.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(rows)}\n{END}{after}", encoding="utf-8")


def tables(rows: list[Row]) -> str:
    """All tables in Markdown."""
    made = []
    if translated := [row for row in rows if row["task"] == "translate"]:
        made.append(_translation_table(translated))
    if reported := [row for row in rows if row["task"] == "rootcause"]:
        made.append(_rootcause_table(reported))
    return "\n".join(made)


def key(row: Row) -> tuple[str, str, str]:
    """What a row is about."""
    return row["task"], row["model"], row["set"]


def _translation_table(rows: list[Row]) -> str:
    lines = [
        f"| model | set | asked by | {' | '.join(MAIN)} | mean | de fr it es | spoiled | flagged | tokens mean/max |",
        f"|---|---|---|{'---|' * len(MAIN)}---|---|---|---|---|",
    ]
    for row in rows:
        for name, figures in (("translate", row["figures"]), ("one sentence", row.get("plain"))):
            if figures is None:
                continue
            chrf = " | ".join(f"{figures['chrf'].get(each, float('nan')):.1f}" for each in MAIN)
            others = figures["chrf_others"]
            share = figures["spoiled"] / figures["spoiled_of"]
            flagged = figures["flagged"] if name == "translate" else "-"
            lines.append(
                f"| {row['model']} | {row['set']} | {name} | {chrf} | {figures['chrf_mean']:.1f} "
                f"| {'-' if others is None else f'{others:.1f}'} "
                f"| {figures['spoiled']} of {figures['spoiled_of']} ({share:.1%}) | {flagged} "
                f"| {figures['tokens_mean']:.1f}/{figures['tokens_max']} |"
            )
    return "\n".join(lines) + "\n"


def _rootcause_table(rows: list[Row]) -> str:
    lines = [
        "| model | set | first category | evidence precision | recall | insufficient | tokens mean/max |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row["figures"]
        lines.append(
            f"| {row['model']} | {row['set']} | {found['category_first']:.0%} | {found['evidence_precision']:.2f} "
            f"| {found['evidence_recall']:.2f} | {found['insufficient']:.0%} "
            f"| {found['tokens_mean']:.1f}/{found['tokens_max']} |"
        )
    return "\n".join(lines) + "\n"
