"""Scores of speed predictions against published rows: shares within a limit, and tables by board.

python scripts/speed_model/speed_score.py          the shipped constants against every usable row, as a Markdown table
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.models.planning.speed_model import predict
from edgechat.models.planning.speed_table import ENGINES, MACHINES
from scripts.speed_model.speed_rows import Row, load

if TYPE_CHECKING:
    from collections.abc import Sequence

DECODE, PREFILL = 0.25, 0.35
"""How far a prediction may be off."""


def hits(rows: Sequence[Row], predicted: Sequence[tuple[float, float]], which: int) -> list[tuple[Row, float]]:
    """Rows with a figure, and predicted / measured - 1."""
    measured = [(row.decode, row.prefill)[which] for row in rows]
    return [(r, p[which] / m - 1) for r, p, m in zip(rows, predicted, measured, strict=True) if m]


def tell(title: str, errors: Sequence[tuple[Row, float]], limit: float) -> None:
    """One line of score."""
    if errors:
        good = sum(abs(e) <= limit for _, e in errors)
        median = sorted(abs(e) for _, e in errors)[len(errors) // 2]
        share = f"{good:3d} of {len(errors):3d} = {good / len(errors):4.0%}"
        print(f"{title:46s} {share} within {limit:.0%}, median error {median:4.0%}")


def board_table(decode: Sequence[tuple[Row, float]], prefill: Sequence[tuple[Row, float]]) -> list[str]:
    """The lines of a Markdown table of scores by board."""
    lines = [
        "| board | decode rows | within 25 % | median error | prefill rows | within 35 % | median error |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for key in sorted({row.platform for row, _ in (*decode, *prefill)}):
        cells = []
        for errors, limit in ((decode, DECODE), (prefill, PREFILL)):
            own = sorted(abs(e) for row, e in errors if row.platform == key)
            cells += (
                [str(len(own)), str(sum(e <= limit for e in own)), f"{own[len(own) // 2]:.0%}"] if own else ["-"] * 3
            )
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return lines


def by_board(decode: Sequence[tuple[Row, float]], prefill: Sequence[tuple[Row, float]]) -> None:
    """Print a table of scores by board."""
    print("", *board_table(decode, prefill), sep="\n")


def llama(rows: Sequence[Row]) -> list[Row]:
    """Rows of llama.cpp and Ollama on CPU, CUDA and Metal: what edgechat is compared with."""
    return [
        row
        for row in rows
        if row.engine in ("", "ollama", "ollama-gpu")
        and not row.platform.split("/")[1].startswith(("npu", "mlc", "blas"))
    ]


def shipped(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Decode and prefill in tok/s of each row, by the constants of the product."""
    found = []
    for row in rows:
        engine = ENGINES.get(row.engine, (1.0, 1.0))
        speed = predict(row.work, MACHINES[row.platform], prompt=row.prompt, depth=row.depth, engine=engine)
        found.append((speed.decode_tps, speed.prefill_tps))
    return found


if __name__ == "__main__":
    usable = load()
    for name, some in (("held out", [row for row in usable if row.fold == 0]), ("all", usable)):
        predicted = shipped(some)
        decode, prefill = hits(some, predicted, 0), hits(some, predicted, 1)
        print(f"\n{name}")
        tell("decode", decode, DECODE)
        tell("prefill", prefill, PREFILL)
        by_board(decode, prefill)
