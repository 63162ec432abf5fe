"""Turn what `edgechat bench MODEL --json` printed on a board into rows of the published speeds.

    python -m scripts.speed_model.bench_row row.json... --source ADDRESS            print the rows
    python -m scripts.speed_model.bench_row row.json... --source ADDRESS --write    and append them to the table

ADDRESS says where the file can be read by others. What else a new board or model needs is told at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from edgechat.board.probe.recognised_boards import speeds_like
from edgechat.models.planning.board_speed import UNDISTURBED
from scripts.speed_model.speed_row_models import MODELS
from scripts.speed_model.speed_rows import TSV, board_with

_PROMPT = 256
"""Tokens that `edgechat bench` reads (engine/native/measure.py)."""
_SUFFIX = re.compile(r"-(instruct|it|chat)\b.*$")


def published_name(model: str) -> str:
    """The name of a catalog model in ``speed_row_models.py``, or the catalog's own where that has none."""
    plain = _SUFFIX.sub("", model.lower())
    return next((name for name in MODELS if name.lower() == plain), model)


def row(document: dict[str, Any], columns: list[str], *, number: int, source: str) -> dict[str, str]:
    """One line of the table.

    Raises:
        KeyError: it is not what `edgechat bench --json` prints.
    """
    best, board = document["best"], document["board"]
    device = f"{best['n_gpu_layers']} layers on {board['accelerators'][0]['kind']}" if best["n_gpu_layers"] else "CPU"
    repack = "repacked" if best["repack"] else "not repacked"
    known = {
        "id": f"B{number}",
        "board": _entered(board) or board["model"] or board["cpu"]["model"],
        "memory_gb": str(round(board["memory_bytes"] / (1 << 30))),
        "power_mode": board["power_mode"],
        "backend": f"llama.cpp {device}",
        "build_or_date": " ".join((f"llama-cpp-python {document['llama']}", best["measured_at"][:10])).strip(),
        "model": published_name(document["model"]),
        "quant": document["quant"],
        "prompt_len": str(_PROMPT),
        "prefill_tok_s": str(best["prefill_tps"]),
        "decode_tok_s": str(best["decode_tps"]),
        "threads": str(best["n_threads"]),
        "source": source,
        "confidence": "high",
        "note": f"edgechat bench: {best['load_mode']}, {repack}, ubatch {best['n_ubatch']}; decode at a depth of 256; "
        f"{best['cpu_share']:.0%} of the processor",
        "use": "low"
        if best["cpu_share"] < UNDISTURBED
        else "main"
        if best["repack"] or "dotprod" not in board["cpu"]["features"]
        else "norepack",
        "active_gb": f"{document['file_bytes'] / 1e9:.3f}",
        "active_gb_basis": "source file size",
    }
    return {name: known.get(name, "") for name in columns}


def _entered(board: dict[str, Any]) -> str | None:
    return board_with(speeds_like(board["model"], board["cpu"]["model"]) or board["board"])


def missing(document: dict[str, Any], made: dict[str, str]) -> list[str]:
    """What the fit needs beside the row."""
    found = []
    if document["best"]["cpu_share"] < UNDISTURBED:
        found.append("a measurement without other programs; this row is left out of the fit (use: low)")
    if made["model"] not in MODELS:
        found.append(f"the shape of {made['model']} in scripts/speed_model/speed_row_models.py")
    if _entered(document["board"]) is None:
        found.append(
            f"{made['board']} in scripts/speed_model/speed_rows.py (_SOC) and its data sheet in fit_speed.py (BOARDS)"
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--source", required=True, metavar="ADDRESS")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    lines = TSV.read_text(encoding="utf-8").splitlines()
    columns, last = lines[0].split("\t"), max(int(line.split("\t", 1)[0][1:]) for line in lines[1:])
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in args.files]
    made = [row(each, columns, number=last + index, source=args.source) for index, each in enumerate(documents, 1)]
    writer = csv.DictWriter(sys.stdout, columns, delimiter="\t", lineterminator="\n")
    writer.writerows(made)
    if args.write:
        with TSV.open("a", encoding="utf-8", newline="") as table:
            csv.DictWriter(table, columns, delimiter="\t", lineterminator="\n").writerows(made)
    for need in dict.fromkeys(need for pair in zip(documents, made, strict=True) for need in missing(*pair)):
        print(f"still needed: {need}", file=sys.stderr)
    print("then: python scripts/speed_model/fit_speed.py --write", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
