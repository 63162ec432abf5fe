"""Write the tables of docs/fit.md again: the scores of the speed model, and what each known board is recommended.

    python -m scripts.speed_model.fit_page            exit 1 where the page says something else
    python -m scripts.speed_model.fit_page --write    write the tables into it

What people wrote stays: of the boards, the columns ``before`` and ``why``.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

from edgechat.board.probe.board_file import load_board
from edgechat.models.catalog.catalog import load_catalog
from edgechat.models.planning.candidate import from_entry
from edgechat.models.planning.fit import choose
from edgechat.models.planning.plan import Plan, PlanRequest
from scripts.speed_model.speed_rows import load
from scripts.speed_model.speed_score import DECODE, PREFILL, board_table, hits, shipped

PAGE = Path(__file__).parents[2] / "docs" / "fit.md"
_SCORES, _BOARDS, _DERIVED = "| board | decode rows", "| board | before", "| board | model"


def tables() -> tuple[list[str], list[str]]:
    """Scores by board: of the rows that were held out, and of all."""
    rows = load()
    every = [hits(rows, shipped(rows), which) for which in (0, 1)]
    held = [[each for each in errors if each[0].fold == 0] for errors in every]
    return board_table(held[0], held[1]), board_table(every[0], every[1])


def score() -> str:
    """The sentence on the held-out rows."""
    rows = [row for row in load() if row.fold == 0]
    told = []
    for which, limit in ((0, DECODE), (1, PREFILL)):
        errors = hits(rows, shipped(rows), which)
        good = sum(abs(error) <= limit for _, error in errors)
        told.append(f"{good} of {len(errors)} ({100 * good / len(errors):.0f} %)")
    return f"**decode within 25 % for\n{told[0]}, prefill within 35 % for {told[1]}**"


def recommended(name: str) -> Plan:
    """The plan of a known board."""
    board = load_board(name)
    files = (from_entry(entry, quant, board.cpu.features) for entry in load_catalog() for quant in entry.files)
    return choose(board, files, PlanRequest())


def cells(plan: Plan) -> list[str]:
    """Model to basis, as the tables have them."""
    settings, estimated = plan.settings, plan.estimated
    load_mode = "GPU" if settings.n_gpu_layers else settings.load_mode + (", repacked" if settings.repack else "")
    return [
        f"{plan.model} {plan.quant}",
        str(settings.n_ctx),
        load_mode,
        str(estimated.prefill_tps),
        f"{estimated.decode_tps} ({estimated.careful_tps:.1f})",
        f"{estimated.page_s:.0f}",
        estimated.rests_on.partition(":")[0],
    ]


def page(text: str) -> str:
    """The page with every table as it should be.

    Raises:
        ValueError: a table is missing from the page.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith((_SCORES, _BOARDS, _DERIVED))]
    if len(starts) != len((_SCORES, _SCORES, _BOARDS, _DERIVED)):
        raise ValueError(f"{PAGE.name} has {len(starts)} tables of boards; it should have four")
    made = iter(tables())
    out, after = [], 0
    for start, _ in pairwise([*starts, len(lines)]):
        end = next(number for number in range(start, len(lines) + 1) if not "".join(lines[number : number + 1]))
        out += lines[after:start]
        out += next(made) if lines[start].startswith(_SCORES) else _boards(lines[start:end])
        after = end
    return "\n".join([*out, *lines[after:]]) + "\n"


def _boards(table: list[str]) -> list[str]:
    has_before = table[0].startswith(_BOARDS)
    found = table[:2]
    for line in table[2:]:
        old = [cell.strip() for cell in line.strip("|").split("|")]
        new = cells(recommended(old[0]))
        found.append("| " + " | ".join([*old[:2], *new, old[-1]] if has_before else [old[0], *new]) + " |")
    return found


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if "--write" in sys.argv:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    print("up to date" if wanted == text else "out of date: run it with --write")
    return 0 if wanted == text else 1


if __name__ == "__main__":
    sys.exit(main())
